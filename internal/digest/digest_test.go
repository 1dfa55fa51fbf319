package digest_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/digest"
)

const (
	account = "111122223333"
	region  = "us-east-2"
	bucket  = "trail-bucket"
)

var start = time.Date(2026, 11, 20, 22, 1, 31, 0, time.UTC) // the chain goes over midnight

// keys are made once: RSA is slow.
var testKey, otherKey = sync.OnceValue(makeKey), sync.OnceValue(makeKey)

func makeKey() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
}

// forge writes a genuine trail as AWS documents it, and keeps what later digests
// need of earlier ones.
type forge struct {
	t          *testing.T
	files      fstest.MapFS
	signatures map[string]string // by path, as objects' metadata hold them
	key        *rsa.PrivateKey
	print      string // fingerprint
	last       map[string]link
}

type link struct{ key, hash, signature string }

func newForge(t *testing.T) *forge {
	return &forge{t: t, files: fstest.MapFS{}, signatures: map[string]string{}, key: testKey(), print: "31e8b5433410dfb61a9dc45cc65b22ff", last: map[string]link{}}
}

func pack(t *testing.T, content []byte) *fstest.MapFile {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return &fstest.MapFile{Data: b.Bytes()}
}

func sum(b []byte) string { s := sha256.Sum256(b); return hex.EncodeToString(s[:]) }

func logKey(at time.Time, n int) string {
	return fmt.Sprintf("AWSLogs/%s/CloudTrail/%s/%s/%s_CloudTrail_%s_%s_%016d.json.gz", account, region, at.Format("2006/01/02"), account, region, at.Format("20060102T1504Z"), n)
}

func digestKey(trail string, end time.Time) string {
	suffix := ""
	if t, ok := strings.CutSuffix(trail, " backfill"); ok {
		trail, suffix = t, "_backfill"
	}
	return fmt.Sprintf("AWSLogs/%s/CloudTrail-Digest/%s/%s/%s_CloudTrail-Digest_%s_%s_us-east-1_%s%s.json.gz",
		account, region, end.Format("2006/01/02"), account, region, trail, end.Format("20060102T150405Z"), suffix)
}

// log writes a log file, delivered at that minute.
func (f *forge) log(at time.Time, n int) string {
	key := logKey(at, n)
	f.files[key] = pack(f.t, fmt.Appendf(nil, `{"Records":[{"eventID":"%s-%d"}]}`, at.Format(time.RFC3339), n))
	return key
}

// digest signs a digest over the logs.
func (f *forge) digest(trail string, from, to time.Time, logs ...string) string {
	f.t.Helper()
	key := digestKey(trail, to)
	doc := map[string]any{
		"awsAccountId": account, "digestStartTime": from.Format("2006-01-02T15:04:05Z"), "digestEndTime": to.Format("2006-01-02T15:04:05Z"),
		"digestS3Bucket": bucket, "digestS3Object": key, "digestPublicKeyFingerprint": f.print, "digestSignatureAlgorithm": "SHA256withRSA",
		"newestEventTime": nil, "oldestEventTime": nil,
		"previousDigestS3Bucket": nil, "previousDigestS3Object": nil, "previousDigestHashValue": nil, "previousDigestHashAlgorithm": nil, "previousDigestSignature": nil,
	}
	previous := "null"
	if p, ok := f.last[trail]; ok {
		doc["previousDigestS3Bucket"], doc["previousDigestS3Object"] = bucket, p.key
		doc["previousDigestHashValue"], doc["previousDigestHashAlgorithm"], doc["previousDigestSignature"] = p.hash, "SHA-256", p.signature
		previous = p.signature
	}
	list := []any{}
	for _, l := range logs {
		list = append(list, map[string]any{"s3Bucket": bucket, "s3Object": l, "hashValue": sum(f.content(l)), "hashAlgorithm": "SHA-256"})
	}
	doc["logFiles"] = list
	content, err := json.Marshal(doc)
	if err != nil {
		f.t.Fatal(err)
	}
	text := sha256.Sum256([]byte(doc["digestEndTime"].(string) + "\n" + bucket + "/" + key + "\n" + sum(content) + "\n" + previous))
	raw, err := rsa.SignPKCS1v15(rand.Reader, f.key, crypto.SHA256, text[:])
	if err != nil {
		f.t.Fatal(err)
	}
	f.files[key] = pack(f.t, content)
	f.signatures[key] = hex.EncodeToString(raw)
	f.last[trail] = link{key, sum(content), f.signatures[key]}
	return key
}

