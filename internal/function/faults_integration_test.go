//go:build integration

package function_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/awsapi/callstest"
	"github.com/iamtrack/iamtrack/internal/function"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/lake/s3lake"
	"github.com/iamtrack/iamtrack/internal/peers"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

// everything checks that the lake has each event that the account shows and each of
// more, once.
func (g *gated) everything(more ...string) {
	g.t.Helper()
	ctx := context.Background()
	// A day stays dirty for a quarter of an hour after a writer failed in the middle.
	for g.done(function.Exporter, nil)["written"] != 0. {
	}
	b, err := g.session.Bucket(ctx, gatedBucket)
	if err != nil {
		g.t.Fatal(err)
	}
	l := lake.New(s3lake.New(b, ""), lake.Options{ProgramVersion: "test"})
	dates, err := l.Dates(ctx)
	if err != nil {
		g.t.Fatal(err)
	}
	got := map[string]int{}
	for _, day := range dates {
		for e, err := range l.Events(ctx, day) {
			if err != nil {
				g.t.Fatal(err)
			}
			got[e.EventID]++
		}
		for f, err := range l.Filtered(ctx, day) {
			if err != nil {
				g.t.Fatal(err)
			}
			got[f.EventID]++
		}
	}
	want := slices.Clone(more)
	for stream, ids := range g.aws.Visible(time.Now().AddDate(0, 0, -89), time.Now()) {
		if stream.Account == account {
			want = append(want, ids...)
		}
	}
	if len(want) < 50 {
		g.t.Fatalf("only %d events", len(want))
	}
	for _, id := range want {
		if got[id] != 1 {
			g.t.Errorf("event %s is there %d times", id, got[id])
		}
	}
}

// Each permission of the list is denied, one at a time: the function says which one it
// lacks, and on what; the next run goes on, and nothing is lost.
func TestEachPermissionDenied(t *testing.T) {
	g := deployGated(t)
	now := time.Now().UTC().Add(-time.Hour)
	var sent []string
	tried := 0
	event := func() {
		sent = append(sent, fmt.Sprintf("denied-%d", len(sent)))
	}
	t.Setenv("IAMTRACK_CHANNELS", fmt.Sprintf(`[{name: topic, type: sns, topic_arn: %q}]`, g.topic))
	for _, name := range function.Names() {
		for _, l := range callstest.Of(name) {
			var payload []byte
			switch {
			case strings.HasPrefix(l.Resource, "parameter") || strings.HasPrefix(l.Resource, "secret") || l.Resource == "role" || l.Resource == "*":
				continue // of channels, of other accounts, and of the event history: tested where these are
			case name == function.Realtime:
				event()
				payload = bridge(sent[len(sent)-1], now, "")
				if strings.HasPrefix(l.Resource, "bucket/large") {
					payload = bridge(sent[len(sent)-1], now, noise(1<<20))
				}
			case name != function.Tracker:
				event() // there is something to export, and to tell
				g.done(function.Realtime, bridge(sent[len(sent)-1], now, ""))
			}
			g.gate.set(func(c awsapi.Call) (string, string) {
				at, _ := g.gate.names.Line(name, c)
				if at == l {
					return denied(c)
				}
				return "", ""
			})
			result, said, err := g.invoke(name, payload)
			times := g.gate.refused()
			g.gate.set(nil)
			if l.Action == "dynamodb:UpdateItem" {
				g.passes(time.Minute) // it could not give its leases back
			}
			switch {
			case times == 0:
				t.Logf("%v: nothing asked for it this time", l)
			case l.Action == "s3:ListBucket" && err == nil && (name == function.Notifier || name == function.Tracker && result["records"] == result["duplicates"]):
				// Asked is only where the bucket lies, which a refusal tells, too: there is
				// nothing to write.
			default:
				tried++
				resource := gatedBucket
				switch folder, ok := strings.CutPrefix(l.Resource, "bucket/"); {
				case ok:
					resource += "/" + strings.TrimSuffix(folder, "*")
				case l.Resource == "topic":
					resource = g.topic
				case l.Resource == "table":
					resource = gatedTable
				}
				if !strings.Contains(strings.ToLower(said), strings.ToLower(l.Action)) || !strings.Contains(said, resource) || !strings.Contains(said, "access denied") {
					t.Errorf("%v: it doesn't say that: %v\n%s", l, err, said)
				}
			}
			if payload != nil {
				g.done(name, payload) // EventBridge delivers again
			}
		}
	}
	if tried < 25 {
		t.Errorf("only %d permissions were needed", tried)
	}
	g.collected()
	g.everything(sent...)
	for deadline := time.Now().Add(5 * time.Minute); g.done(function.Notifier, nil)["pending"] != 0.; {
		if time.Now().After(deadline) { // what the topic refused is sent again later
			t.Fatal("messages don't get away")
		}
		time.Sleep(2 * time.Second)
	}
	alerts, err := g.store.Alerts(context.Background(), store.AlertFilter{})
	if err != nil {
		t.Fatal(err)
	}
	bodies := strings.Join(g.received(), "\n")
	for _, a := range alerts {
		if !strings.Contains(bodies, a.ID) {
			t.Errorf("nobody was told of alert %s", a.ID)
		}
	}
	for _, id := range sent {
		if !slices.ContainsFunc(alerts, func(a rule.Alert) bool { return a.EventID == id }) {
			t.Errorf("event %s raised no alert", id)
		}
	}
}

// What is wrong with the stack itself is said by its name, by each function, and the
// run after it was mended goes on.
func TestWrongStack(t *testing.T) {
	g := deployGated(t)
	now := time.Now().UTC().Add(-time.Hour)
	all := func(what string, words ...string) {
		t.Helper()
		for _, name := range function.Names() {
			if name == function.Exporter && os.Getenv("IAMTRACK_BUCKET") == "" {
				continue // a stack without a lake has none
			}
			_, said, err := g.invoke(name, bridge("w-"+name, now, ""))
			if err == nil {
				t.Errorf("%s: %s doesn't fail", what, name)
				continue
			}
			for _, w := range words {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%s: %s: %q lacks %q", what, name, said, w)
				}
			}
		}
	}
	t.Setenv("IAMTRACK_TABLE", "absent")
	all("no table", "table absent", "not found", peers.Region, "aws_region")
	t.Setenv("IAMTRACK_TABLE", gatedTable)
	t.Setenv("AWS_REGION", "eu-south-2")
	t.Setenv("IAMTRACK_BUCKET", "") // whose server here has one region
	all("another region", "table "+gatedTable, "not found", "eu-south-2", "aws_region")
	t.Setenv("AWS_REGION", peers.Region)
	t.Setenv("IAMTRACK_BUCKET", "no-such-bucket-here")
	for _, name := range []string{function.Tracker, function.Realtime, function.Exporter} {
		if _, said, err := g.invoke(name, bridge("w-"+name, now, "")); err == nil || !strings.Contains(said, "no-such-bucket-here") || !strings.Contains(said, "not found") {
			t.Errorf("no bucket: %s: %s", name, said)
		}
	}
	t.Setenv("IAMTRACK_BUCKET", gatedBucket)
	g.gate.set(func(c awsapi.Call) (string, string) {
		if strings.HasPrefix(c.Action, "s3:") {
			return "ExpiredToken", "The provided token has expired."
		}
		return "ExpiredTokenException", "The security token included in the request is expired"
	})
	all("an expired session", "credentials expired")
	g.gate.set(nil)

	g.done(function.Realtime, bridge("w-realtime", now, ""))
	g.collected()
	g.everything("w-realtime")
}
