package collect_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/fault"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/store"
)

// drawRecords draws records that collide in every way: the same again, the same
// id with other content, on the same day or another, noise, rejects, events that
// rules correlate, days inside and outside the hot window.
func drawRecords(t *rapid.T, tb testing.TB) [][]byte {
	var lines [][]byte
	for range rapid.IntRange(1, 14).Draw(t, "records") {
		id := fmt.Sprint("e", rapid.IntRange(0, 5).Draw(t, "id"))
		at := now.AddDate(0, 0, -rapid.SampledFrom([]int{1, 2, 89, 91, 200}).Draw(t, "age")).Truncate(24 * time.Hour).
			Add(time.Duration(rapid.SampledFrom([]int{3, 12, 23}).Draw(t, "hour")) * time.Hour)
		version := rapid.SampledFrom([]string{"1.08", "1.10"}).Draw(t, "version")
		r := rec(id, at, func(r map[string]any) { r["eventVersion"] = version })
		switch rapid.IntRange(0, 16).Draw(t, "kind") {
		case 0:
			r = rec("n"+id, at, noise)
		case 5:
			// Noise by the id of what are events elsewhere.
			r = rec(id, at, noise)
		case 1:
			r["eventTime"] = "soon"
		case 2:
			r["eventName"] = "DeactivateMFADevice"
			r["requestParameters"] = map[string]any{"userName": "bob", "serialNumber": "arn:aws:iam::012345678901:mfa/bob"}
		case 3:
			r["eventName"] = "DeleteVirtualMFADevice"
			r["requestParameters"] = map[string]any{"serialNumber": "arn:aws:iam::012345678901:mfa/bob"}
		case 4:
			r["eventName"] = "ListUsers"
			r["readOnly"] = true
			r["requestParameters"] = nil
		case 6, 8, 9:
			// Sessions that issue each other, or are issued by ann.
			issue(r, rapid.IntRange(0, 3).Draw(t, "session"))
			fallthrough
		case 7, 10, 11:
			if by := rapid.IntRange(0, 4).Draw(t, "caller"); by < 4 {
				inSession(r, by)
			}
		case 12:
			// A service gives credentials: dropped, but not what it says of them.
			r = rec(rapid.SampledFrom([]string{id, id, "i1", "i2"}).Draw(t, "issued"), at, noise)
			r["userIdentity"].(map[string]any)["invokedBy"] = rapid.SampledFrom([]string{"a.amazonaws.com", "b.amazonaws.com"}).Draw(t, "service")
			issue(r, rapid.IntRange(0, 3).Draw(t, "session"))
		case 13:
			// A role that is filtered by name is taken, or its session takes another.
			issue(r, rapid.IntRange(0, 3).Draw(t, "session"))
			if rapid.Bool().Draw(t, "taken") {
				r["requestParameters"] = map[string]any{"roleArn": "arn:aws:iam::012345678901:role/BigScanner", "roleSessionName": "s"}
			} else {
				r["userIdentity"] = map[string]any{"type": "AssumedRole", "arn": "arn:aws:sts::012345678901:assumed-role/BigScanner/s", "accountId": "012345678901",
					"accessKeyId": fmt.Sprint("ASIA", rapid.IntRange(0, 3).Draw(t, "caller"))}
			}
		case 14, 15:
			// A user of Identity Center: by id, or in a role by id and name, or by name
			// alone; all with one key, which may go on to another session.
			const portal, both = 0, 1
			user := rapid.IntRange(0, 1).Draw(t, "user")
			identity := map[string]any{"type": "IdentityCenterUser", "accountId": "012345678901"}
			how := rapid.IntRange(0, 2).Draw(t, "how")
			if how != portal {
				name := rapid.SampledFrom([]string{"una", "uno"}).Draw(t, "name")
				identity = map[string]any{"type": "AssumedRole", "principalId": "AROASSO:" + name, "arn": "arn:aws:sts::012345678901:assumed-role/AWSReservedSSO_A_0/" + name,
					"accountId": "012345678901", "accessKeyId": "ASIASSO", "sessionContext": map[string]any{"sessionIssuer": map[string]any{
						"type": "Role", "userName": "AWSReservedSSO_A_0", "arn": "arn:aws:iam::012345678901:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_A_0"}}}
				if rapid.Bool().Draw(t, "goes on") {
					issue(r, rapid.IntRange(0, 3).Draw(t, "session"))
				}
			}
			if how == portal || how == both {
				identity["onBehalfOf"] = map[string]any{"userId": fmt.Sprint("u", user), "identityStoreArn": "arn:aws:identitystore::012345678901:identitystore/d-1"}
			}
			r["userIdentity"] = identity
		case 16:
			// The side of the account whose role it is, of a call from another one.
			if rapid.Bool().Draw(t, "given") {
				issue(r, rapid.IntRange(0, 3).Draw(t, "session"))
			} else {
				r["eventSource"], r["eventName"], r["errorCode"] = "sts.amazonaws.com", "AssumeRole", "AccessDenied"
			}
			r["sharedEventID"] = rapid.SampledFrom([]string{"x", "y"}).Draw(t, "shared")
			if rapid.Bool().Draw(t, "owner's") {
				r["recipientAccountId"] = "444455556666"
				r["userIdentity"] = map[string]any{"type": "AWSAccount", "principalId": rapid.SampledFrom([]string{"AIDAANN", "AROAX:s"}).Draw(t, "principal"), "accountId": "012345678901"}
			}
		}
		lines = append(lines, encode(tb, r))
	}
	return lines
}