func (f *forge) content(p string) []byte {
	f.t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(f.files[p].Data))
	if err != nil {
		f.t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

// hours writes a chain with two log files an hour, none in the third.
func (f *forge) hours(n int) {
	for i := range n {
		from := start.Add(time.Duration(i) * time.Hour)
		var logs []string
		for j := range 2 {
			if i != 2 {
				logs = append(logs, f.log(from.Add(time.Duration(10+20*j)*time.Minute), i*10+j))
			}
		}
		f.digest("main", from, from.Add(time.Hour), logs...)
	}
}

// online is the trail with metadata, as in S3.
type online struct {
	digest.Trail
	signatures map[string]string
}

func (o online) Signature(_ context.Context, p string) (string, error) { return o.signatures[p], nil }

func (f *forge) verify(change ...func(*digest.Options)) digest.Result {
	f.t.Helper()
	return f.verifyTrail(online{digest.FS(f.files), f.signatures}, change...)
}

func (f *forge) verifyTrail(t digest.Trail, change ...func(*digest.Options)) digest.Result {
	f.t.Helper()
	o := digest.Options{Key: digest.Keys{f.print: &testKey().PublicKey}.Known, Workers: 3}
	for _, c := range change {
		c(&o)
	}
	r, err := digest.Verify(f.t.Context(), t, o)
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

func hourOf(i int) (from, to time.Time) {
	from = start.Add(time.Duration(i) * time.Hour)
	return from, from.Add(time.Hour)
}

func span(from, to int) digest.Span {
	a, _ := hourOf(from)
	_, b := hourOf(to)
	return digest.Span{AccountID: account, Region: region, From: a, To: b}
}

// summary is a finding without its prose.
func summary(r digest.Result) []string {
	list := []string{}
	for _, f := range r.Findings {
		list = append(list, string(f.Kind)+": "+path.Base(f.Path))
	}
	return list
}

func want(t *testing.T, r digest.Result, findings []string, verified ...digest.Span) {
	t.Helper()
	slices.Sort(findings)
	got := summary(r)
	slices.Sort(got)
	if d := cmp.Diff(findings, got); d != "" {
		t.Errorf("findings (-want +got):\n%s\n%+v", d, r.Findings)
	}
	if d := cmp.Diff(append([]digest.Span{}, verified...), r.Verified); d != "" {
		t.Errorf("verified (-want +got):\n%s", d)
	}
}

func TestGenuineChain(t *testing.T) {
	f := newForge(t)
	f.hours(6)
	r := f.verify()
	want(t, r, []string{}, span(0, 5))
	if r.Digests != 6 || r.Proven != 6 || r.Logs != 10 || r.Uncovered != 0 || r.Faults() != 0 {
		t.Errorf("%+v", r)
	}
	events := r.Verified[0].Events()
	if !events.To.Equal(span(0, 4).To) {
		t.Errorf("events until %s", events.To)
	}
}

func TestOfflineTheNewestNeedsItsSignature(t *testing.T) {
	f := newForge(t)
	f.hours(5)
	newest := f.last["main"].key
	r := f.verifyTrail(digest.FS(f.files))
	want(t, r, []string{"no signature: " + path.Base(newest)}, span(0, 3))
	if r.Faults() != 0 || r.Uncovered != 2 {
		t.Errorf("%+v", r)
	}
	f.files[newest+digest.SignatureSuffix] = &fstest.MapFile{Data: []byte(f.signatures[newest] + "\n")}
	want(t, f.verifyTrail(digest.FS(f.files)), []string{}, span(0, 4))
}

func TestAnyFolderUnpackedOrTwice(t *testing.T) {
	f := newForge(t)
	f.hours(4)
	flat := fstest.MapFS{}
	for p, file := range f.files {
		flat["copy/"+path.Base(p)] = file
	}
	some := logKey(start.Add(10*time.Minute), 0)
	flat["copy/"+strings.TrimSuffix(path.Base(some), ".gz")] = &fstest.MapFile{Data: f.content(some)}
	delete(flat, "copy/"+path.Base(some))
	flat["again/"+path.Base(some)] = f.files[some]
	want(t, f.verifyTrail(digest.FS(flat)), []string{"no signature: " + path.Base(f.last["main"].key)}, span(0, 2))
	flat["again/"+path.Base(some)] = pack(t, []byte("{}"))
	want(t, f.verifyTrail(digest.FS(flat)), []string{
		"no signature: " + path.Base(f.last["main"].key), "log file changed: " + path.Base(some),
	}, span(1, 2))
}

func TestEachFaultIsNamed(t *testing.T) {
	at := func(hour, minute int) time.Time {
		return start.Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute)
	}
	name := func(hour int) string { _, to := hourOf(hour); return digestKey("main", to) }
	cases := map[string]struct {
		spoil    func(f *forge)
		findings []string
		verified []digest.Span
	}{
		"a byte of a log file": {func(f *forge) {
			k := logKey(at(1, 10), 10)
			c := f.content(k)
			c[len(c)/2] ^= 1
			f.files[k] = pack(f.t, c)
		}, []string{"log file changed: " + path.Base(logKey(at(1, 10), 10))}, []digest.Span{span(0, 0), span(2, 5)}},
		"a log file that can't be unpacked": {func(f *forge) {
			k := logKey(at(1, 10), 10)
			f.files[k] = &fstest.MapFile{Data: f.files[k].Data[:20]}
		}, []string{"log file changed: " + path.Base(logKey(at(1, 10), 10))}, []digest.Span{span(0, 0), span(2, 5)}},
		"a log file removed": {func(f *forge) { delete(f.files, logKey(at(3, 30), 31)) },
			[]string{"log file missing: " + path.Base(logKey(at(3, 30), 31))}, []digest.Span{span(0, 2), span(4, 5)}},
		"a log file added": {func(f *forge) { f.log(at(1, 40), 99) },
			[]string{"log file added: " + path.Base(logKey(at(1, 40), 99))}, []digest.Span{span(0, 0), span(2, 5)}},
		"a log file added in an empty hour": {func(f *forge) { f.log(at(2, 40), 99) },
			[]string{"log file added: " + path.Base(logKey(at(2, 40), 99))}, []digest.Span{span(0, 1), span(3, 5)}},
		"a log file renamed": {func(f *forge) {
			f.files[logKey(at(4, 10), 777)] = f.files[logKey(at(3, 30), 31)]
			delete(f.files, logKey(at(3, 30), 31))
		}, []string{"log file renamed: " + path.Base(logKey(at(4, 10), 777))}, []digest.Span{span(0, 2), span(4, 5)}},
		"a log file with a name of its own": {func(f *forge) {
			f.files["AWSLogs/hidden.json.gz"] = f.files[logKey(at(3, 30), 31)]
			delete(f.files, logKey(at(3, 30), 31))
		}, []string{"log file renamed: hidden.json.gz"}, []digest.Span{span(0, 2), span(4, 5)}},
		"two log files exchanged": {func(f *forge) {
			a, b := logKey(at(0, 10), 0), logKey(at(4, 10), 40)
			f.files[a], f.files[b] = f.files[b], f.files[a]
		}, []string{"log file changed: " + path.Base(logKey(at(0, 10), 0)), "log file changed: " + path.Base(logKey(at(4, 10), 40))},
			[]digest.Span{span(1, 3), span(5, 5)}},
		"a digest removed": {func(f *forge) { delete(f.files, name(3)) },
			[]string{"digest removed: " + path.Base(name(3))}, []digest.Span{span(0, 2), span(4, 5)}},
		"a digest altered": {func(f *forge) {
			f.files[name(3)] = pack(f.t, bytes.Replace(f.content(name(3)), []byte(`"newestEventTime":null`), []byte(`"newestEventTime":"2026-11-21T01:01:31Z"`), 1))
		}, []string{"digest altered: " + path.Base(name(3))}, []digest.Span{span(0, 2), span(4, 5)}},
		"the newest digest altered": {func(f *forge) {
			f.files[name(5)] = pack(f.t, bytes.Replace(f.content(name(5)), []byte(`"newestEventTime":null`), []byte(`"newestEventTime":"2026-11-21T01:01:31Z"`), 1))
		}, []string{"digest altered: " + path.Base(name(5))}, []digest.Span{span(0, 4)}},
		"a digest that is none": {func(f *forge) { f.files[name(3)] = pack(f.t, []byte("{}")) },
			[]string{"digest altered: " + path.Base(name(3))}, []digest.Span{span(0, 2), span(4, 5)}},
		"two digests exchanged": {func(f *forge) { f.files[name(2)], f.files[name(3)] = f.files[name(3)], f.files[name(2)] },
			[]string{"digest re-ordered: " + path.Base(name(2)), "digest re-ordered: " + path.Base(name(3))}, []digest.Span{span(0, 1), span(4, 5)}},
		"a digest renamed": {func(f *forge) {
			_, to := hourOf(3)
			f.files[digestKey("main", to.Add(time.Minute))] = f.files[name(3)]
			delete(f.files, name(3))
		}, []string{"digest renamed: " + path.Base(digestKey("main", start.Add(4*time.Hour+time.Minute))), "digest removed: " + path.Base(name(3))},
			[]digest.Span{span(0, 2), span(4, 5)}},
		"a digest of another forger": {func(f *forge) {
			f.key = otherKey()
			from, to := hourOf(6)
			f.digest("main", from, to)
		}, []string{"digest altered: " + path.Base(name(6))}, []digest.Span{span(0, 5)}},
		"validation was off": {func(f *forge) {
			delete(f.last, "main")
			from, to := hourOf(9)
			f.digest("main", from, to, f.log(from.Add(10*time.Minute), 90))
			f.log(from.Add(-2*time.Hour), 70) // delivered while no digest was written
		}, []string{"gap: " + path.Base(name(9))}, []digest.Span{span(0, 5), span(9, 9)}},
	}
	for title, c := range cases {
		t.Run(title, func(t *testing.T) {
			f := newForge(t)
			f.hours(6)
			c.spoil(f)
			want(t, f.verify(), c.findings, c.verified...)
		})
	}
}

// An account and region whose log files have no digest at all is named: being
// counted as uncovered would look like the newest hour.
func TestNoDigest(t *testing.T) {
	elsewhere := func(f *forge, at time.Time, owner, to string, i int) string {
		key := logKey(at, i)
		moved := strings.NewReplacer(account, owner, "/"+region+"/", "/"+to+"/", "_"+region+"_", "_"+to+"_").Replace(key)
		f.files[moved] = pack(f.t, []byte(`{"Records":[]}`))
		return moved
	}
	at := func(hour, minute int) time.Time {
		return start.Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute)
	}
	f := newForge(t)
	f.hours(6)
	first := elsewhere(f, at(1, 5), "444455556666", region, 91)
	elsewhere(f, at(2, 5), "444455556666", region, 92)
	second := elsewhere(f, at(3, 5), account, "eu-west-3", 93)
	elsewhere(f, at(7, 5), account, "eu-west-1", 94) // newer than any digest: its first may be to come
	r := f.verify()
	want(t, r, []string{"no digest: " + path.Base(second), "no digest: " + path.Base(first)}, span(0, 5))
	if r.Faults() != 0 || r.Uncovered != 4 {
		t.Errorf("%d faults, %d uncovered", r.Faults(), r.Uncovered)
	}
	for _, d := range r.Findings {
		if !strings.Contains(d.Detail, d.AccountID+" in "+d.Region) {
			t.Errorf("%+v", d)
		}
	}

	none := newForge(t)
	late := elsewhere(none, at(7, 5), account, "eu-west-1", 95)
	want(t, none.verify(), []string{"no digest: " + path.Base(late)})
}

