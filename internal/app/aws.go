package app

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/config"
	"github.com/iamtrack/iamtrack/internal/digest"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/source"
)

// OpenAWS opens a way into AWS as configured; it asks nobody.
func OpenAWS(ctx context.Context, cfg config.Config, version string, record func(awsapi.Call)) (*awsapi.Session, error) {
	return awsapi.Open(ctx, awsapi.Config{
		Profile: cfg.AWSProfile, Region: cfg.AWSRegion, EndpointURL: cfg.EndpointURL, Regions: cfg.Regions,
		UserAgent: "iamtrack-" + version, Record: record,
	})
}

// Accounts lists the accounts that are configured: those of the accounts file,
// of the organization, or else the one of the credentials.
func Accounts(ctx context.Context, cfg config.Config, s *awsapi.Session) ([]*awsapi.Account, error) {
	var specs []awsapi.AccountSpec
	switch {
	case cfg.AccountsFile != "":
		list, err := awsapi.ReadAccounts(cfg.AccountsFile)
		if err != nil {
			return nil, err
		}
		specs = list
	case cfg.Organization:
		list, err := s.Organization(ctx, cfg.OrganizationRole)
		if err != nil {
			return nil, err
		}
		specs = list
	default:
		return []*awsapi.Account{s.Own()}, nil
	}
	accounts := make([]*awsapi.Account, 0, len(specs))
	for _, spec := range specs {
		accounts = append(accounts, s.Assume(spec))
	}
	return accounts, nil
}

// ListS3 lists what s3://… names, by days.
func ListS3(ctx context.Context, s *awsapi.Session, path string, o source.S3Options, yield func(source.Batch) error) error {
	name, prefix, _ := source.ParseS3(path)
	b, err := s.Bucket(ctx, name)
	if err != nil {
		return err
	}
	return source.ListS3(ctx, b, prefix, o, yield)
}

// OpenTrail opens the files of a trail to be verified: a folder, or s3://….
func OpenTrail(ctx context.Context, s func() (*awsapi.Session, error), path string, o source.S3Options) (digest.Trail, error) {
	name, prefix, ok := source.ParseS3(path)
	if !ok {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("open the trail: %w", err)
		}
		if !info.IsDir() {
			return nil, fmt.Errorf("open the trail %s: not a folder", path)
		}
		return digest.FS(os.DirFS(path)), nil
	}
	session, err := s()
	if err != nil {
		return nil, err
	}
	b, err := session.Bucket(ctx, name)
	if err != nil {
		return nil, err
	}
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	return &bucketTrail{b: b, prefix: prefix, o: o}, nil
}

// TrailLogs yields a trail's log files, others too, as an import of the same path
// would list them, with the days around those of o.
func TrailLogs(ctx context.Context, s func() (*awsapi.Session, error), path string, o source.S3Options, yield func([]source.File) error) error {
	if _, _, ok := source.ParseS3(path); !ok {
		files, _, err := source.Expand([]string{path})
		if err != nil {
			return err
		}
		return yield(files)
	}
	session, err := s()
	if err != nil {
		return err
	}
	if o.Since != 0 {
		o.Since--
	}
	if o.Until != 0 {
		o.Until++
	}
	return ListS3(ctx, session, path, o, func(b source.Batch) error { return yield(b.Files) })
}

// bucketTrail is a trail where CloudTrail put it.
type bucketTrail struct {
	b      *awsapi.Bucket
	prefix string
	o      source.S3Options
}

func (t *bucketTrail) List(ctx context.Context, visit func(string) error) error {
	return source.ListTrail(ctx, t.b, t.prefix, t.o, visit)
}

func (t *bucketTrail) Open(ctx context.Context, path string) (io.ReadCloser, error) {
	r, err := t.b.Get(ctx, path)
	if errors.Is(err, awsapi.ErrNotFound) {
		return nil, errors.Join(fs.ErrNotExist, err)
	}
	return r, err
}

// Signature reads the metadata that CloudTrail signs digests in (AWS CloudTrail
// User Guide, "CloudTrail digest file structure").
func (t *bucketTrail) Signature(ctx context.Context, path string) (string, error) {
	meta, err := t.b.Metadata(ctx, path)
	return meta["signature"], err
}

// trailKeys finds public keys: among those that are known, else by asking
// CloudTrail, once for a region and time.
type trailKeys struct {
	known   digest.Keys
	account *awsapi.Account // nil: offline
	learn   func(awsapi.PublicKey) error

	mu    sync.Mutex
	asked map[string]bool
}

// NewTrailKeys finds public keys among the known ones, else, unless account is
// nil, by asking CloudTrail; learn is told of each key that was fetched.
func NewTrailKeys(known digest.Keys, account *awsapi.Account, learn func(awsapi.PublicKey) error) func(ctx context.Context, region, fingerprint string, at time.Time) (*rsa.PublicKey, error) {
	k := &trailKeys{known: known, account: account, learn: learn, asked: map[string]bool{}}
	return k.find
}

func (k *trailKeys) find(ctx context.Context, region, fingerprint string, at time.Time) (*rsa.PublicKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key := k.known[fingerprint]; key != nil || k.account == nil {
		return key, nil
	}
	// A digest may be signed later than its time, when it is a backfill.
	for _, until := range []time.Time{at.Add(time.Hour), time.Now()} {
		ask := region + " " + at.UTC().Format(time.DateOnly) + " " + until.UTC().Format(time.DateOnly)
		if k.asked[ask] {
			continue
		}
		k.asked[ask] = true
		keys, err := k.account.PublicKeys(ctx, region, at.Add(-time.Hour), until)
		if err != nil {
			return nil, err
		}
		for _, p := range keys {
			if err := k.known.Add(p.Fingerprint, p.DER); err != nil {
				return nil, err
			}
			if err := k.learn(p); err != nil {
				return nil, err
			}
		}
		if key := k.known[fingerprint]; key != nil {
			return key, nil
		}
	}
	return nil, nil
}

// DayOf is the UTC day of a time; 0 for the zero time.
func DayOf(t time.Time) event.Date {
	if t.IsZero() {
		return 0
	}
	return event.DateOf(t.UnixMilli())
}
