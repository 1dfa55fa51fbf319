package cli

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/digest"
	"github.com/iamtrack/iamtrack/internal/render"
	"github.com/iamtrack/iamtrack/internal/source"
)

type trailOptions struct {
	path string
	keys string // file
}

// trailReport is what `verify --trail --format json` prints.
type trailReport struct {
	Trail string `json:"trail"`
	digest.Result
	Faults int `json:"faults"`
	// Coverage is what that says of the data directory; null without one.
	Coverage *collect.Proven `json:"coverage"`
}

func runVerifyTrail(ctx context.Context, e *env, o trailOptions) error {
	session := e.aws(ctx)
	bounds := source.S3Options{Since: app.DayOf(e.since), Until: app.DayOf(e.until), Now: e.now()}
	trail, err := app.OpenTrail(ctx, session, o.path, bounds)
	if err != nil {
		return awsHint(fmt.Errorf("verify: %w", err))
	}
	keys, err := e.trailKeys(o, session)
	if err != nil {
		return err
	}
	p := e.newProgress()
	options := digest.Options{Key: keys.find, Since: e.since, Until: e.until, Progress: func(files int) {
		p.show(int64(files), -1, count(files, "file")+" read")
	}}
	if _, _, remote := source.ParseS3(o.path); remote {
		options.Workers = 16 // they wait for the network
	}
	res, err := digest.Verify(ctx, trail, options)
	p.done()
	err = errors.Join(err, keys.keep())
	if errors.Is(err, awsapi.ErrNoCredentials) {
		return withHint(fmt.Errorf("verify: %w", err), "--public-keys FILE names the keys offline: `aws cloudtrail list-public-keys --start-time …` prints them")
	}
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	report := trailReport{Trail: o.path, Result: res, Faults: res.Faults()}
	var unbooked error
	report.Coverage, unbooked = e.bookTrail(ctx, session, o.path, bounds, res.Verified)
	if err := errors.Join(e.showTrail(report), unbooked); err != nil {
		return err
	}
	unreadable, undigested := 0, 0
	for _, f := range res.Findings {
		switch f.Kind {
		case digest.Unreadable:
			unreadable++
		case digest.NoDigest:
			undigested++
		}
	}
	const aboutDigests = "digests lie in CloudTrail-Digest beside CloudTrail; a trail has them when log file validation is on"
	switch {
	case report.Faults > 0:
		return fmt.Errorf("verify: %s in %s", count(report.Faults, "fault"), o.path)
	case undigested > 0:
		return withHint(&partError{fmt.Sprintf("verify: %s without a digest file in %s", count(undigested, "account and region has log files|accounts and regions have log files"), o.path)}, aboutDigests)
	case res.Digests == 0:
		return withHint(fmt.Errorf("verify: no digest file in %s: nothing is proven", o.path), aboutDigests)
	case unreadable > 0:
		return &partError{fmt.Sprintf("verify: %s could not be read", count(unreadable, "file"))}
	}
	return nil
}

// bookTrail marks what is proven, and stored, as verified in the data directory;
// nil when there is none that can be written.
func (e *env) bookTrail(ctx context.Context, session func() (*awsapi.Session, error), path string, bounds source.S3Options, spans []digest.Span) (*collect.Proven, error) {
	a, err := e.open(ctx, "verify", false)
	if errors.Is(err, app.ErrNoData) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("verify: note what is proven: %w", err)
	}
	if a.ReadOnly {
		e.note("the data directory is read-only: its coverage stays as it is")
		return nil, a.Close()
	}
	proven, err := a.Pipeline.Prove(ctx, collect.Proof{
		Spans: spans, Sources: e.config.Sources, Global: awsapi.GlobalRegionFor,
		List: func(ctx context.Context, yield func([]source.File) error) error {
			return app.TrailLogs(ctx, session, path, bounds, yield)
		},
	})
	if err = errors.Join(err, a.Close()); err != nil {
		return nil, awsHint(fmt.Errorf("verify: note what is proven: %w", err))
	}
	return &proven, nil
}

