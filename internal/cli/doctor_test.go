package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/simulate/server"
)

// checksOf reads what doctor printed: details by state and check.
func checksOf(t *testing.T, out string) (list map[string]string) {
	t.Helper()
	var rows []struct{ Check, State, Detail, Hint string }
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	list = map[string]string{}
	for _, r := range rows {
		list[r.State+" "+r.Check] += r.Detail + " -> " + r.Hint + "\n"
	}
	return list
}

// failures are those of checks that aren't ok.
func failures(list map[string]string) map[string]string {
	out := map[string]string{}
	for name, text := range list {
		if !strings.HasPrefix(name, "ok ") {
			out[name] = text
		}
	}
	return out
}

const nineChecks = "data directory,disk,settings,channels,credentials,clock,ec2:DescribeRegions or account:ListRegions,cloudtrail:LookupEvents,sso:ListInstances,quota"

// An account in which all is well: every check is ok but that nothing was ever
// collected; after a collection that is, too.
func TestDoctor(t *testing.T) {
	inBubble(t, server.Options{Faults: server.Faults{Latency: time.Second}}, func(t *testing.T, a *account, _ expected) {
		begun := time.Now()
		out, stderr, code := a.run(t.Context(), "doctor", "--format", "json")
		if took := time.Since(begun); code != 0 || took > 15*time.Second {
			t.Errorf("exit code %d after %s\n%s%s", code, took, out, stderr)
		}
		list := checksOf(t, out)
		for name := range strings.SplitSeq(nineChecks, ",") {
			if list["ok "+name] == "" {
				t.Errorf("%s is not ok:\n%s", name, out)
			}
		}
		if len(failures(list)) != 0 {
			t.Errorf("checks %v", failures(list))
		}
		if _, stderr, code := a.run(t.Context(), "collect", "--regions", "us-east-1"); code != 0 {
			t.Fatalf("collect: exit code %d\n%s", code, stderr)
		}
		out, _, code = a.run(t.Context(), "doctor", "--format", "json")
		list = checksOf(t, out)
		if code != 0 || list["ok last collection"] == "" || list["ok lake"] == "" || list["ok file modes"] == "" {
			t.Errorf("exit code %d\n%s", code, out)
		}
		time.Sleep(7 * time.Hour)
		out, _, code = a.run(t.Context(), "doctor", "--format", "json")
		if late := checksOf(t, out)["warning last collection"]; code != 0 || !strings.Contains(late, "7h0m0s ago -> `iamtrack collect`") {
			t.Errorf("exit code %d, %s", code, late)
		}
		text, _, _ := a.run(t.Context(), "doctor")
		if !strings.Contains(text, "warning  last collection") || !strings.Contains(text, "-> `iamtrack collect`") {
			t.Errorf("table:\n%s", text)
		}
	})
}