func sessionARN(n int) string {
	return fmt.Sprintf("arn:aws:sts::012345678901:assumed-role/r%d/s", n)
}

// issue makes a record give the credentials of the n-th session.
func issue(r map[string]any, n int) {
	r["eventSource"], r["eventName"] = "sts.amazonaws.com", "AssumeRole"
	r["requestParameters"] = map[string]any{"roleArn": fmt.Sprintf("arn:aws:iam::012345678901:role/r%d", n), "roleSessionName": "s"}
	r["responseElements"] = map[string]any{"credentials": map[string]any{"accessKeyId": fmt.Sprint("ASIA", n)}, "assumedRoleUser": map[string]any{"arn": sessionARN(n)}}
}

// inSession makes the n-th session a record's caller.
func inSession(r map[string]any, n int) {
	r["userIdentity"] = map[string]any{"type": "AssumedRole", "principalId": "AROA:s", "arn": sessionARN(n), "accountId": "012345678901", "accessKeyId": fmt.Sprint("ASIA", n)}
}

// importSplit imports lines in the given order, cut into files and runs.
func importSplit(t *rapid.T, tb testing.TB, p *collect.Pipeline, lines [][]byte) {
	dir, err := os.MkdirTemp("", "property")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // scratch
	for run := 0; len(lines) > 0; run++ {
		n := rapid.IntRange(1, len(lines)).Draw(t, "cut")
		path := writeLines(tb, filepath.Join(dir, fmt.Sprint(run), "part.jsonl"), lines[:n]...)
		sum, err := p.Import(context.Background(), collect.ImportOptions{
			Paths: []string{path}, MemoryBytes: rapid.SampledFrom([]int64{1, 0}).Draw(t, "memory"),
		})
		if err != nil {
			t.Fatal(err)
		}
		checkSum(tb, sum)
		if sum.Records != int64(n) {
			t.Fatalf("%d records of %d lines", sum.Records, n)
		}
		lines = lines[n:]
		if rapid.Bool().Draw(t, "export between") {
			if _, err := p.Export(context.Background(), collect.ExportOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Any order, split, repetition and re-export leaves the same rows, alerts and
// counts.
func TestOrderSplitRepetitionDoNotMatter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lines := drawRecords(rt, t)
		a := newPipeline(t)
		importSplit(rt, t, a, lines)
		want := stateOf(t, a)

		shuffled := rapid.Permutation(lines).Draw(rt, "order")
		again := rapid.SliceOfN(rapid.SampledFrom(lines), 0, 4).Draw(rt, "again")
		b := newPipeline(t)
		importSplit(rt, t, b, append(slices.Clone(shuffled), again...))
		if diff := cmp.Diff(want, stateOf(t, b)); diff != "" {
			rt.Fatalf("another order or split gives another state (-want +got):\n%s\nlines:\n%s", diff, joinLines(lines))
		}
		if _, err := b.Export(context.Background(), collect.ExportOptions{Rebuild: true}); err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(want, stateOf(t, b)); diff != "" {
			rt.Fatalf("a rebuild gives another state (-want +got):\n%s", diff)
		}
	})
}

var errInjected = errors.New("injected fault")

// Whatever write fails, with or without having taken effect, repeating the
// import ends in the same state as an import that never failed.
func TestEveryFaultConverges(t *testing.T) {
	if testing.Short() {
		t.Skip("hundreds of runs with nothing at once")
	}
	t.Run("hot rows", func(t *testing.T) { everyFaultConverges(t, pipelineOver) })
	t.Run("inbox", func(t *testing.T) { everyFaultConverges(t, inboxOver) })
}

func everyFaultConverges(t *testing.T, open func(testing.TB, store.Store, lake.Bucket) *collect.Pipeline) {
	dir := t.TempDir()
	day := now.AddDate(0, 0, -3).Truncate(24 * time.Hour).Add(9 * time.Hour)
	old := now.AddDate(0, 0, -300).Truncate(24 * time.Hour).Add(9 * time.Hour)
	first := writeLines(t, filepath.Join(dir, "1.jsonl"),
		encode(t, rec("e1", day)), encode(t, rec("e2", old)), encode(t, rec("n1", day, noise)),
		encode(t, rec("bad", day, func(r map[string]any) { r["eventTime"] = "never" })))
	second := writeLines(t, filepath.Join(dir, "2.jsonl"),
		encode(t, rec("e1", day, func(r map[string]any) { r["eventVersion"] = "1.10" })),                  // wins, same day
		encode(t, rec("e2", old.AddDate(0, 0, 1), func(r map[string]any) { r["eventVersion"] = "1.10" })), // wins, other day
		encode(t, rec("n1", day)), // no longer noise
		encode(t, rec("e3", old)), encode(t, rec("n2", old, noise)))
	run := func(p *collect.Pipeline) error {
		for _, f := range []string{first, second} {
			sum, err := p.Import(context.Background(), collect.ImportOptions{Paths: []string{f}})
			if err != nil {
				return err
			}
			if strings.Contains(sum.NotRolledUp, errInjected.Error()) {
				return errInjected // told, although the import itself is done
			}
			if _, err := p.Export(context.Background(), collect.ExportOptions{Wait: true}); err != nil {
				return err
			}
		}
		return nil
	}
	local := newPipeline(t)
	if err := run(local); err != nil {
		t.Fatal(err)
	}
	want := stateOf(t, local) // the same without an inbox
	clean := open(t, store.OpenMem(), lake.OpenMem())
	// The points that a clean run passes, with how often.
	passed := map[string]int{}
	var order []string
	var mu sync.Mutex // points are passed by several goroutines
	restore := fault.Set(func(point string) error {
		mu.Lock()
		defer mu.Unlock()
		if passed[point]++; passed[point] == 1 {
			order = append(order, point)
		}
		return nil
	})
	err := run(clean)
	restore()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, stateOf(t, clean)); diff != "" {
		t.Fatal(diff)
	}
	if len(order) < 8 {
		t.Fatalf("only the points %v were passed", order)
	}
	for _, point := range order {
		for nth := 1; nth <= passed[point]; nth++ {
			// A lease whose holder was told that it has none is free in time.
			clock := now
			s := store.OpenMem()
			s.Now = func() time.Time { return clock }
			p := open(t, s, lake.OpenMem())
			n := 0
			restore := fault.Set(func(at string) error {
				mu.Lock()
				defer mu.Unlock()
				if at == point {
					if n++; n == nth {
						return errInjected
					}
				}
				return nil
			})
			err := run(p)
			restore()
			// How an import is cut into batches depends on which worker is first: the
			// last passes of a point may not come in this run.
			if reached := n >= nth || nth == 1; reached != errors.Is(err, errInjected) {
				t.Errorf("%s, time %d: got %v, want the injected fault to be reported", point, nth, err)
			}
			clock = clock.Add(time.Hour)
			if err := run(p); err != nil {
				t.Errorf("%s, time %d: run again: %v", point, nth, err)
				continue
			}
			if diff := cmp.Diff(want, stateOf(t, p)); diff != "" {
				t.Errorf("%s, time %d: another state (-want +got):\n%s", point, nth, diff)
			}
		}
	}
}

