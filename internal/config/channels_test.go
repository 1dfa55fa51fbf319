package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/config"
)

func TestChannels(t *testing.T) {
	d := dir(t, `
alert_horizon: 2d
daily_summary: "08:00"
channels:
  - {name: oncall, type: slack, url: "https://hooks.slack.com/services/${TOKEN}", min_severity: High, rules: [a, b]}
  - name: file
    type: file
    path: out/alerts.jsonl
    accounts: [012345678901]
    off: true
  - {name: ops, type: mail, url_file: secret, from: a@b.example, to: "x@y.example, z@y.example"}
`)
	if err := os.WriteFile(filepath.Join(d, "secret"), []byte("smtps://user:Passw0rd@h\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := load(t, config.Input{Flags: map[string]string{"data-dir": d}})
	want := []config.Channel{
		{Name: "oncall", Type: "slack", URL: "https://hooks.slack.com/services/${TOKEN}", MinSeverity: "High", Rules: []string{"a", "b"}},
		{Name: "file", Type: "file", Path: filepath.Join(d, "out", "alerts.jsonl"), Accounts: []string{"012345678901"}, Off: true},
		{Name: "ops", Type: "mail", URLFile: filepath.Join(d, "secret"), From: "a@b.example", To: []string{"x@y.example", "z@y.example"}},
	}
	if diff := cmp.Diff(want, c.Channels); diff != "" {
		t.Error(diff)
	}
	if c.AlertHorizon != 48*time.Hour || c.DailySummary != 8*60 {
		t.Errorf("horizon %v, summary %d", c.AlertHorizon, c.DailySummary)
	}
	for _, s := range c.Settings() {
		if strings.Contains(s.Value, "hooks.slack.com") || strings.Contains(s.Value, "secret") {
			t.Errorf("%s shows %s", s.Key, s.Value)
		}
		if s.Key == "channels" && s.Value != "oncall (slack, high), file (file, off), ops (mail)" {
			t.Errorf("got %s", s.Value)
		}
	}

	lookup := env("TOKEN", "T0K")
	for i, url := range []string{"https://hooks.slack.com/services/T0K", "", "smtps://user:Passw0rd@h"} {
		r, err := c.Channels[i].Resolved(lookup, nil)
		if err != nil || r.URL != url {
			t.Errorf("%s, %v", r.URL, err)
		}
	}
	if _, err := c.Channels[0].Resolved(env(), nil); err == nil || !strings.Contains(err.Error(), "key url: the environment variable TOKEN") {
		t.Errorf("got %v", err)
	}
	// Secrets in AWS are read by whoever sends.
	kept := config.Channel{Name: "x", URL: "https://h.example/${ssm:/iamtrack/hook}", Secret: "${secretsmanager:arn:aws:secretsmanager:eu-west-1:111122223333:secret:a-b#key}"}
	if !kept.Hidden() || len(kept.InAWS()) != 2 || c.Channels[0].InAWS() != nil {
		t.Error("not known to be in AWS")
	}
	if _, err := kept.Resolved(lookup, nil); err == nil || err.Error() != "key url: ssm:/iamtrack/hook is read where alerts are sent" {
		t.Errorf("got %v", err)
	}
	var refs []string
	r, err := kept.Resolved(lookup, func(ref config.SecretRef) (string, error) {
		refs = append(refs, ref.String())
		return "S3CRET", nil
	})
	if err != nil || r.URL != "https://h.example/S3CRET" || r.Secret != "S3CRET" ||
		!cmp.Equal(refs, []string{"ssm:/iamtrack/hook", "secretsmanager:arn:aws:secretsmanager:eu-west-1:111122223333:secret:a-b#key"}) {
		t.Errorf("got %+v, %v, asked for %v", r, err, refs)
	}
	gone := config.Channel{Name: "x", SecretFile: filepath.Join(d, "absent")}
	if _, err := gone.Resolved(lookup, nil); err == nil || !strings.Contains(err.Error(), "key secret_file") {
		t.Errorf("got %v", err)
	}
}

func TestChannelsFromEnvironment(t *testing.T) {
	in := config.Input{Flags: map[string]string{"data-dir": t.TempDir()}, LookupEnv: env("IAMTRACK_CHANNELS", `[{"name": "t", "type": "terminal"}]`)}
	if c := load(t, in); len(c.Channels) != 1 || c.Channels[0].Name != "t" {
		t.Errorf("got %v", c.Channels)
	}
	if c := load(t, config.Input{Flags: map[string]string{"data-dir": dir(t, "channels:\n")}}); c.Channels != nil || c.DailySummary != -1 || c.AlertHorizon != 24*time.Hour {
		t.Errorf("got %+v", c)
	}
}

// What is wrong is named by channel and key, and no secret is in it.
func TestBadChannels(t *testing.T) {
	for text, want := range map[string]string{
		"oncall":                          "give a list",
		"{a: b}":                          "give a list",
		"[x]":                             "channel number 1: give keys and values",
		"[{a: S3CR":                       "not a YAML list",
		"[{}]":                            "channel number 1, key name: ",
		"[{name: 'a b', type: terminal}]": "channel number 1, key name: ",
		"[{name: a}]":                     "channel a, key type: ",
		"[{name: a, type: pigeon}]":       `channel a, key type: "pigeon" is none of terminal`,
		"[{name: a, type: terminal}, {name: a, type: terminal}]":                    "channel a, key name: another channel",
		"[{name: a, name: b, type: terminal}]":                                      "key name: it is given twice",
		"[{name: a, type: slack}]":                                                  "channel a, key url: type slack needs it",
		"[{name: a, type: slack, url: }]":                                           "channel a, key url: type slack needs it",
		"[{name: a, type: slack, urll: S3CRET}]":                                    "channel a, key urll: no such key: did you mean url?",
		"[{name: a, type: slack, url: S3CRET, url_file: x}]":                        "channel a, key url_file: give url or url_file",
		"[{name: a, type: slack, url: S3CRET, secret: S3CRET}]":                     "channel a, key secret: type slack has no use",
		"[{name: a, type: slack, url: [S3CRET]}]":                                   "channel a, key url: give one value",
		"[{name: a, type: terminal, off: maybe}]":                                   "channel a, key off: give true or false",
		"[{name: a, type: terminal, rules: {S3CRET: b}}]":                           "channel a, key rules: give a list",
		"[{name: a, type: terminal, min_severity: worst}]":                          `channel a, key min_severity: "worst"`,
		"[{name: a, type: terminal, accounts: [1]}]":                                `channel a, key accounts: "1"`,
		"[{name: a, type: mail, url: 'smtp://h', from: a@b.example, topic_arn: x}]": "channel a, key to: type mail needs it",
	} {
		for _, in := range []config.Input{
			{Flags: map[string]string{"data-dir": t.TempDir()}, LookupEnv: env("IAMTRACK_CHANNELS", text)},
			{Flags: map[string]string{"data-dir": dir(t, "channels: "+text+"\n")}, LookupEnv: env()},
		} {
			_, err := config.Load(in)
			var wrong *config.ChannelError
			var file *config.FileError
			if !errors.As(err, &wrong) && !(errors.As(err, &file) && want == "not a YAML list") {
				t.Errorf("%s: got %v", text, err)
				continue
			}
			if wrong != nil && !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "S3CRET") {
				t.Errorf("%s: got %v, want %s", text, err, want)
			}
		}
	}
	for name, bad := range map[string]string{"IAMTRACK_ALERT_HORIZON": "59m", "IAMTRACK_DAILY_SUMMARY": "25:00"} {
		var wrong *config.Error
		if _, err := config.Load(config.Input{Flags: map[string]string{"data-dir": t.TempDir()}, LookupEnv: env(name, bad)}); !errors.As(err, &wrong) {
			t.Errorf("%s=%s: got %v", name, bad, err)
		}
	}
}
