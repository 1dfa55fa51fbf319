// Package digest verifies a trail's log files with CloudTrail's digest files: for
// every hour one lists the log files that were delivered, with their SHA-256, and
// the signature of the one before, so that they form a chain; each is signed with
// RSA by a key that AWS publishes. It works on copies, without AWS: the signature
// of a digest lies in its object's metadata, which copies lose, but also in the
// next digest, so only the newest needs it.
//
// Verify names what is wrong (Finding) and tells for which accounts, regions and
// times everything is proven (Span). The package opens nothing by itself: a Trail
// lists and opens the files, on disk (FS) or elsewhere.
//
// What digests can't show: that the oldest or the newest digests of a copy were
// removed. The times outside the spans are just not proven.
//
// Sources: AWS CloudTrail User Guide, "CloudTrail digest file structure" and
// "Custom implementations of CloudTrail log file integrity validation"; backfill
// digests as `aws cloudtrail validate-logs` handles them.
package digest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Digest is what a digest file says.
type Digest struct {
	AccountID   string
	Start, End  time.Time // of delivery, UTC
	Bucket, Key string    // where CloudTrail put it
	Fingerprint string    // of the key that signed it
	Previous    *Link     // nil in the first one of a chain
	Logs        []Log

	sum     [sha256.Size]byte // of the uncompressed content
	endText string            // as written, since it is signed
}

// Link is what a digest says of the one before.
type Link struct {
	Bucket, Key string
	Hash        string // hex SHA-256 of its uncompressed content
	Signature   string // hex
}

// Log is what a digest says of a log file.
type Log struct {
	Bucket, Key string
	Hash        string // hex SHA-256 of the uncompressed content
}

// maxDigest bounds a digest file's content: one for an hour with 100,000 log
// files has about 40 MB.
const maxDigest = 256 << 20

// wire is a digest file's JSON.
type wire struct {
	AccountID     string  `json:"awsAccountId"`
	Start         string  `json:"digestStartTime"`
	End           string  `json:"digestEndTime"`
	Bucket        string  `json:"digestS3Bucket"`
	Key           string  `json:"digestS3Object"`
	Fingerprint   string  `json:"digestPublicKeyFingerprint"`
	Algorithm     string  `json:"digestSignatureAlgorithm"`
	PrevBucket    *string `json:"previousDigestS3Bucket"`
	PrevKey       *string `json:"previousDigestS3Object"`
	PrevHash      *string `json:"previousDigestHashValue"`
	PrevAlgorithm *string `json:"previousDigestHashAlgorithm"`
	PrevSignature *string `json:"previousDigestSignature"`
	Logs          []struct {
		Bucket    string `json:"s3Bucket"`
		Key       string `json:"s3Object"`
		Hash      string `json:"hashValue"`
		Algorithm string `json:"hashAlgorithm"`
	} `json:"logFiles"`
}

const (
	signatureAlgorithm = "SHA256withRSA"
	hashAlgorithm      = "SHA-256"
)

