package server

import (
	"encoding/xml"
	"slices"
	"strconv"
	"strings"
)

const globalRegion = "us-east-1"

// standardRegions are enabled in every account; optionalRegions must be opted in
// to, and are shown as not enabled unless Options.Regions names them (AWS Account
// Management Reference Guide, "Enable or disable AWS Regions in your account").
var (
	standardRegions = []string{
		"ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-southeast-1", "ap-southeast-2", "ca-central-1",
		"eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3", "sa-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2",
	}
	optionalRegions = []string{"af-south-1", "ap-east-1", "ap-southeast-3", "eu-south-1", "eu-south-2", "il-central-1", "me-central-1", "me-south-1"}
)

// regionStatus is how EC2 and Account speak of a region.
type regionStatus struct{ name, ec2, account string }

// regionList returns all regions there are, by name.
func (s *Server) regionList() []regionStatus {
	var list []regionStatus
	for _, name := range append(slices.Clone(s.enabled), optionalRegions...) {
		r := regionStatus{name, "opt-in-not-required", "ENABLED_BY_DEFAULT"}
		if !slices.Contains(standardRegions, name) {
			r.ec2, r.account = "opted-in", "ENABLED"
			if !slices.Contains(s.enabled, name) {
				r.ec2, r.account = "not-opted-in", "DISABLED"
			}
		}
		if !slices.Contains(list, r) {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b regionStatus) int { return strings.Compare(a.name, b.name) })
	return list
}

// ec2 answers EC2: Amazon EC2 API Reference, "DescribeRegions".
func (s *Server) ec2(q *request) (reply, *apiError) {
	if q.operation != "DescribeRegions" {
		return reply{}, bad("InvalidAction", "The action "+q.operation+" is not valid for this web service.")
	}
	type item struct {
		Name     string `xml:"regionName"`
		Endpoint string `xml:"regionEndpoint"`
		Status   string `xml:"optInStatus"`
	}
	var out struct {
		XMLName   xml.Name `xml:"http://ec2.amazonaws.com/doc/2016-11-15/ DescribeRegionsResponse"`
		RequestID string   `xml:"requestId"`
		Items     []item   `xml:"regionInfo>item"`
	}
	out.RequestID = q.id
	names := members(q.form, "RegionName.")
	for _, r := range s.regionList() {
		if r.ec2 == "not-opted-in" && q.form.Get("AllRegions") != "true" || len(names) > 0 && !slices.Contains(names, r.name) {
			continue
		}
		keep := true
		for i := 1; q.form.Has("Filter." + strconv.Itoa(i) + ".Name"); i++ {
			prefix := "Filter." + strconv.Itoa(i) + "."
			value := map[string]string{"opt-in-status": r.ec2, "region-name": r.name, "endpoint": ec2Host(r.name)}[q.form.Get(prefix+"Name")]
			keep = keep && slices.Contains(members(q.form, prefix+"Value."), value)
		}
		if keep {
			out.Items = append(out.Items, item{r.name, ec2Host(r.name), r.ec2})
		}
	}
	return xmlReply(out)
}

func ec2Host(region string) string { return "ec2." + region + ".amazonaws.com" }

// members reads a list of a query protocol: prefix1, prefix2, …
func members(form map[string][]string, prefix string) []string {
	var list []string
	for i := 1; ; i++ {
		v := form[prefix+strconv.Itoa(i)]
		if len(v) == 0 {
			return list
		}
		list = append(list, v[0])
	}
}

// accountAPI answers Account: AWS Account Management Reference Guide, "ListRegions".
func (s *Server) accountAPI(q *request) (reply, *apiError) {
	if q.operation != "ListRegions" {
		return reply{}, unknownOperation(q)
	}
	var in struct {
		AccountID               string `json:"AccountId"`
		MaxResults              int
		NextToken               string
		RegionOptStatusContains []string
	}
	if e := parse(q, &in); e != nil {
		return reply{}, e
	}
	if in.AccountID != "" && !slices.Contains(s.world.Accounts(), in.AccountID) {
		return reply{}, &apiError{404, "ResourceNotFoundException", "account " + in.AccountID + " is not in the organization"}
	}
	type region struct{ RegionName, RegionOptStatus string }
	list := []region{}
	for _, r := range s.regionList() {
		if len(in.RegionOptStatusContains) == 0 || slices.Contains(in.RegionOptStatusContains, r.account) {
			list = append(list, region{r.name, r.account})
		}
	}
	page, next, e := paged(list, in.NextToken, in.MaxResults, 50)
	if e != nil {
		return reply{}, e
	}
	return jsonReply(kindJSON, struct {
		Regions   []region
		NextToken string `json:",omitempty"`
	}{page, next})
}

// paged cuts a list into pages; the token is where the next one begins.
func paged[T any](list []T, token string, most, limit int) (page []T, next string, e *apiError) {
	if most <= 0 || most > limit {
		most = limit
	}
	at := 0
	if token != "" {
		var err error
		if at, err = strconv.Atoi(strings.TrimPrefix(token, "page-")); err != nil || at < 0 || at > len(list) {
			return nil, "", bad("InvalidInputException", "the token is not valid")
		}
	}
	end := min(len(list), at+most)
	if end < len(list) {
		next = "page-" + strconv.Itoa(end)
	}
	return list[at:end], next, nil
}
