package collect_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/digest"
	"github.com/iamtrack/iamtrack/internal/filter"
	"github.com/iamtrack/iamtrack/internal/source"
)

const proofAccount = "012345678901"

// trailFolder is a folder of hourly log files of one account, in two regions, for
// the three days before now; each has a reading and a writing event of IAM or STS.
type trailFolder struct {
	dir   string
	from  time.Time
	files []string // the first region's
}

func newTrailFolder(t *testing.T, change func(i int, records []map[string]any)) *trailFolder {
	t.Helper()
	f := &trailFolder{dir: filepath.Join(t.TempDir(), "AWSLogs"), from: now.AddDate(0, 0, -3)}
	for r, region := range []string{"us-east-1", "eu-west-1"} {
		for i := range 72 {
			at := f.from.Add(time.Duration(i) * time.Hour)
			var records []map[string]any
			for j, name := range []string{"GetUser", "CreateUser"} {
				records = append(records, rec(fmt.Sprintf("%s-%d-%d", region, i, j), at, func(rec map[string]any) {
					rec["eventName"], rec["awsRegion"], rec["readOnly"], rec["managementEvent"] = name, region, j == 0, true
					rec["eventSource"] = []string{"iam.amazonaws.com", "sts.amazonaws.com"}[r]
				}))
			}
			if change != nil {
				change(i, records)
			}
			var texts []string
			for _, rec := range records {
				texts = append(texts, string(encode(t, rec)))
			}
			path := filepath.Join(f.dir, proofAccount, "CloudTrail", region,
				fmt.Sprintf("%s_CloudTrail_%s_%s_abcdefgh.json", proofAccount, region, at.Add(5*time.Minute).Format("20060102T1504Z")))
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(`{"Records":[`+strings.Join(texts, ",")+`]}`), 0o600); err != nil {
				t.Fatal(err)
			}
			if r == 0 {
				f.files = append(f.files, path)
			}
		}
	}
	return f
}

// prove tells Prove that digests prove the whole folder.
func (f *trailFolder) prove(t *testing.T, p *collect.Pipeline) collect.Proven {
	t.Helper()
	proof := collect.Proof{
		Global: func(string) string { return "us-east-1" },
		List: func(_ context.Context, yield func([]source.File) error) error {
			files, _, err := source.Expand([]string{f.dir})
			if err != nil {
				return err
			}
			return yield(files)
		},
	}
	for _, region := range []string{"us-east-1", "eu-west-1", "eu-north-1"} {
		proof.Spans = append(proof.Spans, digest.Span{AccountID: proofAccount, Region: region, From: f.from, To: now})
	}
	proven, err := p.Prove(context.Background(), proof)
	if err != nil {
		t.Fatal(err)
	}
	return proven
}