func TestKeys(t *testing.T) {
	f := newForge(t)
	f.hours(4)
	first := path.Base(digestKey("main", start.Add(time.Hour)))
	t.Run("wrong", func(t *testing.T) {
		want(t, f.verify(func(o *digest.Options) { o.Key = digest.Keys{f.print: &otherKey().PublicKey}.Known }), []string{"wrong key: " + first})
	})
	t.Run("unknown", func(t *testing.T) {
		r := f.verify(func(o *digest.Options) { o.Key = digest.Keys{}.Known })
		want(t, r, []string{"unknown key: " + first})
		if !strings.Contains(r.Findings[0].Detail, "3 more digests") {
			t.Error(r.Findings[0].Detail)
		}
	})
	t.Run("changed within the chain", func(t *testing.T) {
		f := newForge(t)
		f.hours(3)
		f.key, f.print = otherKey(), "another"
		from, to := hourOf(3)
		f.digest("main", from, to)
		want(t, f.verify(func(o *digest.Options) {
			o.Key = digest.Keys{"31e8b5433410dfb61a9dc45cc65b22ff": &testKey().PublicKey, "another": &otherKey().PublicKey}.Known
		}), []string{}, span(0, 3))
	})
	t.Run("an altered digest names a key that can't be fetched", func(t *testing.T) {
		f := newForge(t)
		f.hours(4)
		changed := digestKey("main", start.Add(2*time.Hour))
		f.files[changed] = pack(t, bytes.Replace(f.content(changed), []byte(f.print), []byte(strings.Repeat("0", len(f.print))), 1))
		r := f.verify(func(o *digest.Options) {
			o.Key = func(_ context.Context, _, fingerprint string, _ time.Time) (*rsa.PublicKey, error) {
				if fingerprint == f.print {
					return &testKey().PublicKey, nil
				}
				return nil, errors.New("no connection")
			}
		})
		if got := summary(r); !slices.Contains(got, "digest altered: "+path.Base(changed)) {
			t.Errorf("findings %q", got)
		}
		if r.Proven != 3 {
			t.Errorf("%d digests proven, want the other 3", r.Proven)
		}
	})
	t.Run("can't be fetched", func(t *testing.T) {
		broken := errors.New("no connection")
		_, err := digest.Verify(t.Context(), digest.FS(f.files), digest.Options{Key: func(context.Context, string, string, time.Time) (*rsa.PublicKey, error) {
			return nil, broken
		}})
		if !errors.Is(err, broken) {
			t.Errorf("error %v", err)
		}
	})
}

