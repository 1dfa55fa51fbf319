package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestSilence(t *testing.T) {
	w := newWorld()
	n, c := w.one(Options{})
	since := w.now()
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{5 * time.Hour, 0}, {time.Hour, 1}, {time.Hour, 0}, {30 * time.Hour, 0}} {
		w.advance(step.after)
		if err := n.Silent(t.Context(), Silence{Since: since, Reason: "no credentials"}); err != nil {
			t.Fatal(err)
		}
		pass(t, n)
		if got := len(c.take()); got != step.want {
			t.Errorf("after %v: %d messages, want %d", w.now().Sub(since), got, step.want)
		}
	}
	since = w.now()
	w.advance(SilentAfter)
	if err := n.Silent(t.Context(), Silence{Since: since}); err != nil {
		t.Fatal(err)
	}
	pass(t, n)
	equal(t, "another silence", kinds(c.take()), []string{"silence 0"})
}

func TestGaps(t *testing.T) {
	w := newWorld()
	n, c := w.one(Options{})
	gap := func(region string, from, to time.Duration, reason string) Gap {
		return Gap{AccountID: "1", Region: region, Source: "sts.amazonaws.com", From: w.now().Add(-from), To: w.now().Add(-to), Reason: reason}
	}
	tell := func(what string, want []string, gaps ...Gap) {
		t.Helper()
		for range 2 { // the second time says nothing
			if err := n.Gaps(t.Context(), gaps); err != nil {
				t.Fatal(err)
			}
			pass(t, n)
			equal(t, what, kinds(c.take()), want)
			want = nil
		}
	}
	h := time.Hour
	tell("young", nil, gap("a", 5*h, 0, "denied"))
	tell("gone before it's old", nil)
	tell("old", []string{"gap 0"}, gap("a", 9*h, 6*h, "denied"), gap("b", 9*h, 6*h, "denied"))
	w.advance(h)
	tell("its ends move", nil, gap("a", 8*h, 2*h, "denied"), gap("b", 10*h, 7*h, "denied"))
	tell("another one, another reason", []string{"gap 0"}, gap("a", 30*h, 20*h, "denied"), gap("b", 10*h, 7*h, "expired"))
	tell("gone", nil)
	tell("back", []string{"gap 0"}, gap("b", 10*h, 7*h, "expired"))
	g := gap("b", 10*h, 7*h, "expired")
	w.advance(gapAgain - time.Second)
	tell("not yet", nil, g)
	w.advance(time.Second)
	tell("still there after a week", []string{"gap 0"}, g)
}

// A region that denies has a gap that ends with the last run, whenever that is: it's
// told once it began 6 hours ago, and what fails a single time is not.
func TestGapThatGoesOn(t *testing.T) {
	w := newWorld()
	n, c := w.one(Options{})
	began := w.now()
	run := func(what string, from time.Time, want ...string) {
		t.Helper()
		if err := n.Gaps(t.Context(), []Gap{{AccountID: "1", Region: "a", Source: "sts.amazonaws.com", From: from, To: w.now(), Reason: "denied"}}); err != nil {
			t.Fatal(err)
		}
		pass(t, n)
		equal(t, what, kinds(c.take()), want)
	}
	for w.now().Before(began.Add(GapAfter - 5*time.Minute)) {
		w.advance(5 * time.Minute)
		run("young", began)
	}
	w.advance(5 * time.Minute)
	run("six hours", began, "gap 0")
	for range 12 {
		w.advance(5 * time.Minute)
		run("told", began)
	}
	w.advance(gapAgain)
	run("a week later", began, "gap 0")

	if err := n.Gaps(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	asleep := w.now()
	w.advance(9 * time.Hour)
	run("the first run after a sleep", asleep)
	if err := n.Gaps(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	w.advance(5 * time.Minute)
	run("another time", asleep)
	w.advance(5 * time.Minute)
	run("and still", asleep, "gap 0")
}

// However many gaps there are, the message about them fits each channel.
func TestManyGaps(t *testing.T) {
	w := newWorld()
	n := w.notifier(Options{}, nil)
	var gaps []Gap
	for i := range 2000 {
		gaps = append(gaps, Gap{AccountID: fmt.Sprintf("%012d", i/50), Region: fmt.Sprintf("xx-region-%d", i%32), Source: "sts.amazonaws.com",
			From: w.now().Add(-9 * time.Hour), To: w.now(), Reason: "denied: " + strings.Repeat("ü<", 200)})
	}
	for name, to := range every {
		m := message(&to, KindGap, nil, string(must[[]byte](t)(json.Marshal(gaps))), w.now())
		out := must[*outgoing](t)(n.compose(t.Context(), &to, &m))
		if wrong := check(name, to, out); wrong != "" {
			t.Errorf("%s: %s", name, wrong)
		}
		if text := must[[]byte](t)(out.json()); len(text) > jsonLimit || !strings.Contains(string(text), "2000 gaps") {
			t.Errorf("%s: %d bytes of JSON, %.200s", name, len(text), text)
		}
	}
}

func TestSummary(t *testing.T) {
	berlin := must[*time.Location](t)(time.LoadLocation("Europe/Berlin"))
	w := newWorld() // 13:00 in Berlin
	r := &recorder{}
	lines := 0
	o := Options{DailySummary: 8 * 60, Zone: berlin, Status: func(context.Context) ([]string, error) { lines++; return []string{"a gap"}, nil }}
	n := w.notifier(o, map[string]*recorder{"c": r}, Channel{Name: "c"})
	at := func(what string, want []string) {
		t.Helper()
		for range 3 {
			if err := n.Summarize(t.Context()); err != nil {
				t.Fatal(err)
			}
			n = w.notifier(o, map[string]*recorder{"c": r}, Channel{Name: "c"}) // also after a restart
			pass(t, n)
			equal(t, what, kinds(r.take()), want)
			want = nil
		}
	}
	at("after the hour", []string{"summary 0"})
	w.advance(18*time.Hour + 59*time.Minute)
	at("a minute early", nil)
	w.advance(time.Minute)
	at("the next day", []string{"summary 0"})
	off := w.notifier(Options{DailySummary: -1}, map[string]*recorder{"c": r}, Channel{Name: "c"})
	if err := off.Summarize(t.Context()); err != nil || lines == 0 {
		t.Error(err, lines)
	}
}

func TestRunEnds(t *testing.T) {
	w := newWorld()
	n, c := w.one(Options{Poll: time.Millisecond})
	w.record(t, w.alert(1, 0))
	ctx, cancel := context.WithCancel(t.Context())
	c.say = func(context.Context, *outgoing) (bool, error) { cancel(); return true, nil }
	n.Run(ctx)
	equal(t, "sent", len(c.take()), 1)
}
