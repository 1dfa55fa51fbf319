package notify

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

// every are all languages and limits that channels have.
var every = map[string]target{
	"terminal": {style: terminalStyle, limit: plainLimit}, "mail": {style: plainStyle, limit: plainLimit}, "teams": {style: teamsStyle, limit: teamsLimit},
	"sns": {style: plainStyle, limit: snsLimit}, "ntfy": {style: plainStyle, limit: ntfyLimit}, "slack": {style: slackStyle, limit: slackLimit},
	"discord": {style: markdownStyle, limit: discordLimit}, "telegram": {style: telegramStyle, limit: telegramLimit},
	"shoutrrr": {style: markdownStyle, limit: otherLimit},
}

// nasty are names that somebody chose to do harm.
var nasty = []string{
	"@everyone", "x@here y", "<!channel> <@U123> <https://evil.example|AWS>", "[click](https://evil.example)", "`code` **bold** _it_ ~no~",
	"</code><a href='https://evil.example'>x</a>", "\x1b[31mred\x1b[0m\r\nSubject: other", "a\u202ereversed\u2066", "line\nline", "\u0000\ufeff\u200b",
	"javascript:alert(1)", "www.evil.example", "&lt;!channel&gt;", "\u202e\ufdfd", "\xff\xfe", strings.Repeat("x", 5000), strings.Repeat("ü<&`", 5000), "",
}

// hostile is an alert in which all that can be chosen is text.
func hostile(w *world, n int, text string) rule.Alert {
	a := w.alert(n, 0)
	a.Title, a.Actor, a.SourceIP, a.AWSRegion, a.EventName, a.EventID, a.Detail, a.AccountID = text, text, text, text, text, text, text, text
	a.Targets = []string{text, text}
	return a
}

var (
	forbidden = map[string]*regexp.Regexp{
		"mail":     regexp.MustCompile(`(?i)\w://|www\.`),
		"teams":    regexp.MustCompile(`(?i)\w://|www\.`),
		"sns":      regexp.MustCompile(`(?i)\w://|www\.`),
		"ntfy":     regexp.MustCompile(`(?i)\w://|www\.`),
		"slack":    regexp.MustCompile(`<|>`),
		"discord":  regexp.MustCompile("(?i)<|>|@everyone|@here|\\w://|``"),
		"shoutrrr": regexp.MustCompile("(?i)<|>|@everyone|@here|\\w://|``"),
		"telegram": regexp.MustCompile(`</?[^bc/]|<[^>]*=`),
		"terminal": regexp.MustCompile(`\x1b`),
	}
	everywhere = regexp.MustCompile("[\x00-\x09\x0b-\x1f\x7f\u0080-\u009f\u200b\u202a-\u202e\u2066-\u2069\ufeff]")
)

// compose renders alerts for one channel.
func compose(t testing.TB, w *world, to target, kind string, alerts ...rule.Alert) *outgoing {
	t.Helper()
	n := w.notifier(Options{}, nil)
	to.Name = "c"
	var ids []string
	for _, a := range alerts {
		ids = append(ids, a.ID)
	}
	m := message(&to, kind, ids, "", w.now())
	return must[*outgoing](t)(n.compose(t.Context(), &to, &m))
}

// check says what is wrong with a text in a channel's language.
func check(name string, to target, out *outgoing) string {
	whole := out.subject + "\n" + out.text
	switch {
	case to.style.size(whole) > to.limit:
		return fmt.Sprintf("%d of %d", to.style.size(whole), to.limit)
	case !utf8.ValidString(whole):
		return "cut within a character"
	case everywhere.MatchString(strings.ReplaceAll(whole, "\n", "")):
		return "control characters"
	case strings.Contains(out.subject, "\n"):
		return "a subject of two lines"
	case forbidden[name].MatchString(whole):
		return "markup: " + forbidden[name].FindString(whole)
	}
	for _, id := range out.AlertIDs {
		if !strings.Contains(out.text, id) {
			return "without the alert " + id
		}
	}
	return ""
}

func TestHostileText(t *testing.T) {
	for name, to := range every {
		for i, text := range nasty {
			w := newWorld()
			if err := w.PutAccountNames(t.Context(), []store.AccountName{{AccountID: text, Name: text}}); err != nil {
				t.Fatal(err)
			}
			a := hostile(w, i, text)
			w.record(t, a)
			out := compose(t, w, to, KindAlert, a)
			if wrong := check(name, to, out); wrong != "" {
				t.Errorf("%s, %.40q: %s\n%.3000s", name, text, wrong, out.subject+"\n"+out.text)
			}
		}
	}
}