// Two imports at once, and exports beside them, count each record once.
func TestImportsAtOnce(t *testing.T) {
	dir := t.TempDir()
	var lines [][]byte
	for i := range 400 {
		lines = append(lines, encode(t, rec(fmt.Sprint("e", i), now.AddDate(0, 0, -(i%30)*10))))
	}
	paths := []string{
		writeLines(t, filepath.Join(dir, "a.jsonl"), lines[:300]...),
		writeLines(t, filepath.Join(dir, "b.jsonl"), lines[100:]...),
	}
	s, b := store.OpenMem(), lake.OpenMem()
	type result struct {
		sum collect.Summary
		err error
	}
	results := make(chan result)
	for i, path := range paths {
		p := pipelineOver(t, s, b)
		p.Holder = fmt.Sprint("importer ", i)
		go func() {
			sum, err := p.Import(context.Background(), collect.ImportOptions{Paths: []string{path}, MemoryBytes: 50_000})
			results <- result{sum, err}
		}()
	}
	exporter := pipelineOver(t, s, b)
	exporter.Holder = "exporter"
	var stored, duplicates int64
	for range paths {
		if _, err := exporter.Export(context.Background(), collect.ExportOptions{Wait: true}); err != nil {
			t.Fatal(err)
		}
		r := <-results
		if r.err != nil {
			t.Fatal(r.err)
		}
		checkSum(t, r.sum)
		stored += r.sum.Stored
		duplicates += r.sum.Duplicates
	}
	if stored != 400 || duplicates != 200 {
		t.Errorf("both stored %d, and found %d duplicates; want 400 and 200", stored, duplicates)
	}
	if got := len(stateOf(t, exporter).Events); got != 400 {
		t.Errorf("%d events in the end", got)
	}
}

