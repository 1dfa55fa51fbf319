package collect_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/filter"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

// now is the clock of all tests; the hot window is the 90 days before.
var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// newPipeline opens a pipeline over memory.
func newPipeline(t testing.TB) *collect.Pipeline {
	t.Helper()
	s := store.OpenMem()
	t.Cleanup(func() { _ = s.Close() })
	return pipelineOver(t, s, lake.OpenMem())
}

func pipelineOver(t testing.TB, s store.Store, b lake.Bucket) *collect.Pipeline {
	t.Helper()
	engine, err := rule.NewEngine(rule.Config{OffHours: rule.OffHoursConfig{Timezone: "UTC", Start: "22:00", End: "06:00"}})
	if err != nil {
		t.Fatal(err)
	}
	f, err := filter.New(filter.Config{ServiceEvents: true, Roles: []string{"*Scanner*"}})
	if err != nil {
		t.Fatal(err)
	}
	return &collect.Pipeline{
		Store: s, Lake: lake.New(b, lake.Options{ProgramVersion: "test"}), Rules: engine, Filter: f,
		Now: func() time.Time { return now }, HotDays: 90, Holder: t.Name(),
	}
}

// state is all that a user can see, comparable.
type state struct {
	Events    []string // canonical record, mark, and who is behind it
	Filtered  []string
	Conflicts []string
	Rejected  []string
	Alerts    []string
	Counts    map[string]int64
}

