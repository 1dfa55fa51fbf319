package collect_test

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/exchange"
	"github.com/iamtrack/iamtrack/internal/fault"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

// transfer moves without bounds, with marks that the first store keeps.
func transfer(direction string, marks store.Store, from, to *collect.Pipeline, change ...func(*exchange.Options)) (exchange.Result, error) {
	o := exchange.Options{Horizon: 24 * time.Hour, Now: func() time.Time { return now }}
	if marks != nil {
		o.Marks = exchange.NewMarks(marks, direction, "prod")
	}
	for _, c := range change {
		c(&o)
	}
	return exchange.Transfer(context.Background(), from, to, o)
}

// steadyStore is a store whose clock goes on with each call, so that leases of failed
// steps run out.
func steadyStore() store.Store {
	clock := now
	s := store.OpenMem()
	s.Now = func() time.Time { clock = clock.Add(time.Minute); return clock }
	return s
}

// However events come to two places, and are moved between them, in parts, with
// failures at any point and while others export: in the end both have the union, and
// there is nothing left to move.
func TestExchangeGivesTheUnion(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lines := drawRecords(rt, t)
		whole := newPipeline(t)
		importSplit(rt, t, whole, lines)
		want := stateOf(t, whole)

		local := pipelineOver(t, steadyStore(), lake.OpenMem())
		stack := inboxOver(t, steadyStore(), lake.OpenMem())
		ingest := func(p *collect.Pipeline, lines [][]byte) {
			var batch []collect.Live
			for _, l := range lines {
				batch = append(batch, collect.Live{Data: l, From: "test"})
			}
			if _, err := p.Ingest(context.Background(), batch); err != nil {
				rt.Fatal(err)
			}
		}
		push := func(change ...func(*exchange.Options)) (exchange.Result, error) {
			return transfer("push", local.Store, local, stack, change...)
		}
		pull := func(change ...func(*exchange.Options)) (exchange.Result, error) {
			return transfer("pull", local.Store, stack, local, change...)
		}
		rest := slices.Clone(lines)
		for len(rest) > 0 {
			n := rapid.IntRange(1, len(rest)).Draw(rt, "batch")
			where := rapid.IntRange(0, 2).Draw(rt, "where")
			if where != 1 {
				ingest(local, rest[:n])
			}
			if where != 0 {
				ingest(stack, rest[:n])
			}
			rest = rest[n:]
			bounds := func(o *exchange.Options) {
				if rapid.Bool().Draw(rt, "bounded") {
					o.Since = now.AddDate(0, 0, -rapid.SampledFrom([]int{2, 90}).Draw(rt, "since"))
				}
			}
			switch rapid.IntRange(0, 5).Draw(rt, "then") {
			case 0:
				breaking(rt, func() error { _, err := push(bounds); return err })
			case 1:
				breaking(rt, func() error { _, err := pull(bounds); return err })
			case 2:
				breaking(rt, func() error { _, err := stack.Export(context.Background(), collect.ExportOptions{}); return err })
			case 3:
				breaking(rt, func() error { _, err := local.Export(context.Background(), collect.ExportOptions{}); return err })
			}
		}
		dry, err := push(func(o *exchange.Options) { o.DryRun = true })
		if err != nil {
			rt.Fatal(err)
		}
		done, err := push()
		if err != nil {
			rt.Fatal(err)
		}
		// Whether an id is known on another day only the classification tells.
		if dry.Nothing() != done.Nothing() || dry.Filtered != done.Filtered {
			rt.Fatalf("dry run %+v, then %+v\n%s", dry, done, joinLines(lines))
		}
		if _, err := pull(); err != nil {
			rt.Fatal(err)
		}
		for name, p := range map[string]*collect.Pipeline{"stack": stack, "local": local} {
			if diff := cmp.Diff(want, stateOf(t, p)); diff != "" {
				rt.Fatalf("%s has not the union (-want +got):\n%s\nlines:\n%s", name, diff, joinLines(lines))
			}
		}
		for name, move := range map[string]func(...func(*exchange.Options)) (exchange.Result, error){"push": push, "pull": pull} {
			if r, err := move(); err != nil || !r.Nothing() {
				rt.Fatalf("a second %s: %+v, %v", name, r, err)
			}
		}
		// Nor without the marks; and a third time there isn't even a day to read.
		if r, err := transfer("push", nil, local, stack); err != nil || !r.Nothing() {
			rt.Fatalf("a push that reads all days: %+v, %v", r, err)
		}
		if r, err := push(); err != nil || r.DaysRead > 0 && len(want.Conflicts) == 0 {
			rt.Fatalf("a third push: %+v, %v", r, err)
		}
	})
}