// Parse reads a digest file's uncompressed content. The error says which field
// is missing or not understood; nothing is guessed.
func Parse(content []byte) (Digest, error) {
	var w wire
	if err := json.Unmarshal(content, &w); err != nil {
		return Digest{}, fmt.Errorf("not a digest file: %w", err)
	}
	d := Digest{AccountID: w.AccountID, Bucket: w.Bucket, Key: w.Key, Fingerprint: w.Fingerprint, sum: sha256.Sum256(content), endText: w.End}
	for _, f := range []struct{ name, value string }{
		{"awsAccountId", w.AccountID}, {"digestS3Bucket", w.Bucket}, {"digestS3Object", w.Key}, {"digestPublicKeyFingerprint", w.Fingerprint},
	} {
		if f.value == "" || strings.ContainsAny(f.value, "\n\r") {
			return Digest{}, fmt.Errorf("not a digest file: field %s is missing", f.name)
		}
	}
	var err error
	if d.Start, err = instant("digestStartTime", w.Start); err != nil {
		return Digest{}, err
	}
	if d.End, err = instant("digestEndTime", w.End); err != nil {
		return Digest{}, err
	}
	if d.End.Before(d.Start) {
		return Digest{}, fmt.Errorf("not a digest file: it ends (%s) before it starts (%s)", w.End, w.Start)
	}
	if w.Algorithm != signatureAlgorithm {
		return Digest{}, fmt.Errorf("signature algorithm %.40q is not known: only %s is", w.Algorithm, signatureAlgorithm)
	}
	if w.PrevKey != nil && w.PrevSignature != nil {
		d.Previous = &Link{Bucket: text(w.PrevBucket), Key: *w.PrevKey, Hash: strings.ToLower(text(w.PrevHash)), Signature: *w.PrevSignature}
	} else if w.PrevKey != nil || w.PrevSignature != nil {
		return Digest{}, fmt.Errorf("not a digest file: previousDigestS3Object and previousDigestSignature come together")
	}
	for i := range w.Logs {
		l := &w.Logs[i]
		if l.Algorithm != hashAlgorithm {
			return Digest{}, fmt.Errorf("hash algorithm %.40q of log file %d is not known: only %s is", l.Algorithm, i, hashAlgorithm)
		}
		if raw, err := hex.DecodeString(l.Hash); err != nil || len(raw) != sha256.Size || l.Key == "" {
			return Digest{}, fmt.Errorf("not a digest file: log file %d has no name or no hash", i)
		}
		d.Logs = append(d.Logs, Log{Bucket: l.Bucket, Key: l.Key, Hash: strings.ToLower(l.Hash)})
	}
	return d, nil
}

// instant reads a time as CloudTrail writes it: UTC, whole seconds. Others would
// be signed in a form that isn't known.
func instant(field, value string) (time.Time, error) {
	t, err := time.Parse("2006-01-02T15:04:05Z", value)
	if err != nil {
		return time.Time{}, fmt.Errorf("not a digest file: %s %.40q is no time", field, value)
	}
	return t, nil
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// signed is what the digest's signature is of. A first digest has the word null
// for the signature of the one before it.
func (d *Digest) signed() []byte {
	previous := "null"
	if d.Previous != nil {
		previous = d.Previous.Signature
	}
	return []byte(d.endText + "\n" + d.Bucket + "/" + d.Key + "\n" + hex.EncodeToString(d.sum[:]) + "\n" + previous)
}

// Name is what the name of a trail's file tells.
type Name struct {
	Digest    bool // else a log file
	AccountID string
	Region    string
	Trail     string    // a digest's: name and home region of the trail, "main_us-east-1"
	Time      time.Time // digest: end; log file: delivery, to the minute
	Backfill  bool
}

var (
	digestName = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(\d{12})_CloudTrail-Digest_([a-z0-9-]+)_(.+_[a-z0-9-]+)_(\d{8}T\d{6}Z)(_backfill)?\.json$`)
	})
	logName = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(\d{12})_CloudTrail_([a-z0-9-]+)_(\d{8}T\d{4}Z)_[A-Za-z0-9]+\.json$`)
	})
)

// ParseName reads the name of a digest or log file, whatever its folder and
// whether packed or not; ok is false for other files.
func ParseName(p string) (n Name, ok bool) {
	base := stem(p)
	if m := logName().FindStringSubmatch(base); m != nil {
		t, err := time.Parse("20060102T1504Z", m[3])
		return Name{AccountID: m[1], Region: m[2], Time: t}, err == nil
	}
	if m := digestName().FindStringSubmatch(base); m != nil {
		t, err := time.Parse("20060102T150405Z", m[4])
		return Name{Digest: true, AccountID: m[1], Region: m[2], Trail: m[3], Time: t, Backfill: m[5] != ""}, err == nil
	}
	return Name{}, false
}

// stem is a file's name without folder and packing: what a file and its copy,
// unpacked or not, have in common.
func stem(p string) string {
	base := path.Base(p)
	for _, packed := range []string{".gz", ".zst"} {
		base = strings.TrimSuffix(base, packed)
	}
	return base
}