func TestReadKeys(t *testing.T) {
	pkcs1 := x509.MarshalPKCS1PublicKey(&testKey().PublicKey)
	pkix, err := x509.MarshalPKIXPublicKey(&otherKey().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	one, _ := json.Marshal(map[string]any{"PublicKeyList": []any{map[string]any{"Fingerprint": "a", "Value": pkcs1, "ValidityStartTime": "1436317441.0"}}})
	two, _ := json.Marshal(map[string]any{"publicKeyList": []any{map[string]any{"Fingerprint": "b", "Value": pkix, "ValidityStartTime": 1436317441.0}}})
	keys, err := digest.ReadKeys(bytes.NewReader(append(one, two...)))
	if err != nil || !keys["a"].Equal(&testKey().PublicKey) || !keys["b"].Equal(&otherKey().PublicKey) {
		t.Errorf("keys %v, %v", keys, err)
	}
	for _, bad := range []string{"", "{}", "[]", `{"PublicKeyList":[{"Fingerprint":"x","Value":"AAAA"}]}`, `{"PublicKeyList":[{"Fingerprint":"x","Value":"!"}]}`} {
		if _, err := digest.ReadKeys(strings.NewReader(bad)); err == nil {
			t.Errorf("%q gives no error", bad)
		}
	}
}

func TestBackfill(t *testing.T) {
	f := newForge(t)
	f.hours(4)
	late := f.log(start.Add(75*time.Minute), 500) // of the second hour
	want(t, f.verify(), []string{"log file added: " + path.Base(late)}, span(0, 0), span(2, 3))
	from, to := hourOf(1)
	f.digest("main backfill", from, to, late)
	want(t, f.verify(), []string{}, span(0, 3))
	from, to = hourOf(3) // backfills are rare, and so no gap
	f.digest("main backfill", from, to)
	want(t, f.verify(), []string{}, span(0, 3))
	delete(f.files, late)
	want(t, f.verify(), []string{"log file missing: " + path.Base(late)}, span(0, 0), span(2, 3))
}

func TestTwoTrailsInOneBucket(t *testing.T) {
	f := newForge(t)
	f.hours(3)
	for i := range 3 {
		from, to := hourOf(i)
		f.digest("audit_two", from, to, f.log(from.Add(5*time.Minute), 800+i))
	}
	want(t, f.verify(), []string{}, span(0, 2))
}

func TestTooNewAndTooOldIsNotAdded(t *testing.T) {
	f := newForge(t)
	f.hours(4)
	f.log(start.Add(-time.Hour), 900)                // before the chain
	f.log(start.Add(3*time.Hour+50*time.Minute), 90) // may be listed by the next digest
	f.log(start.Add(5*time.Hour), 901)
	r := f.verify()
	want(t, r, []string{}, span(0, 3))
	if r.Uncovered != 3 {
		t.Errorf("uncovered %d", r.Uncovered)
	}
}

func TestOnlyTheTimeAskedFor(t *testing.T) {
	f := newForge(t)
	f.hours(30)
	from, _ := hourOf(26)
	r := f.verify(func(o *digest.Options) { o.Since, o.Until = from.Add(time.Minute), from.Add(90*time.Minute) })
	want(t, r, []string{}, span(26, 28))
}

// unreadable is a trail of which one file can't be read: that proves nothing.
type unreadable struct {
	digest.Trail
	path string
}

func (u unreadable) Open(ctx context.Context, p string) (io.ReadCloser, error) {
	if p == u.path {
		return nil, errors.New("permission denied")
	}
	return u.Trail.Open(ctx, p)
}

func TestWhatCantBeReadIsNoFault(t *testing.T) {
	f := newForge(t)
	f.hours(4)
	bad := logKey(start.Add(10*time.Minute), 0)
	r := f.verifyTrail(unreadable{online{digest.FS(f.files), f.signatures}, bad})
	want(t, r, []string{"unreadable: " + path.Base(bad)}, span(1, 3))
	if r.Faults() != 0 {
		t.Error(r.Faults())
	}
}

func TestListingFails(t *testing.T) {
	_, err := digest.Verify(t.Context(), digest.FS(fstest.MapFS{"x": {Mode: fs.ModeDir}, "x/y": {}}), digest.Options{Key: digest.Keys{}.Known})
	if err != nil {
		t.Errorf("an empty trail: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	cancel(stop)
	f := newForge(t)
	f.hours(1)
	if _, err := digest.Verify(ctx, digest.FS(f.files), digest.Options{Key: digest.Keys{}.Known}); !errors.Is(err, stop) {
		t.Errorf("error %v", err)
	}
}

func TestParseName(t *testing.T) {
	for p, ok := range map[string]bool{
		digestKey("main", start): true, digestKey("a_b", start): true, digestKey("main backfill", start): true, logKey(start, 1): true,
		"111122223333_CloudTrail_us-east-2_20150817T1445Z_9nYN7gp2eWAJHIfT.json":                             true,
		"111122223333_CloudTrail-Digest_us-east-2_main_us-east-2_20150817T1445Z.json.gz":                     false,
		"111122223333_CloudTrail-Insight_us-east-2_20150817T1445Z_9nYN7gp2eWAJHIfT.json.gz":                  false,
		"1_CloudTrail_us-east-2_20150817T1445Z_9nYN7gp2eWAJHIfT.json.gz":                                     false,
		"111122223333_CloudTrail_us-east-2_20151317T1445Z_9nYN7gp2eWAJHIfT.json.gz":                          false,
		"111122223333_CloudTrail_us-east-2_20150817T1445Z_9nYN7gp2eWAJHIfT.json.gz" + digest.SignatureSuffix: false,
	} {
		if _, got := digest.ParseName(p); got != ok {
			t.Errorf("%s: %v", p, got)
		}
	}
	n, _ := digest.ParseName(digestKey("a_b backfill", start))
	if n.Trail != "a_b_us-east-1" || !n.Backfill || !n.Time.Equal(start) || n.Region != region || n.AccountID != account {
		t.Errorf("%+v", n)
	}
}

func FuzzParse(f *testing.F) {
	fg := newForge(&testing.T{})
	fg.hours(3)
	for _, key := range sortedPaths(fg.files) {
		if strings.Contains(key, "Digest") {
			f.Add(fg.content(key))
		}
	}
	f.Add([]byte(`{"awsAccountId":"1"}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		d, err := digest.Parse(content)
		if err != nil {
			return
		}
		if d.End.Before(d.Start) || d.Key == "" || d.Bucket == "" || d.Fingerprint == "" {
			t.Errorf("accepted %+v", d)
		}
		for _, l := range d.Logs {
			if len(l.Hash) != 64 || l.Hash != strings.ToLower(l.Hash) {
				t.Errorf("hash %q", l.Hash)
			}
		}
	})
}

func sortedPaths(m fstest.MapFS) []string {
	list := make([]string, 0, len(m))
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}
