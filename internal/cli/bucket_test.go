package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
)

// simulatedClock is a time that stands still.
type simulatedClock struct{ at time.Time }

func (c simulatedClock) Now() time.Time { return c.at }

func (simulatedClock) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// A trail in S3 gives what its copy on disk gives; its digests verify in both
// places, and no permission, changed files and faults are told.
func TestBucket(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	world, err := simulate.New(simulate.Config{Seed: 5, End: now, Days: 8, Events: 3000})
	if err != nil {
		t.Fatal(err)
	}
	trail := t.TempDir()
	if _, err := simulate.WriteTrail(t.Context(), world, trail, simulate.TrailOptions{Compress: true, Digests: true, Every: time.Hour}); err != nil {
		t.Fatal(err)
	}
	s, err := server.New(server.Options{World: world, Clock: simulatedClock{now}, Bucket: server.Bucket{Dir: trail}})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s)
	defer web.Close()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": dummyKey, "AWS_SECRET_ACCESS_KEY": "dummy", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "", "AWS_REGION": "",
		"AWS_CONFIG_FILE": filepath.Join(trail, "none"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(trail, "none"), "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	command := func(data string, args ...string) (stdout, stderr string, code int) {
		var out, errs bytes.Buffer
		e := &env{
			stdin: strings.NewReader(""), stdout: &out, stderr: &errs, version: "v0.0.0-test", now: func() time.Time { return now },
			lookupEnv: func(string) (string, bool) { return "", false },
		}
		code = run(t.Context(), e, append([]string{"--data-dir", data, "--format", "json"}, args...))
		return out.String(), errs.String(), code
	}
	summary := func(text string) (sum collect.Summary) {
		t.Helper()
		if err := json.Unmarshal([]byte(text), &sum); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		sum.Seconds, sum.SkippedFiles = 0, 0
		return sum
	}
	place := "s3://" + simulate.TrailBucket + "/"
	here, there := t.TempDir(), t.TempDir()
	var want collect.Summary

	t.Run("import", func(t *testing.T) {
		out, stderr, code := command(here, "import", trail)
		if code != 0 {
			t.Fatalf("exit code %d\n%s", code, stderr)
		}
		want = summary(out)
		out, stderr, code = command(there, "import", place, "--endpoint-url", web.URL)
		if code != 0 {
			t.Fatalf("exit code %d\n%s", code, stderr)
		}
		if d := cmp.Diff(want, summary(out)); d != "" {
			t.Errorf("summary (-disk +S3):\n%s", d)
		}
		for _, query := range [][]string{{"events", "--limit", "0"}, {"alerts", "list", "--limit", "0"}} {
			a, _, _ := command(here, query...)
			b, _, _ := command(there, query...)
			if a != b || len(a) < 100 {
				t.Errorf("%q differs:\n%.300s\n%.300s", query, a, b)
			}
		}
	})
	t.Run("only new", func(t *testing.T) {
		out, stderr, code := command(there, "import", place, "--endpoint-url", web.URL, "--only-new")
		if sum := summary(out); code != 0 || sum.Files != 0 {
			t.Errorf("exit code %d, %+v\n%s", code, sum, stderr)
		}
		late := firstLog(t, trail)
		fresh := filepath.Join(filepath.Dir(late), strings.Replace(filepath.Base(late), "Z_", "Z_LATE", 1))
		data, err := os.ReadFile(late)
		if err == nil {
			err = os.WriteFile(fresh, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.Remove(fresh) }()
		// A file that appears late, in the oldest folder.
		out, _, code = command(there, "import", place, "--endpoint-url", web.URL, "--only-new")
		if sum := summary(out); code != 0 || sum.Files != 1 || sum.Stored != 0 {
			t.Errorf("exit code %d, %+v", code, sum)
		}
	})
	t.Run("no permission", func(t *testing.T) {
		s.SetFaults(server.Faults{KMSDenied: true})
		defer s.SetFaults(server.Faults{})
		_, stderr, code := command(t.TempDir(), "import", place, "--endpoint-url", web.URL, "--since", "1d")
		if code != 3 || !strings.Contains(stderr, ".json.gz: fetch from S3: access denied: kms:Decrypt on the key that encrypts it: permit it in the key's policy") {
			t.Errorf("exit code %d\n%.800s", code, stderr)
		}
		_, stderr, code = command(t.TempDir(), "import", "s3://elsewhere/", "--endpoint-url", web.URL)
		if code != 1 || !strings.Contains(stderr, "s3://elsewhere") {
			t.Errorf("exit code %d\n%s", code, stderr)
		}
	})
	t.Run("verify", func(t *testing.T) {
		keys := filepath.Join(trail, "CloudTrail-Digest", "public-keys.json")
		verify := func(args ...string) (r trailReport, code int) {
			t.Helper()
			out, stderr, code := command(there, append([]string{"verify"}, args...)...)
			if err := json.Unmarshal([]byte(out), &r); err != nil {
				t.Fatalf("%v: %s\n%s", err, out, stderr)
			}
			return r, code
		}
		offline, code := verify("--trail", trail, "--public-keys", keys)
		if code != 0 || offline.Faults != 0 || len(offline.Verified) == 0 || offline.Proven != offline.Digests || offline.Logs == 0 {
			t.Errorf("offline: exit code %d, %+v", code, offline)
		}
		online, code := verify("--trail", place, "--endpoint-url", web.URL)
		// There the files were imported from S3, so the copy proves nothing of them.
		if off, on := offline.Coverage, online.Coverage; off.Streams != 0 || off.NotImported == 0 || on.Streams == 0 || on.NotImported != 0 {
			t.Errorf("coverage: offline %+v, online %+v", off, on)
		}
		online.Trail, online.Foreign, online.Coverage = offline.Trail, offline.Foreign, offline.Coverage
		if d := cmp.Diff(offline, online); d != "" || code != 0 {
			t.Errorf("exit code %d (-offline +S3):\n%s", code, d)
		}
		if _, err := os.Stat(filepath.Join(there, keysFile)); err != nil {
			t.Errorf("the keys were not kept: %v", err)
		}
		var status struct {
			Streams []struct {
				Account string `json:"account_id"`
				Source  string `json:"event_source"`
				Covered []struct {
					From, To time.Time
					Level    string
				}
			}
		}
		out, stderr, _ := command(there, "status")
		if err := json.Unmarshal([]byte(out), &status); err != nil {
			t.Fatalf("%v\n%s", err, stderr)
		}
		days := map[string]float64{}
		for _, s := range status.Streams {
			for _, c := range s.Covered {
				if c.Level != "verified" {
					t.Errorf("%+v", s)
				}
				days[s.Source] = max(days[s.Source], c.To.Sub(c.From).Hours()/24)
			}
		}
		if days["iam.amazonaws.com"] < 7 || days["sts.amazonaws.com"] < 7 {
			t.Errorf("verified, at most: %v days of %d streams", days, len(status.Streams))
		}
		if out, stderr, code := command(there, "status", "--format", "table"); code != 0 || !strings.Contains(out, "verified, not collected") {
			t.Errorf("exit code %d, and people are not told what is verified:\n%s%s", code, out, stderr)
		}
		log := firstLog(t, trail)
		if err := os.Rename(log, log+".away"); err != nil {
			t.Fatal(err)
		}
		broken, code := verify("--trail", trail, "--public-keys", keys)
		if code != 1 || broken.Faults != 1 || filepath.Base(broken.Findings[0].Path) != filepath.Base(log) {
			t.Errorf("exit code %d, %+v", code, broken.Findings)
		}
		if err := os.Rename(log+".away", log); err != nil {
			t.Fatal(err)
		}
		// A region whose digests nobody copied.
		place := regexp.MustCompile(`/(\d{12})/CloudTrail/([^/]+)/`).FindStringSubmatch(filepath.ToSlash(log))
		account, region := place[1], place[2]
		var digests []string
		_ = filepath.WalkDir(trail, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() && strings.HasSuffix(filepath.ToSlash(path), "/"+account+"/CloudTrail-Digest/"+region) {
				digests = append(digests, path)
			}
			return err
		})
		if len(digests) != 1 || os.Rename(digests[0], filepath.Join(t.TempDir(), "away")) != nil {
			t.Fatalf("digests of %s in %s: %q", account, region, digests)
		}
		partly, code := verify("--trail", trail, "--public-keys", keys)
		if code != 3 || partly.Faults != 0 || len(partly.Findings) != 1 || partly.Findings[0].AccountID != account || partly.Findings[0].Region != region {
			t.Errorf("exit code %d, %+v", code, partly.Findings)
		}
		_, stderr, code = command(there, "verify", "--trail", trail, "--public-keys", keys)
		if code != 3 || !strings.Contains(stderr, "1 account and region has log files without a digest file") {
			t.Errorf("exit code %d\n%s", code, stderr)
		}
		if _, stderr, code := command(there, "verify", "--trail", t.TempDir(), "--public-keys", keys); code != 1 || !strings.Contains(stderr, "no digest file") {
			t.Errorf("an empty folder: exit code %d\n%s", code, stderr)
		}
	})
}

// firstLog is the first log file below a folder that a digest may list.
func firstLog(t *testing.T, dir string) (found string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && found == "" && strings.Contains(d.Name(), "_CloudTrail_") && strings.HasSuffix(path, ".json.gz") {
			found = path
		}
		return err
	})
	if err != nil || found == "" {
		t.Fatalf("no log file: %v", err)
	}
	return found
}