// A stack without a lake keeps all of it in its table.
func TestExchangeWithATable(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lines := drawRecords(rt, t)
		local := newPipeline(t)
		importSplit(rt, t, local, lines)
		want := stateOf(t, local)
		table := pipelineOver(t, steadyStore(), lake.OpenMem())
		table.NoLake = true
		breaking(rt, func() error { _, err := transfer("push", local.Store, local, table); return err })
		if r, err := transfer("push", nil, local, table); err != nil || !r.Nothing() {
			rt.Fatalf("a second push: %+v, %v\n%s", r, err, joinLines(lines))
		}
		back := pipelineOver(t, steadyStore(), lake.OpenMem())
		breaking(rt, func() error { _, err := transfer("pull", back.Store, table, back); return err })
		if diff := cmp.Diff(want, stateOf(t, back)); diff != "" {
			rt.Fatalf("what comes back (-want +got):\n%s\nlines:\n%s", diff, joinLines(lines))
		}
	})
}

// Alerts that somebody was told of, and history, are not told again; the newer
// acknowledgement stays; what is news and was told to nobody is left to be told.
func TestExchangeTellsNobodyTwice(t *testing.T) {
	ctx := t.Context()
	local, stack := newPipeline(t), inboxOver(t, store.OpenMem(), lake.OpenMem())
	root := func(id string, at time.Time) []byte {
		return encode(t, rec(id, at, func(r map[string]any) {
			r["eventName"], r["requestParameters"] = "AttachUserPolicy", map[string]any{"userName": id, "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}
		}))
	}
	hour := func(n int) time.Time { return now.Add(-time.Duration(n) * time.Hour) }
	mustImport(t, local, writeLines(t, filepath.Join(t.TempDir(), "a.jsonl"), root("told", hour(1)), root("news", hour(2)), root("old", hour(500))))
	alerts := func(p *collect.Pipeline) map[string]rule.Alert {
		list, err := p.Store.Alerts(ctx, store.AlertFilter{})
		if err != nil {
			t.Fatal(err)
		}
		byEvent := map[string]rule.Alert{}
		for _, a := range list {
			byEvent[a.EventID] = a
		}
		return byEvent
	}
	here := alerts(local)
	if len(here) != 3 {
		t.Fatalf("%d alerts", len(here))
	}
	if done, err := local.Store.Enqueue(ctx, nil, []string{here["told"].ID}); err != nil || !done {
		t.Fatal(done, err)
	}
	if err := local.Store.Ack(ctx, []string{here["old"].ID}, "ann", "known", hour(3)); err != nil {
		t.Fatal(err)
	}
	here = alerts(local)
	if r, err := transfer("push", nil, local, stack); err != nil || r.Alerts != 3 || r.Acknowledged != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	var waiting []string
	for r, err := range stack.Store.Unrouted(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, r.EventID)
	}
	if diff := cmp.Diff([]string{"news"}, waiting); diff != "" {
		t.Errorf("to be told by the stack (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(here, alerts(local)); diff != "" {
		t.Errorf("the giver was changed:\n%s", diff)
	}
	there := alerts(stack)
	if a := there["old"]; a.State != rule.StateAcknowledged || a.AckedBy != "ann" || a.Note != "known" || a.AckedAt != hour(3).UnixMilli() {
		t.Errorf("acknowledged: %+v", a)
	}
	// The stack tells of it; so do not I, though it is news here too.
	if done, err := stack.Store.Enqueue(ctx, nil, []string{there["news"].ID}); err != nil || !done {
		t.Fatal(done, err)
	}
	if err := stack.Store.Ack(ctx, []string{there["old"].ID}, "bob", "newer", hour(1)); err != nil {
		t.Fatal(err)
	}
	if r, err := transfer("pull", nil, stack, local); err != nil || r.Alerts != 0 || r.Acknowledged != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	for r, err := range local.Store.Unrouted(ctx) {
		if err != nil || r.EventID != "old" { // nobody was told, and nobody is by the transfer
			t.Fatalf("to be told here: %v, %v", r.EventID, err)
		}
	}
	if a := alerts(local)["old"]; a.AckedBy != "bob" {
		t.Errorf("the older acknowledgement stays: %+v", a)
	}
	if r, err := transfer("push", nil, local, stack); err != nil || !r.Nothing() {
		t.Errorf("a second push: %+v, %v", r, err)
	}
}

// A store that was made anew beside its lake gets back what it knew of it.
func TestExchangeHealsAStoreMadeAnew(t *testing.T) {
	local := newPipeline(t)
	b := lake.OpenMem()
	mustImport(t, local, writeLines(t, filepath.Join(t.TempDir(), "a.jsonl"), encode(t, rec("e1", now.AddDate(0, 0, -3))),
		encode(t, rec("e2", now.AddDate(0, 0, -4), func(r map[string]any) {
			r["eventName"], r["requestParameters"] = "AttachUserPolicy", map[string]any{"userName": "x", "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}
		}))))
	if _, err := transfer("push", local.Store, local, inboxOver(t, store.OpenMem(), b)); err != nil {
		t.Fatal(err)
	}
	anew := inboxOver(t, store.OpenMem(), b)
	r, err := transfer("push", local.Store, local, anew)
	if err != nil || r.Alerts == 0 || r.AlertsMissing > 0 || r.EventsNew > 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if diff := cmp.Diff(stateOf(t, local).Alerts, stateOf(t, anew).Alerts); diff != "" {
		t.Errorf("alerts (-local +anew):\n%s", diff)
	}
}

// Coverage is claimed when all events are stored, and no sooner; within bounds, no
// further; of days that the giver lost, not at all.
func TestExchangeClaimsWhatWasRead(t *testing.T) {
	ctx := t.Context()
	stream := coverage.Stream{AccountID: "012345678901", Region: "us-east-1", Source: "iam.amazonaws.com"}
	local, stack := newPipeline(t), inboxOver(t, steadyStore(), lake.OpenMem())
	end := now.Truncate(24 * time.Hour)
	from := end.AddDate(0, 0, -10)
	mustImport(t, local, writeLines(t, filepath.Join(t.TempDir(), "a.jsonl"), encode(t, rec("e1", from.Add(time.Hour))), encode(t, rec("e2", end.Add(-time.Hour)))))
	if err := local.Store.UpdateStream(ctx, stream, func(l *coverage.Ledger) error {
		l.Begin(end.Unix())
		l.Mark(coverage.Read{Span: coverage.SpanOf(from, end), Begun: end.Unix()})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	covered := func(p *collect.Pipeline) []coverage.Cover {
		list, err := p.Store.Streams(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			return nil
		}
		return list[0].Covered(coverage.Span{From: 0, To: 1 << 40})
	}
	restore := fault.Set(func(point string) error {
		if point == "collect.store.after" {
			return errInjected
		}
		return nil
	})
	_, err := transfer("push", nil, local, stack)
	restore()
	if err == nil || covered(stack) != nil {
		t.Errorf("after a failure %v is claimed, %v", covered(stack), err)
	}
	days := coverage.SpanOf(from.AddDate(0, 0, 2), from.AddDate(0, 0, 4))
	r, err := transfer("push", nil, local, stack, func(o *exchange.Options) {
		o.Since, o.Until = from.AddDate(0, 0, 2), from.AddDate(0, 0, 4)
	})
	if got := covered(stack); err != nil || r.Intervals != 1 || len(got) != 1 || got[0].Span != days {
		t.Errorf("within bounds: %v, %+v, %v", got, r, err)
	}
	lost := event.DateOf(from.UnixMilli()) + 5
	r, err = transfer("push", nil, local, stack, func(o *exchange.Options) { o.Lost = []event.Date{lost} })
	if got := covered(stack); err != nil || r.Streams != 1 || len(got) < 2 || got[0].From != from.Unix() {
		t.Errorf("without a day: %v, %+v, %v", got, r, err)
	}
	for _, c := range covered(stack) {
		if !c.Cut(coverage.Span{From: int64(lost) * 86400, To: int64(lost+1) * 86400}).Empty() {
			t.Errorf("the lost day is claimed: %v", c)
		}
	}
	if _, err = transfer("push", nil, local, stack); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(covered(local), covered(stack)); diff != "" {
		t.Errorf("coverage (-local +stack):\n%s", diff)
	}
	if diff := cmp.Diff(stateOf(t, local), stateOf(t, stack)); diff != "" {
		t.Error(diff)
	}
}