// Every message fits its channel, on character boundaries, with all its ids,
// however long the names and however many the alerts.
func TestLimits(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld()
		name := rapid.SampledFrom([]string{"terminal", "mail", "teams", "sns", "ntfy", "slack", "discord", "telegram", "shoutrrr"}).Draw(rt, "channel")
		to := every[name]
		var alerts []rule.Alert
		part := rapid.SampledFrom(append([]string{"ä", "a b", "@x ", "…"}, nasty...))
		for i := range rapid.IntRange(1, to.most()).Draw(rt, "alerts") {
			text := strings.Repeat(part.Draw(rt, "part"), rapid.IntRange(0, 40).Draw(rt, "times"))
			alerts = append(alerts, hostile(w, i, text))
		}
		w.record(t, alerts...)
		out := compose(t, w, to, KindGroup, alerts...)
		if wrong := check(name, to, out); wrong != "" {
			rt.Fatalf("%s: %s\n%.2000s", name, wrong, out.subject+"\n"+out.text)
		}
		text, err := out.json()
		var back payload
		if err != nil || len(text) > jsonLimit || json.Unmarshal(text, &back) != nil || len(back.AlertIDs) != len(alerts) {
			rt.Fatalf("%d bytes of JSON, %v", len(text), err)
		}
		if everywhere.Match(text) {
			rt.Fatal("control characters in JSON")
		}
	})
}

func TestCut(t *testing.T) {
	for text, want := range map[string]string{"": "", "äöü": "äöü", "äöüß": "äö…", "abcdef": "ab…"} {
		equal(t, text, cut(text, 3), want)
	}
}

func TestDefang(t *testing.T) {
	for text, want := range map[string]string{
		"https://a.example/x":                  "https[:]//a.example/x",
		"HTTP://A":                             "HTTP[:]//A",
		"WWW.x.example and mailto:a@b.example": "WWW[.]x.example and mailto[:]a@b.example",
		"www.x.example":                        "www[.]x.example",
		"@everyone #general a@here":            "＠everyone ＃general a＠here",
		"arn:aws:iam::012345678901:user/alice": "arn:aws:iam::012345678901:user/alice",
		"alice@example.com":                    "alice@example.com",
		"plain":                                "plain",
	} {
		equal(t, text, defang(text), want)
	}
}

// The texts as people see them.
func TestGoldenTexts(t *testing.T) {
	w := newWorld()
	if err := w.PutAccountNames(t.Context(), []store.AccountName{{AccountID: "012345678901", Name: "production"}}); err != nil {
		t.Fatal(err)
	}
	a, b, c := w.alert(1, 0), w.alert(2, time.Hour), w.alert(3, 2*time.Hour)
	b.Title, b.Actor, b.Severity = "Keys <made> & `used`", "mallory @everyone https://evil.example", rule.Critical
	c.Severity = rule.Low
	w.record(t, a, b, c)
	n := w.notifier(Options{Rules: []rule.Rule{{ID: "user-created", Next: "ask the actor whether the user was meant to be"}}}, nil)
	d := digest{}
	for _, x := range []rule.Alert{a, b, c} {
		d.add(&x)
	}
	for _, name := range []string{"mail", "slack", "discord", "telegram"} {
		to := every[name]
		to.Name = "c"
		history := must[store.Message](t)(d.message(&to, w.now()))
		messages := []store.Message{
			message(&to, KindAlert, []string{b.ID}, "", w.now()), message(&to, KindGroup, []string{a.ID, b.ID, c.ID}, "", w.now()), history,
			message(&to, KindSilence, nil, `{"since":"2026-11-22T01:00:00Z","reason":"credentials expired"}`, w.now()),
			message(&to, KindGap, nil, `[{"account_id":"012345678901","aws_region":"eu-west-3","event_source":"sts.amazonaws.com",`+
				`"from":"2026-08-24T00:00:00Z","to":"2026-09-01T00:00:00Z","reason":"access denied"}]`, w.now()),
			message(&to, KindSummary, nil, `{"date":"2026-11-22","alerts":{"high":1},"open":{"high":3,"low":1},"gravest":["`+b.ID+`"],"lines":["1 gap"]}`, w.now()),
			message(&to, KindTest, nil, "", w.now()),
		}
		var text strings.Builder
		for _, m := range messages {
			out := must[*outgoing](t)(n.compose(t.Context(), &to, &m))
			fmt.Fprintf(&text, "=== %s\n%s\n%s\n", m.Kind, out.subject, out.text)
		}
		golden(t, name+".golden", text.String())
		if name == "mail" {
			text.Reset()
			for _, m := range messages {
				out := must[*outgoing](t)(n.compose(t.Context(), &to, &m))
				text.Write(must[[]byte](t)(out.json()))
				text.WriteString("\n")
			}
			golden(t, "payload.golden", text.String())
		}
	}
}