// An interrupted import goes on where it was: finished files are not read again.
func TestInterruptedImportResumes(t *testing.T) {
	dir := t.TempDir()
	var want int64
	for i := range 20 {
		writeLines(t, filepath.Join(dir, fmt.Sprintf("%02d.jsonl", i)), encode(t, rec(fmt.Sprint("e", i), now.AddDate(0, 0, -300-i))))
		want++
	}
	p := newPipeline(t)
	done := 0
	restore := fault.Set(func(point string) error {
		if point == "collect.filedone.before" {
			if done++; done == 8 {
				return errInjected
			}
		}
		return nil
	})
	_, err := p.Import(context.Background(), collect.ImportOptions{Paths: []string{dir}, MemoryBytes: 1})
	restore()
	if !errors.Is(err, errInjected) {
		t.Fatalf("got %v", err)
	}
	sum := mustImport(t, p, dir)
	if sum.ResumedFiles == 0 || sum.Files+sum.ResumedFiles != 20 {
		t.Errorf("after the interruption: %d files read, %d resumed", sum.Files, sum.ResumedFiles)
	}
	if got := int64(len(stateOf(t, p).Events)); got != want {
		t.Errorf("%d events, want %d", got, want)
	}
	if sum = mustImport(t, p, dir); sum.ResumedFiles != 0 || sum.Duplicates != want {
		t.Errorf("after a finished import everything is read again: %+v", sum)
	}
	sum, err = p.Import(context.Background(), collect.ImportOptions{Paths: []string{dir}, OnlyNew: true})
	if err != nil || sum.Files != 0 || sum.SkippedFiles != 20 {
		t.Errorf("only new files: %+v, %v", sum, err)
	}
}
