package coverage

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Stream is what is read as one: the events of a source in a region of an account.
type Stream struct {
	AccountID string `json:"account_id"`   // 12 digits
	Region    string `json:"aws_region"`   // such as eu-west-1
	Source    string `json:"event_source"` // such as sts.amazonaws.com
}

// String is the canonical form, "111122223333/eu-west-1/sts.amazonaws.com".
func (s Stream) String() string { return s.AccountID + "/" + s.Region + "/" + s.Source }

// ParseStream reads the canonical form.
func ParseStream(text string) (Stream, error) {
	parts := strings.Split(text, "/")
	if len(parts) != 3 || slices.Contains(parts, "") {
		return Stream{}, fmt.Errorf("parse stream %q: want ACCOUNT/REGION/SOURCE", text)
	}
	return Stream{AccountID: parts[0], Region: parts[1], Source: parts[2]}, nil
}

// Compare orders streams by account, region, source.
func (s Stream) Compare(o Stream) int {
	return cmp.Or(strings.Compare(s.AccountID, o.AccountID), strings.Compare(s.Region, o.Region), strings.Compare(s.Source, o.Source))
}

const domain = ".amazonaws.com"

// DefaultSources are what is collected unless the configuration says otherwise:
// the four categories, and the two services whose misuse hides everything else.
func DefaultSources() []string {
	return []string{
		"signin.amazonaws.com", "iam.amazonaws.com",
		"sso.amazonaws.com", "sso-directory.amazonaws.com", "sso-oauth.amazonaws.com", "identitystore.amazonaws.com",
		"organizations.amazonaws.com", "cloudtrail.amazonaws.com", "sts.amazonaws.com",
	}
}

// OfIdentityCenter reports whether a source is one of IAM Identity Center's, which
// are read in its regions only.
func OfIdentityCenter(source string) bool { return rank(source) == 2 }

// rank orders the sources of a region: the small and telling first, sts, which is
// most of the volume, last.
func rank(source string) int {
	switch source {
	case "signin.amazonaws.com":
		return 0
	case "iam.amazonaws.com":
		return 1
	case "sso.amazonaws.com", "sso-directory.amazonaws.com", "sso-oauth.amazonaws.com", "identitystore.amazonaws.com":
		return 2
	case "organizations.amazonaws.com", "account.amazonaws.com", "cloudtrail.amazonaws.com":
		return 3
	case "sts.amazonaws.com":
		return 5
	}
	return 4
}

// Place says where the events of an account are recorded.
type Place struct {
	AccountID string
	Global    string   // the region of the partition's global services: us-east-1 in aws
	Regions   []string // enabled, or those that the configuration names
	// IdentityCenter are the regions of Identity Center's instances, found by
	// asking; none: its sources are not read.
	IdentityCenter []string
}

// Streams returns the streams of sources (nil: DefaultSources), sorted:
//   - iam, organizations and account only in the partition's global region. In
//     China, organizations and account are served from cn-northwest-1, IAM from
//     cn-north-1: those two are read in both;
//   - sso, sso-directory, sso-oauth and identitystore in Identity Center's regions;
//   - all others in every region: sts (regional endpoints record where they are),
//     signin (console sign-ins through the global endpoint are recorded in
//     us-east-1, us-east-2, eu-north-1 or ap-southeast-2), cloudtrail (a trail is
//     stopped in the region it was made in, and every region may have one).
//
// Sources may be given without ".amazonaws.com".
//
// Source: AWS Sign-In User Guide, "Logging and monitoring"; IAM User Guide,
// "Logging IAM and AWS STS API calls with AWS CloudTrail"; AWS General Reference,
// "AWS Organizations endpoints and quotas".
func Streams(p Place, sources []string) []Stream {
	if sources == nil {
		sources = DefaultSources()
	}
	var all []Stream
	for _, source := range sources {
		if !strings.Contains(source, ".") {
			source += domain
		}
		for _, region := range p.regions(source) {
			all = append(all, Stream{AccountID: p.AccountID, Region: region, Source: source})
		}
	}
	slices.SortFunc(all, Stream.Compare)
	return slices.Compact(all)
}

func (p Place) regions(source string) []string {
	switch source {
	case "iam.amazonaws.com":
		return []string{p.Global}
	case "organizations.amazonaws.com", "account.amazonaws.com":
		if strings.HasPrefix(p.Global, "cn-") {
			return []string{"cn-north-1", "cn-northwest-1"}
		}
		return []string{p.Global}
	}
	if OfIdentityCenter(source) {
		return p.IdentityCenter
	}
	return p.Regions
}
