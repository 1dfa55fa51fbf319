package simulate_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/simulate"
)

// Every log file of the organization's trail is in one digest, with its hash;
// digests follow one another hour by hour, each signed, each naming the one
// before. The rules are those of AWS's page "Custom implementations of CloudTrail
// log file integrity validation"; test/integration runs the AWS CLI's own check.
func TestDigests(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulate.Config{Seed: 4, Days: 7, Events: 2500, Regions: []string{"us-east-1"}})
	dir := t.TempDir()
	opt := simulate.TrailOptions{Compress: true, Digests: true, SecondTrail: true, Every: time.Hour, Bucket: "my-bucket"}
	sum, err := simulate.WriteTrail(context.Background(), w, dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	var keys struct {
		PublicKeyList []struct {
			Value       []byte
			Fingerprint string
		}
	}
	public := map[string]*rsa.PublicKey{}
	if err := json.Unmarshal(readFile(t, filepath.Join(dir, simulate.PublicKeysFile)), &keys); err != nil {
		t.Fatal(err)
	}
	for _, k := range keys.PublicKeyList {
		if public[k.Fingerprint], err = x509.ParsePKCS1PublicKey(k.Value); err != nil {
			t.Fatal(err)
		}
	}
	logs, digests := map[string]string{}, map[string][]string{} // digests by folder of the region, in order
	walkFiles(t, dir, func(name string) {
		switch {
		case simulate.IsSidecar(name) || strings.HasPrefix(name, "production-trail/"):
		case strings.Contains(name, "/CloudTrail-Digest/"):
			chain, _, _ := strings.Cut(name, "/20")
			if strings.Contains(name, "_backfill") {
				chain += " backfill"
			}
			digests[chain] = append(digests[chain], name)
		default:
			logs[name] = hashOf(unpack(t, filepath.Join(dir, name)))
		}
	})
	listed := map[string]string{}
	n, backfills := 0, 0
	for chain, names := range digests {
		slices.Sort(names)
		previous, previousSigned, previousEnd := "", "null", ""
		for i, name := range names {
			n++
			body := unpack(t, filepath.Join(dir, name))
			var d struct {
				DigestStartTime, DigestEndTime, DigestS3Bucket, DigestS3Object, DigestPublicKeyFingerprint string
				PreviousDigestS3Object, PreviousDigestSignature, PreviousDigestHashValue, NewestEventTime  *string
				LogFiles                                                                                   []struct{ S3Bucket, S3Object, HashValue string }
			}
			if err := json.Unmarshal(body, &d); err != nil {
				t.Fatal(err)
			}
			if d.DigestS3Object != name || d.DigestS3Bucket != "my-bucket" {
				t.Fatalf("%s says that it is %s/%s", name, d.DigestS3Bucket, d.DigestS3Object)
			}
			if i > 0 && (*d.PreviousDigestS3Object != names[i-1] || *d.PreviousDigestHashValue != previous || *d.PreviousDigestSignature != previousSigned) || i == 0 && d.PreviousDigestS3Object != nil {
				t.Fatalf("%s does not name the one before", name)
			}
			if strings.HasSuffix(chain, " backfill") {
				backfills++
			} else if i > 0 && d.DigestStartTime != previousEnd {
				t.Fatalf("%s: a gap before", name)
			}
			signature := strings.TrimSpace(string(readFile(t, filepath.Join(dir, name)+simulate.SignatureSuffix)))
			raw, err := hex.DecodeString(signature)
			if err != nil {
				t.Fatal(err)
			}
			text := sha256.Sum256([]byte(d.DigestEndTime + "\nmy-bucket/" + name + "\n" + hashOf(body) + "\n" + previousSigned))
			if err := rsa.VerifyPKCS1v15(public[d.DigestPublicKeyFingerprint], crypto.SHA256, text[:], raw); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if (d.NewestEventTime == nil) != (len(d.LogFiles) == 0) {
				t.Errorf("%s: newest event of %d files", name, len(d.LogFiles))
			}
			for _, f := range d.LogFiles {
				if listed[f.S3Object] != "" {
					t.Errorf("%s is listed twice", f.S3Object)
				}
				listed[f.S3Object] = f.HashValue
			}
			previous, previousSigned, previousEnd = hashOf(body), signature, d.DigestEndTime
		}
		if len(names) < 7*24 && !strings.HasSuffix(chain, " backfill") {
			t.Errorf("%s: only %d digests", chain, len(names))
		}
	}
	if diff := cmp.Diff(logs, listed); diff != "" {
		t.Errorf("log files (-on disk +in digests):\n%s", diff)
	}
	if n != sum.Digests || backfills == 0 || len(logs) == 0 {
		t.Errorf("%d digests, %d counted; %d backfills; %d log files", n, sum.Digests, backfills, len(logs))
	}

	if testing.Short() {
		return
	}
	again := t.TempDir()
	if _, err := simulate.WriteTrail(context.Background(), newWorld(t, w.Config()), again, opt); err != nil {
		t.Fatal(err)
	}
	for _, names := range digests {
		for _, name := range names {
			if !bytes.Equal(readFile(t, filepath.Join(dir, name)), readFile(t, filepath.Join(again, name))) {
				t.Fatalf("%s is another the second time", name)
			}
		}
	}
}

func TestDigestsNeedCompression(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulate.Config{Seed: 4, Days: 7, Events: 2500})
	if _, err := simulate.WriteTrail(context.Background(), w, t.TempDir(), simulate.TrailOptions{Digests: true}); err == nil {
		t.Error("no error")
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unpack(t *testing.T, path string) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(readFile(t, path)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func walkFiles(t *testing.T, dir string, visit func(name string)) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			visit(name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