// stateOf exports and then reads everything back.
func stateOf(t testing.TB, p *collect.Pipeline) state {
	t.Helper()
	ctx := context.Background()
	if _, err := p.Export(ctx, collect.ExportOptions{Wait: true}); err != nil {
		t.Fatalf("export: %v", err)
	}
	s := state{Counts: map[string]int64{}}
	dates, err := p.Lake.Dates(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dates {
		for e, err := range p.Lake.Events(ctx, d) {
			if err != nil {
				t.Fatal(err)
			}
			rec, err := e.Record()
			if err != nil {
				t.Fatalf("reassemble %s: %v", e.EventID, err)
			}
			s.Events = append(s.Events, d.String()+" "+e.AccountID+" "+e.EventID+" "+e.FilteredBy+" "+e.ActorKind+" "+e.ActorChain+" "+string(rec))
			s.Counts[e.Category]++
		}
		for f, err := range p.Lake.Filtered(ctx, d) {
			if err != nil {
				t.Fatal(err)
			}
			s.Filtered = append(s.Filtered, fmt.Sprint(d, f))
		}
	}
	for e, err := range p.Store.Conflicts(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		s.Conflicts = append(s.Conflicts, fmt.Sprintf("%s %s %x", e.AccountID, e.EventID, uint64(e.RecordHash)))
	}
	for r, err := range p.Store.Rejected(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		s.Rejected = append(s.Rejected, r.SHA256+" "+r.Reason)
	}
	slices.Sort(s.Rejected)
	alerts, err := p.Store.Alerts(ctx, store.AlertFilter{States: []string{rule.StateFinding, rule.StateAcknowledged, rule.StateSuperseded}})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range alerts {
		text, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		s.Alerts = append(s.Alerts, string(text))
	}
	recorded, err := p.Store.LakeDays(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var events, filtered int64
	for _, d := range recorded {
		events += d.Events
		filtered += d.Filtered
	}
	if events != int64(len(s.Events)) || filtered != int64(len(s.Filtered)) {
		t.Errorf("the store says the lake holds %d events and %d filtered rows, it holds %d and %d", events, filtered, len(s.Events), len(s.Filtered))
	}
	if _, err := p.Verify(ctx, func(pr collect.Problem) { t.Errorf("verify: %s: %s", pr.Where, pr.What) }); err != nil {
		t.Fatal(err)
	}
	return s
}

func mustImport(t testing.TB, p *collect.Pipeline, paths ...string) collect.Summary {
	t.Helper()
	sum, err := p.Import(context.Background(), collect.ImportOptions{Paths: paths})
	if err != nil {
		t.Fatalf("import %v: %v", paths, err)
	}
	checkSum(t, sum)
	return sum
}

// checkSum checks the equation that every summary promises.
func checkSum(t testing.TB, s collect.Summary) {
	t.Helper()
	if got := s.Stored + s.Duplicates + s.Conflicts + s.Filtered.Service + s.Filtered.Role + s.Rejected; got != s.Records {
		t.Errorf("stored %d + duplicates %d + conflicts %d + filtered %d, %d + rejected %d = %d, but records %d",
			s.Stored, s.Duplicates, s.Conflicts, s.Filtered.Service, s.Filtered.Role, s.Rejected, got, s.Records)
	}
	of := int64(0)
	for _, n := range s.Categories {
		of += n
	}
	if of != s.Stored {
		t.Errorf("stored %d, by category %v", s.Stored, s.Categories)
	}
}

// rec makes a CloudTrail record; change edits it.
func rec(id string, at time.Time, change ...func(map[string]any)) map[string]any {
	r := map[string]any{
		"eventVersion": "1.08", "eventID": id, "eventTime": at.UTC().Format(time.RFC3339),
		"eventSource": "iam.amazonaws.com", "eventName": "CreateUser", "awsRegion": "us-east-1",
		"sourceIPAddress": "198.51.100.7", "userAgent": "aws-cli/2.15", "eventType": "AwsApiCall", "readOnly": false,
		"recipientAccountId": "012345678901", "requestParameters": map[string]any{"userName": "new-" + id},
		"responseElements": nil,
		"userIdentity": map[string]any{
			"type": "IAMUser", "principalId": "AIDAEXAMPLE", "arn": "arn:aws:iam::012345678901:user/ann",
			"accountId": "012345678901", "accessKeyId": "AKIAEXAMPLE", "userName": "ann",
		},
	}
	for _, c := range change {
		c(r)
	}
	return r
}

// noise makes a record that the service filter drops.
func noise(r map[string]any) {
	r["eventSource"], r["eventName"] = "sts.amazonaws.com", "AssumeRole"
	r["userIdentity"] = map[string]any{"type": "AWSService", "invokedBy": "config.amazonaws.com"}
	r["requestParameters"] = map[string]any{"roleArn": "arn:aws:iam::012345678901:role/aws-service-role/config.amazonaws.com/AWSServiceRoleForConfig"}
}

func encode(t testing.TB, r any) []byte {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// writeLines writes JSON lines.
func writeLines(t testing.TB, path string, lines ...[]byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(joinLines(lines)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func joinLines(lines [][]byte) string {
	var b strings.Builder
	for _, l := range lines {
		b.Write(l)
		b.WriteByte('\n')
	}
	return b.String()
}

func TestImportStoresFiltersRejects(t *testing.T) {
	at := now.Add(-48 * time.Hour)
	p := newPipeline(t)
	file := writeLines(t, filepath.Join(t.TempDir(), "a.jsonl"),
		encode(t, rec("e1", at)),
		encode(t, rec("e1", at)), // again
		encode(t, rec("n1", at, noise)),
		encode(t, rec("bad", at, func(r map[string]any) { r["eventTime"] = "yesterday" })),
		encode(t, rec("e2", at.AddDate(-1, 0, 0))),
	)
	sum := mustImport(t, p, file)
	want := collect.Summary{
		Files: 1, Records: 5, Stored: 2, Duplicates: 1, Filtered: collect.FilteredCount{Service: 1}, Rejected: 1, Alerts: 2,
		Categories: map[string]int64{"iam": 2}, FailedFiles: []collect.FileError{},
	}
	sum.Seconds, sum.Bytes, sum.FirstEvent, sum.LastEvent = 0, 0, nil, nil
	if diff := cmp.Diff(want, sum); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	first := stateOf(t, p)
	if len(first.Events) != 2 || len(first.Filtered) != 1 || len(first.Rejected) != 1 || len(first.Alerts) != 2 {
		t.Errorf("state: %+v", first)
	}
	again := mustImport(t, p, file)
	if again.Stored != 0 || again.Alerts != 0 || again.Duplicates != 3 {
		t.Errorf("imported again: %+v", again)
	}
	if diff := cmp.Diff(first, stateOf(t, p)); diff != "" {
		t.Errorf("the second import changed something:\n%s", diff)
	}
}

// What a critical rule fires on is stored, marked, whatever the filter says.
func TestFilterNeverHidesCritical(t *testing.T) {
	p := newPipeline(t)
	file := writeLines(t, filepath.Join(t.TempDir(), "a.jsonl"), encode(t, rec("e1", now.Add(-time.Hour), func(r map[string]any) {
		r["eventName"] = "AttachUserPolicy"
		r["requestParameters"] = map[string]any{"userName": "eve", "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}
		r["userIdentity"] = map[string]any{
			"type": "AssumedRole", "arn": "arn:aws:sts::012345678901:assumed-role/VendorScanner/s", "accountId": "012345678901", "principalId": "AROAX:s",
			"sessionContext": map[string]any{"sessionIssuer": map[string]any{
				"type": "Role", "arn": "arn:aws:iam::012345678901:role/VendorScanner", "userName": "VendorScanner", "accountId": "012345678901",
			}},
		}
	})), encode(t, rec("e2", now.Add(-time.Hour), func(r map[string]any) {
		r["eventName"] = "ListUsers"
		r["userIdentity"] = map[string]any{
			"type": "AssumedRole", "arn": "arn:aws:sts::012345678901:assumed-role/VendorScanner/s", "accountId": "012345678901", "principalId": "AROAX:s",
		}
	})))
	sum := mustImport(t, p, file)
	if sum.Stored != 1 || sum.Kept != 1 || sum.Filtered.Role != 1 || sum.Alerts == 0 {
		t.Errorf("summary: %+v", sum)
	}
	if s := stateOf(t, p); len(s.Events) != 1 || !strings.Contains(s.Events[0], " role ") {
		t.Errorf("state: %+v", s)
	}
}

func TestImportFolderOfOtherFiles(t *testing.T) {
	p := newPipeline(t)
	dir := t.TempDir()
	writeLines(t, filepath.Join(dir, "good.jsonl"), encode(t, rec("e1", now)), []byte(`{"label":"not a record"}`))
	writeLines(t, filepath.Join(dir, "labels.jsonl"), []byte(`{"line":1}`), []byte(`{"line":2}`))
	writeLines(t, filepath.Join(dir, "empty.json"), []byte(`[]`))
	writeLines(t, filepath.Join(dir, "broken.json"), []byte(`[{eventName: 'x'}]`))
	writeLines(t, filepath.Join(dir, "spaces.json"), []byte("  "))
	if err := os.WriteFile(filepath.Join(dir, "nothing.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	sum := mustImport(t, p, dir)
	if sum.Files != 6 || sum.Records != 2 || sum.Stored != 1 || sum.Rejected != 1 {
		t.Errorf("summary: %+v", sum)
	}
	failed := map[string]bool{}
	for _, f := range sum.FailedFiles {
		failed[filepath.Base(f.Path)] = f.Foreign
	}
	if diff := cmp.Diff(map[string]bool{"labels.jsonl": true, "spaces.json": true, "broken.json": false}, failed); diff != "" {
		t.Errorf("failed files (-want +got):\n%s", diff)
	}
	if !sum.Incomplete() {
		t.Error("an import with a broken file counts as complete")
	}
	// Named on purpose, a file without records is a failure.
	for _, name := range []string{"labels.jsonl", "spaces.json"} {
		if sum = mustImport(t, p, filepath.Join(dir, name)); !sum.Incomplete() {
			t.Errorf("%s, named, without records: %+v", name, sum)
		}
	}
}

// A late event rewrites its day only, and an export with nothing new nothing.
func TestLateEventRewritesItsDayOnly(t *testing.T) {
	dir := t.TempDir()
	bucket, err := lake.OpenDisk(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	p := pipelineOver(t, store.OpenMem(), bucket)
	var lines [][]byte
	for i := range 10 {
		lines = append(lines, encode(t, rec(fmt.Sprint("e", i), now.AddDate(0, 0, -100+i*5))))
	}
	mustImport(t, p, writeLines(t, filepath.Join(t.TempDir(), "a.jsonl"), lines...))
	stateOf(t, p)
	before := snapshot(t, dir)
	stateOf(t, p)
	if diff := cmp.Diff(before, snapshot(t, dir)); diff != "" {
		t.Errorf("an export with nothing new changed files:\n%s", diff)
	}
	late := now.AddDate(0, 0, -100+15)
	mustImport(t, p, writeLines(t, filepath.Join(t.TempDir(), "b.jsonl"), encode(t, rec("late", late.Add(time.Hour)))))
	stateOf(t, p)
	var changed []string
	after := snapshot(t, dir)
	for _, k := range slices.Sorted(maps.Keys(after)) {
		if before[k] != after[k] && strings.HasPrefix(k, "events") {
			changed = append(changed, k)
		}
	}
	if want := "events/event_date=" + late.Format(time.DateOnly) + "/events.parquet"; len(changed) != 1 || changed[0] != want {
		t.Errorf("changed %v, want only %s", changed, want)
	}
}

// snapshot maps the files below dir to their identity.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		files[filepath.ToSlash(rel)] = fmt.Sprint(info.Size(), info.ModTime().UnixNano())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestRetentionRemovesWholeDays(t *testing.T) {
	p := newPipeline(t)
	mustImport(t, p, writeLines(t, filepath.Join(t.TempDir(), "a.jsonl"),
		encode(t, rec("old", now.AddDate(0, 0, -400))), encode(t, rec("new", now.AddDate(0, 0, -10)))))
	p.LakeDays = 365
	if s := stateOf(t, p); len(s.Events) != 1 || !strings.Contains(s.Events[0], " new ") {
		t.Errorf("events after retention: %v", s.Events)
	}
	days, err := p.Store.LakeDays(context.Background())
	if err != nil || len(days) != 1 {
		t.Errorf("lake days: %v, %v", days, err)
	}
}

// What retention removed is not covered any more, days without events included.
func TestRetentionTakesCoverageBack(t *testing.T) {
	ctx := context.Background()
	for _, events := range []bool{true, false} {
		p := newPipeline(t)
		stream := coverage.Stream{AccountID: "012345678901", Region: "us-east-1", Source: "iam.amazonaws.com"}
		whole := coverage.SpanOf(now.AddDate(0, 0, -90), now)
		err := p.Store.UpdateStream(ctx, stream, func(l *coverage.Ledger) error {
			l.Begin(now.Unix())
			l.Mark(coverage.Read{Span: whole, Begun: now.Unix()})
			l.Verify(coverage.SpanOf(now.AddDate(0, 0, -50), now.AddDate(0, 0, -20)))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if events {
			mustImport(t, p, writeLines(t, filepath.Join(t.TempDir(), "a.jsonl"), encode(t, rec("old", now.AddDate(0, 0, -40)))))
		}
		p.LakeDays = 30
		kept := now.AddDate(0, 0, -30).Truncate(24 * time.Hour)
		for range 2 { // the second export changes nothing
			if _, err := p.Export(ctx, collect.ExportOptions{}); err != nil {
				t.Fatal(err)
			}
			ledgers, err := p.Store.Streams(ctx)
			if err != nil || len(ledgers) != 1 {
				t.Fatal(ledgers, err)
			}
			l := ledgers[0]
			if c := l.Covered(whole); len(c) == 0 || c[0].From != kept.Unix() || c[0].Level != coverage.Verified {
				t.Errorf("covered: %+v", c)
			}
			if g := l.Gaps(whole); len(g) != 1 || g[0].To != kept.Unix() || g[0].Reason != coverage.Removed {
				t.Errorf("gaps: %+v", g)
			}
			if plan := coverage.Plan(now.Unix(), ledgers); len(plan) > 0 && plan[0].Need.From < kept.Unix() {
				t.Errorf("what was removed is read again: %+v", plan)
			}
		}
	}
}

// Files of which an earlier import took fewer records are read again, by a resumed
// import as by one of new files only; those of which it took more are not.
func TestFilesAreDoneForTheirSelection(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	file := writeLines(t, filepath.Join(dir, "a.jsonl"), encode(t, rec("iam", now)),
		encode(t, rec("sts", now, func(r map[string]any) { r["eventSource"] = "sts.amazonaws.com" })))
	p := newPipeline(t)
	do := func(sources ...string) collect.Summary {
		t.Helper()
		var err error
		if p.Filter, err = filter.New(filter.Config{Sources: sources}); err != nil {
			t.Fatal(err)
		}
		sum, err := p.Import(ctx, collect.ImportOptions{Paths: []string{file}, OnlyNew: true})
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	if sum := do("iam"); sum.Stored != 1 {
		t.Fatalf("%+v", sum)
	}
	if sum := do("iam"); sum.Files != 0 {
		t.Errorf("the same selection again: %+v", sum)
	}
	if sum := do("sts"); sum.Stored != 1 {
		t.Errorf("another selection: %+v", sum)
	}
	if sum := do(); sum.Files != 1 || sum.Duplicates != 2 {
		t.Errorf("all records: %+v", sum)
	}
	if sum := do("iam"); sum.Files != 0 {
		t.Errorf("less than all: %+v", sum)
	}
}

// A filtered row gives way to an event of its key and day even if that has lost
// to a content on another day, whichever of the three comes when.
func TestFilteredRowOfLoserIsDropped(t *testing.T) {
	for _, age := range []int{2, 200} { // in the hot window, and before
		day := now.AddDate(0, 0, -age).Truncate(24 * time.Hour).Add(9 * time.Hour)
		lines := [][]byte{
			encode(t, rec("e1", day, noise)),
			encode(t, rec("e1", day)),
			encode(t, rec("e1", day.AddDate(0, 0, 1), func(r map[string]any) { r["eventVersion"] = "1.10" })),
		}
		for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
			p := newPipeline(t)
			for _, i := range order {
				mustImport(t, p, writeLines(t, filepath.Join(t.TempDir(), "part.jsonl"), lines[i]))
				if _, err := p.Export(context.Background(), collect.ExportOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			if s := stateOf(t, p); len(s.Filtered) > 0 || len(s.Events) != 1 || len(s.Conflicts) != 1 {
				t.Errorf("%d days old, order %v: %q, conflicts %q, filtered %q", age, order, s.Events, s.Conflicts, s.Filtered)
			}
		}
	}
}

// A store that was lost is made anew from the lake, or by importing again:
// alerts, and what the lake holds, are as they were.
func TestLostStoreIsMadeAnew(t *testing.T) {
	at := now.AddDate(0, 0, -200)
	file := writeLines(t, filepath.Join(t.TempDir(), "trail.jsonl"),
		encode(t, rec("e1", at)),
		encode(t, rec("e2", at.Add(time.Minute), func(r map[string]any) {
			r["eventName"] = "DeactivateMFADevice"
			r["requestParameters"] = map[string]any{"userName": "bob", "serialNumber": "arn:aws:iam::012345678901:mfa/bob"}
		})),
		encode(t, rec("e3", at.AddDate(0, 0, 1))), encode(t, rec("n1", at, noise)))
	b := lake.OpenMem()
	p := pipelineOver(t, store.OpenMem(), b)
	mustImport(t, p, file)
	want := stateOf(t, p)
	if len(want.Alerts) == 0 {
		t.Fatal("no alert to lose")
	}

	p = pipelineOver(t, store.OpenMem(), b)
	if sum := mustImport(t, p, file); sum.Duplicates != 3 || sum.Alerts != len(want.Alerts) {
		t.Errorf("imported again: %+v", sum)
	}
	if diff := cmp.Diff(want, stateOf(t, p)); diff != "" {
		t.Errorf("imported again (-want +got):\n%s", diff)
	}

	p = pipelineOver(t, store.OpenMem(), b)
	if _, err := p.Export(context.Background(), collect.ExportOptions{Rebuild: true}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, stateOf(t, p)); diff != "" {
		t.Errorf("rebuilt (-want +got):\n%s", diff)
	}
}

// Days leave the hot store once the lake has them and they are older than the hot
// window; what isn't exported stays, however old it is.
func TestHotWindow(t *testing.T) {
	ctx := context.Background()
	p := newPipeline(t)
	p.HotDays = 7
	ingest := func(id string, at time.Time) {
		t.Helper()
		if _, err := p.Ingest(ctx, []collect.Live{{Data: encode(t, rec(id, at)), From: "test"}}); err != nil {
			t.Fatal(err)
		}
	}
	hot := func() int64 {
		t.Helper()
		c, err := p.Store.Counts(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return c.HotEvents
	}
	ingest("old", now.AddDate(0, 0, -8))
	ingest("edge", now.AddDate(0, 0, -7))
	ingest("new", now)
	if n := hot(); n != 3 {
		t.Errorf("%d events are hot before the export", n)
	}
	r, err := p.Export(ctx, collect.ExportOptions{})
	if n := hot(); err != nil || n != 2 || r.Pruned != 1 {
		t.Errorf("after the export %d events are hot, %+v, %v", n, r, err)
	}
	if s := stateOf(t, p); len(s.Events) != 3 {
		t.Errorf("there are %v", s.Events)
	}
}