// Each fault is found, named with what to do about it, and in the exit code.
func TestDoctorFinds(t *testing.T) {
	deny := func(list ...server.Denial) server.Faults { return server.Faults{Deny: list} }
	cases := map[string]struct {
		faults server.Faults
		args   []string
		code   int
		want   map[string]string // parts of what isn't ok
	}{
		"regions denied": {
			faults: deny(server.Denial{Region: "eu-west-3", Service: "cloudtrail"}, server.Denial{Region: "eu-west-2", Service: "cloudtrail"}), code: 3,
			want: map[string]string{"failed cloudtrail:LookupEvents": "eu-west-2, eu-west-3: access denied by a service control policy: cloudtrail:LookupEvents -> permit it in the organization's policies"},
		},
		"all denied": {
			faults: deny(server.Denial{Service: "cloudtrail"}), code: 3,
			want: map[string]string{"failed cloudtrail:LookupEvents": "and 12 more: access denied"},
		},
		"no list of regions": {
			faults: deny(server.Denial{Service: "ec2"}, server.Denial{Service: "account"}), code: 3,
			want: map[string]string{"failed ec2:DescribeRegions or account:ListRegions": "-> give one of the permissions"},
		},
		"one list of regions": {faults: deny(server.Denial{Service: "ec2"}), want: map[string]string{}},
		"no Identity Center": {
			faults: deny(server.Denial{Service: "sso"}),
			want:   map[string]string{"warning sso:ListInstances": "its events are looked for in every region"},
		},
		"key": {
			faults: server.Faults{UnknownKeys: []string{dummyKey}}, code: 3,
			want: map[string]string{"failed credentials": "the checks of AWS were left out"},
		},
		"clock": {
			faults: server.Faults{ClockSkew: 3 * time.Minute},
			want:   map[string]string{"warning clock": "the local clock is 3m"},
		},
		"quota": {
			faults: server.Faults{QuotaShare: 0.9},
			want:   map[string]string{"warning quota": "refused for the rate: others ask CloudTrail, too"},
		},
		"silence": {
			faults: server.Faults{Latency: time.Hour}, code: 3,
			want: map[string]string{"failed credentials": "no answer within 13s"},
		},
		"organization": {
			args: []string{"--organization"}, faults: deny(server.Denial{Service: "sts", Operation: "AssumeRole"}), code: 3,
			want: map[string]string{"failed sts:AssumeRole": "role/OrganizationAccountAccessRole"},
		},
		"no organization": {
			args: []string{"--organization"}, faults: deny(server.Denial{Service: "organizations"}), code: 3,
			want: map[string]string{"failed organizations:ListAccounts": "access denied"},
		},
		"topic": {
			args: []string{"channel"}, faults: deny(server.Denial{Service: "sns"}), code: 3,
			want: map[string]string{"failed sns:Publish": "channel topic: not permitted"},
		},
		"no question about a topic": {
			args: []string{"channel"}, faults: deny(server.Denial{Service: "iam"}),
			want: map[string]string{"warning sns:Publish": "not known: access denied by a service control policy: iam:SimulatePrincipalPolicy"},
		},
		"no bucket": {
			args: []string{"s3://nowhere/x"}, code: 3,
			want: map[string]string{"failed s3:ListBucket": "not found"},
		},
	}
	inBubble(t, server.Options{}, func(t *testing.T, a *account, _ expected) {
		for name, c := range cases {
			a.fresh()
			a.aws.SetFaults(c.faults)
			args := append([]string{"doctor", "--format", "json"}, c.args...)
			if len(c.args) > 0 && c.args[0] == "channel" {
				a.settings(topicSettings)
				args = args[:3]
			}
			begun := time.Now()
			out, stderr, code := a.run(t.Context(), args...)
			if took := time.Since(begun); code != c.code || took > 15*time.Second {
				t.Errorf("%s: exit code %d, want %d, after %s\n%s%s", name, code, c.code, took, out, stderr)
			}
			got := failures(checksOf(t, out))
			for check, want := range c.want {
				if !strings.Contains(got[check], want) {
					t.Errorf("%s: want %s with %q, got %v", name, check, want, got)
				}
				delete(got, check)
			}
			if len(got) > 0 {
				t.Errorf("%s: also %v", name, got)
			}
			time.Sleep(10 * time.Minute) // what the clock was ahead, and the quota of others
		}
		if n := len(a.aws.Messages()); n != 0 {
			t.Errorf("%d messages were sent", n)
		}
	})
}

// What is wrong on this machine is found without AWS.
func TestDoctorHere(t *testing.T) {
	a := newAccount(t, mustWorld(t), server.Options{Faults: server.Faults{UnknownKeys: []string{dummyKey}}}, time.Now)
	doctor := func() (map[string]string, int) {
		out, _, code := a.run(t.Context(), "doctor", "--format", "json")
		return checksOf(t, out), code
	}
	if err := os.Mkdir(a.data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(a.data, "iamtrack.db"), []byte("not a database at all, but some text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, code := doctor(); code != 1 || !strings.Contains(got["failed data directory"], "not a readable iamtrack database") {
		t.Errorf("exit code %d, %v", code, got)
	}
	a.fresh()
	a.settings("channels:\n  - name: hook\n    type: webhook\n    url: https://${NO_SUCH_VARIABLE}\n")
	got, code := doctor()
	if code != 3 || !strings.Contains(got["failed channels"], "NO_SUCH_VARIABLE is not set") || got["ok data directory"] == "" {
		t.Errorf("exit code %d, %v", code, got)
	}
	entries, err := os.ReadDir(a.data)
	if err != nil || len(entries) != 1 {
		t.Errorf("it left %v, %v", entries, err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	a.fresh()
	if _, stderr, code := a.run(t.Context(), "import", "testdata/trail"); code != 0 && code != 3 {
		t.Fatalf("import: exit code %d\n%s", code, stderr)
	}
	if got, _ := doctor(); got["ok file modes"] == "" {
		t.Errorf("file modes of a new folder: %v", got)
	}
	if err := os.Chmod(a.data, 0o750); err != nil { //nolint:gosec // that is what is to be found
		t.Fatal(err)
	}
	got, _ = doctor()
	if want := a.data + " (0750)"; !strings.Contains(got["warning file modes"], want) {
		t.Errorf("no %q in %v", want, got)
	}
}