// verified is what the ledger of a stream says is verified, in hours after the
// folder's beginning.
func (f *trailFolder) verified(t *testing.T, p *collect.Pipeline, region, name string) string {
	t.Helper()
	ledgers, err := p.Store.Streams(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range ledgers {
		if l.Stream != (coverage.Stream{AccountID: proofAccount, Region: region, Source: name + ".amazonaws.com"}) {
			continue
		}
		for _, c := range l.Covered(coverage.SpanOf(now.AddDate(-1, 0, 0), now)) {
			if c.Level == coverage.Verified {
				out = append(out, fmt.Sprintf("%d-%d", (c.From-f.from.Unix())/3600, (c.To-f.from.Unix())/3600))
			}
		}
	}
	return strings.Join(out, " ")
}

func TestProve(t *testing.T) {
	const all = "0-71" // the last hour's events may be delivered later
	writeOnly := func(_ int, records []map[string]any) { records[0]["readOnly"] = false }
	data := func(_ int, records []map[string]any) {
		for _, r := range records {
			r["managementEvent"] = false
		}
	}
	for name, c := range map[string]struct {
		change    func(int, []map[string]any)
		do        func(t *testing.T, f *trailFolder, p *collect.Pipeline)
		iam, sts  string // in us-east-1 and eu-west-1
		quiet     string // sts, where no file is
		imported  bool   // all is
		unclear   bool
		narrowed  []string
		retention int
	}{
		"all imported":       {iam: all, sts: all, quiet: all, imported: true},
		"nothing imported":   {do: func(*testing.T, *trailFolder, *collect.Pipeline) {}, unclear: true},
		"narrowed":           {narrowed: []string{"iam"}, iam: all, quiet: all, imported: true},
		"a trail of writes":  {change: writeOnly, imported: true, unclear: true},
		"a trail of data":    {change: data, imported: true, unclear: true},
		"removed since":      {retention: 2, iam: "12-71", sts: "12-71", quiet: "12-71", imported: true},
		"one file left out":  {do: without(30), iam: "0-27 32-71", sts: all, quiet: all},
		"one file changed":   {do: changed(30), iam: "0-27 32-71", sts: all, quiet: all},
		"the first left out": {do: without(0), iam: "2-71", sts: all, quiet: all},
	} {
		t.Run(name, func(t *testing.T) {
			f := newTrailFolder(t, c.change)
			p := newPipeline(t)
			if c.narrowed != nil {
				var err error
				if p.Filter, err = filter.New(filter.Config{Sources: c.narrowed}); err != nil {
					t.Fatal(err)
				}
			}
			if c.do != nil {
				c.do(t, f, p)
			} else {
				mustImport(t, p, f.dir)
			}
			if c.retention > 0 {
				p.LakeDays = c.retention
				if _, err := p.Export(context.Background(), collect.ExportOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				proven := f.prove(t, p)
				if (proven.NotImported == 0) != c.imported || (proven.Unclear > 0) != c.unclear || (proven.Streams > 0) != (c.quiet != "") {
					t.Errorf("%+v", proven)
				}
				iam, sts, quiet := f.verified(t, p, "us-east-1", "iam"), f.verified(t, p, "eu-west-1", "sts"), f.verified(t, p, "eu-north-1", "sts")
				if iam != c.iam || sts != c.sts || quiet != c.quiet {
					t.Errorf("verified: iam %s, sts %s, without files %s; want %s, %s, %s", iam, sts, quiet, c.iam, c.sts, c.quiet)
				}
			}
			if got := f.verified(t, p, "eu-west-1", "iam"); got != "" {
				t.Errorf("iam is verified where it isn't recorded: %s", got)
			}
		})
	}
}

// without imports all but one file of us-east-1.
func without(i int) func(*testing.T, *trailFolder, *collect.Pipeline) {
	return func(t *testing.T, f *trailFolder, p *collect.Pipeline) {
		t.Helper()
		away := filepath.Join(t.TempDir(), "away")
		if err := os.Rename(f.files[i], away); err != nil {
			t.Fatal(err)
		}
		mustImport(t, p, f.dir)
		if err := os.Rename(away, f.files[i]); err != nil {
			t.Fatal(err)
		}
	}
}

// changed changes a file after all were imported.
func changed(i int) func(*testing.T, *trailFolder, *collect.Pipeline) {
	return func(t *testing.T, f *trailFolder, p *collect.Pipeline) {
		t.Helper()
		mustImport(t, p, f.dir)
		if err := os.WriteFile(f.files[i], []byte(`{"Records":[]}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// What a run has read stays as it was below and beside what is proven.
func TestProveKeepsWhatWasCollected(t *testing.T) {
	f := newTrailFolder(t, nil)
	p := newPipeline(t)
	mustImport(t, p, f.dir)
	stream := coverage.Stream{AccountID: proofAccount, Region: "us-east-1", Source: "iam.amazonaws.com"}
	err := p.Store.UpdateStream(context.Background(), stream, func(l *coverage.Ledger) error {
		l.Begin(now.Unix())
		l.Fail(l.Promised(), coverage.Denied, "no", now.Unix())
		l.Mark(coverage.Read{Span: coverage.SpanOf(now.AddDate(0, 0, -1), now), Begun: now.Unix()})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	f.prove(t, p)
	ledgers, err := p.Store.Streams(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range ledgers {
		if l.Stream != stream {
			continue
		}
		window := coverage.SpanOf(now.AddDate(0, 0, -10), now)
		covered, gaps := l.Covered(window), l.Gaps(window)
		if len(covered) != 2 || covered[0].Level != coverage.Verified || covered[1].Level != coverage.Collected || covered[1].To != now.Unix() {
			t.Errorf("covered: %+v", covered)
		}
		if len(gaps) != 1 || gaps[0].To != f.from.Unix() || gaps[0].Reason != coverage.Denied {
			t.Errorf("gaps: %+v", gaps)
		}
		return
	}
	t.Fatal("the stream's ledger is gone")
}