// showTrail prints the report: people also see what is proven, other formats
// than JSON the findings only.
func (e *env) showTrail(r trailReport) error {
	if f := e.format(); f == render.JSON || f == render.Table {
		return e.object(r, func() string { return e.trailText(r) })
	}
	cols := []render.Column{{Name: "kind"}, {Name: "account_id"}, {Name: "aws_region"}, {Name: "path"}, {Name: "detail", Whole: true}}
	return e.answer(cols, func(p render.Printer) error {
		for _, f := range r.Findings {
			if err := p.Row([]any{string(f.Kind), f.AccountID, f.Region, f.Path, f.Detail}); err != nil {
				return err
			}
		}
		return nil
	})
}

func (e *env) trailText(r trailReport) string {
	t := e.newPage()
	t.line(fmt.Sprintf("%s, %s proven; %s as they say", count(r.Digests, "digest"), number(int64(r.Proven)), count(r.Logs, "log file")))
	if r.Uncovered > 0 {
		t.field("uncovered", count(r.Uncovered, "log file")+" that no digest tells of: too new, too old, or in a gap")
	}
	for _, s := range r.Verified {
		t.field("verified", fmt.Sprintf("%s %s: delivered %s to %s", s.AccountID, s.Region, e.timeText(s.From.UnixMilli()), e.timeText(s.To.UnixMilli())))
	}
	for _, f := range r.Findings {
		t.field(string(f.Kind), f.Path+": "+f.Detail)
	}
	if len(r.Verified) == 0 {
		t.line("Nothing is proven.")
	}
	if c := r.Coverage; c != nil {
		text := count(c.Streams, "stream") + " of the data directory verified, where that is stored"
		if c.NotImported > 0 {
			text += "; " + count(c.NotImported, "log file") + " not imported from here as they are"
		}
		if c.Unclear > 0 {
			text += "; " + count(c.Unclear, "stream") + " left out at times: the trail doesn't show that it records all of them"
		}
		t.field("coverage", text)
	}
	return t.String()
}

// keysFile is where fetched public keys are kept, in the form in which the AWS
// CLI prints them.
const keysFile = "trail-keys.json"

// keyRing is the public keys of digests: given, kept, or fetched.
type keyRing struct {
	find    func(ctx context.Context, region, fingerprint string, at time.Time) (*rsa.PublicKey, error)
	path    string // where to keep them; empty: nowhere
	kept    []keptKey
	learned bool
}

type keptKey struct {
	Fingerprint string
	Value       []byte
}

func (e *env) trailKeys(o trailOptions, session func() (*awsapi.Session, error)) (*keyRing, error) {
	if o.keys != "" {
		keys, err := readKeys(o.keys)
		if err != nil {
			return nil, err
		}
		return &keyRing{find: keys.Known}, nil
	}
	ring := &keyRing{}
	known := digest.Keys{}
	if info, err := os.Stat(e.config.DataDir); err == nil && info.IsDir() {
		ring.path = filepath.Join(e.config.DataDir, keysFile)
		if known, err = readKeys(ring.path); errors.Is(err, fs.ErrNotExist) {
			known = digest.Keys{}
		} else if err != nil {
			return nil, err
		}
	}
	s, err := session()
	if err != nil {
		return nil, err
	}
	ring.find = app.NewTrailKeys(known, s.Own(), func(k awsapi.PublicKey) error {
		ring.kept, ring.learned = append(ring.kept, keptKey{k.Fingerprint, k.DER}), true
		return nil
	})
	return ring, nil
}

func readKeys(path string) (digest.Keys, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read public keys: %w", err)
	}
	keys, err := digest.ReadKeys(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

// keep appends what was fetched to the file of known keys: it may hold several
// answers, one after the other.
func (r *keyRing) keep() error {
	if !r.learned || r.path == "" {
		return nil
	}
	text, err := json.Marshal(map[string][]keptKey{"PublicKeyList": r.kept})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(r.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrPermission) {
		return nil // a read-only copy: they are fetched again next time
	}
	if err != nil {
		return fmt.Errorf("keep public keys: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	return errors.Join(err, f.Close())
}
