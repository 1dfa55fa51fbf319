package digest

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// maxLog bounds a log file's content.
const maxLog = 64 << 30

// chain is the digests of one trail in one account and region, oldest first.
type chain struct {
	v       *verifier
	g       *group
	files   []*file
	logs    *errgroup.Group // hashes log files
	hours   *[]*hour
	missing *[]absent
	broken  *[]failure
}

// failure is a digest whose signature is wrong under the key that it names, or
// whose key isn't known.
type failure struct {
	path, fingerprint string
	unknown           bool // there is no such key
	linked            bool // the next digest says what its content must be
	unchanged         bool // and it is that
}

// verify walks from the newest digest to the oldest, as each holds the signature
// of the one before.
func (c *chain) verify(ctx context.Context) error {
	present := make(map[string]bool, len(c.files))
	for _, f := range c.files {
		present[f.stem] = true
	}
	var next *Digest // in time; nil: none, or unusable
	for i, f := range slices.Backward(c.files) {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		d, path, err := c.load(ctx, f, next)
		if err != nil {
			return err
		}
		if d == nil {
			next = nil
			continue
		}
		if inner := stem(d.Key); inner != f.stem {
			if present[inner] {
				c.v.find(c.g, ReorderedDigest, path, "it holds the digest %s", inner)
			} else {
				c.v.find(c.g, RenamedDigest, path, "CloudTrail named it %s", d.Key)
			}
			next = nil
			continue
		}
		proven, err := c.prove(ctx, f, path, d, next)
		if err != nil {
			return err
		}
		c.link(d, path, i, present)
		if proven {
			if err := c.contents(ctx, d, f.name.Backfill); err != nil {
				return err
			}
		}
		next = d
	}
	return nil
}

// load reads a digest file. Of several copies the one that the next digest tells
// of counts. Without one, d is nil and a finding says why.
func (c *chain) load(ctx context.Context, f *file, next *Digest) (d *Digest, path string, err error) {
	wanted := ""
	if next != nil && next.Previous != nil && stem(next.Previous.Key) == f.stem {
		wanted = next.Previous.Hash
	}
	for _, p := range f.paths {
		var content []byte
		err := unpacked(ctx, c.v.t, p, maxDigest, func(r io.Reader) (err error) {
			content, err = io.ReadAll(r)
			return err
		})
		if cause := context.Cause(ctx); cause != nil {
			return nil, "", cause
		}
		c.v.mu.Lock()
		c.v.r.Digests++
		c.v.mu.Unlock()
		c.v.read()
		var one Digest
		if err == nil {
			if one, err = Parse(content); err != nil {
				err = &damagedError{err}
			}
		}
		var damaged *damagedError
		switch {
		case errors.As(err, &damaged):
			c.v.find(c.g, AlteredDigest, p, "%v", err)
		case err != nil:
			c.v.find(c.g, Unreadable, p, "%v", err)
		case d == nil:
			d, path = &one, p
		case one.sum != d.sum:
			if hex.EncodeToString(one.sum[:]) == wanted {
				path, p = p, path
				d = &one
			}
			c.v.find(c.g, AlteredDigest, p, "its content differs from that of %s", path)
		}
	}
	return d, path, nil
}

// prove checks the signature of a digest, from its metadata or the next digest.
func (c *chain) prove(ctx context.Context, f *file, path string, d, next *Digest) (bool, error) {
	if d.AccountID != c.g.account || !d.End.Equal(f.name.Time) {
		c.v.find(c.g, AlteredDigest, path, "it is of account %s until %s, which its name contradicts", d.AccountID, d.endText)
		return false, nil
	}
	var signatures []string
	fail := failure{path: path, fingerprint: d.Fingerprint}
	if next != nil && next.Previous != nil && stem(next.Previous.Key) == f.stem {
		signatures = append(signatures, next.Previous.Signature)
		fail.linked, fail.unchanged = true, next.Previous.Hash == hex.EncodeToString(d.sum[:])
	} else {
		own, err := c.v.t.Signature(ctx, path)
		if cause := context.Cause(ctx); cause != nil {
			return false, cause
		}
		if err != nil {
			c.v.find(c.g, Unreadable, path, "its signature: %v", err)
			return false, nil
		}
		if own == "" {
			c.v.find(c.g, Unsigned, path, "the next digest, which would hold its signature, isn't here, and neither is %s: its log files aren't proven", stem(path)+".gz"+SignatureSuffix)
			return false, nil
		}
		signatures = append(signatures, own)
	}
	key, err := c.key(ctx, d)
	if cause := context.Cause(ctx); cause != nil {
		return false, cause
	}
	if err != nil && fail.linked && !fail.unchanged {
		// It was altered whatever key there is, and may name one that never was, so
		// that nothing else is verified where keys can't be fetched.
		*c.broken = append(*c.broken, fail)
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	if key == nil {
		*c.broken = append(*c.broken, failure{path: path, fingerprint: d.Fingerprint, unknown: true})
		return false, nil
	}
	for _, s := range signatures {
		if proves(key, d, s) {
			c.v.good[d.Fingerprint] = true
			c.v.mu.Lock()
			c.v.r.Proven++
			c.v.mu.Unlock()
			return true, nil
		}
	}
	*c.broken = append(*c.broken, fail)
	return false, nil
}

func (c *chain) key(ctx context.Context, d *Digest) (*rsa.PublicKey, error) {
	key, err := c.v.o.Key(ctx, c.g.region, d.Fingerprint, d.End)
	if err != nil {
		return nil, fmt.Errorf("find the public key of digests in %s: %w", c.g.region, err)
	}
	return key, nil
}

// link checks what a digest says of the one before. The oldest one that is here
// points to what isn't: the copy, or the time asked for, starts there.
func (c *chain) link(d *Digest, path string, i int, present map[string]bool) {
	if i == 0 {
		return
	}
	before := c.files[i-1]
	switch {
	case before.name.Backfill && (d.Previous == nil || stem(d.Previous.Key) == before.stem):
		// Only hours with late log files have one.
	case d.Previous == nil:
		c.v.find(c.g, Gap, path, "a chain starts with it: no digest tells of %s to %s: logging or validation was off",
			before.name.Time.Format(time.RFC3339), d.Start.Format(time.RFC3339))
	case stem(d.Previous.Key) == before.stem:
		if d.Start.After(before.name.Time) {
			c.v.find(c.g, Gap, path, "no digest tells of %s to %s", before.name.Time.Format(time.RFC3339), d.Start.Format(time.RFC3339))
		}
	case present[stem(d.Previous.Key)]:
		c.v.find(c.g, ReorderedDigest, path, "the one before it is %s by the chain, %s by their times", stem(d.Previous.Key), before.stem)
	default:
		c.v.find(c.g, RemovedDigest, d.Previous.Key, "%s tells of it", path)
	}
}

// contents has the log files of a proven digest checked.
func (c *chain) contents(ctx context.Context, d *Digest, backfill bool) error {
	h := &hour{start: d.Start, end: d.End, backfill: backfill}
	*c.hours = append(*c.hours, h)
	for _, l := range d.Logs {
		f := c.g.logs[stem(l.Key)]
		if f == nil {
			c.v.mu.Lock()
			h.faults++
			if n, ok := ParseName(l.Key); ok && n.Time.Before(c.v.o.Since.Add(-early)) {
				c.v.r.Uncovered++ // delivered that late, it was not even looked for
			} else {
				*c.missing = append(*c.missing, absent{l, h})
			}
			c.v.mu.Unlock()
			continue
		}
		f.listed = true
		c.logs.Go(func() error { return c.v.check(ctx, c.g, h, l, f) })
		if err := context.Cause(ctx); err != nil {
			return err
		}
	}
	return nil
}

// check hashes a log file and its copies.
func (v *verifier) check(ctx context.Context, g *group, h *hour, l Log, f *logFile) error {
	good := true
	for _, p := range f.paths {
		sum, err := v.hash(ctx, p)
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		var damaged *damagedError
		switch {
		case errors.Is(err, fs.ErrNotExist):
			v.find(g, MissingLog, p, "it was there a moment ago")
		case errors.As(err, &damaged):
			v.find(g, ChangedLog, p, "%v", err)
		case err != nil:
			v.find(g, Unreadable, p, "%v", err)
		case sum != l.Hash:
			v.find(g, ChangedLog, p, "its SHA-256 is %s, the digest says %s", sum, l.Hash)
		default:
			continue
		}
		good = false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if good {
		v.r.Logs++
	} else {
		h.faults++
	}
	return nil
}

// hash is the hex SHA-256 of a file's uncompressed content.
func (v *verifier) hash(ctx context.Context, path string) (string, error) {
	sum := sha256.New()
	err := unpacked(ctx, v.t, path, maxLog, func(r io.Reader) error {
		_, err := io.Copy(sum, r)
		return err
	})
	v.read()
	return hex.EncodeToString(sum.Sum(nil)), err
}

// judge tells altered digests from a key that isn't the right one: then all that
// name it fail, though the chain says that they are unchanged. What a key has to
// answer for is one finding, however many digests name it.
func (v *verifier) judge(g *group, broken []failure) {
	wrong := map[string]bool{}
	for _, f := range broken {
		if f.unchanged && !v.good[f.fingerprint] {
			wrong[f.fingerprint] = true
		}
	}
	unknown, useless := map[string][]string{}, map[string][]string{} // paths by fingerprint
	for _, f := range broken {
		switch {
		case f.unknown:
			unknown[f.fingerprint] = append(unknown[f.fingerprint], f.path)
		case wrong[f.fingerprint] && (f.unchanged || !f.linked):
			useless[f.fingerprint] = append(useless[f.fingerprint], f.path)
		case f.linked && !f.unchanged:
			v.find(g, AlteredDigest, f.path, "neither its signature nor the hash in the next digest fits")
		case f.linked:
			v.find(g, AlteredDigest, f.path, "the signature in the next digest isn't its own")
		default:
			v.find(g, AlteredDigest, f.path, "its signature doesn't fit: it was altered, or the public key isn't the right one")
		}
	}
	for _, name := range sortedKeys(unknown) {
		paths := unknown[name]
		v.find(g, UnknownKey, slices.Min(paths), "no public key of %s has the fingerprint %.64q, which this and %d more digests name", g.region, name, len(paths)-1)
	}
	for _, name := range sortedKeys(useless) {
		paths := useless[name]
		v.find(g, WrongKey, slices.Min(paths), "the public key given for the fingerprint %.64q isn't the one that signed this and %d more digests", name, len(paths)-1)
	}
}

// unlisted looks at log files that no proven digest lists: one with the content
// of a missing one was renamed; one that was delivered when a digest was written
// was added.
func (v *verifier) unlisted(ctx context.Context, g *group, hours []*hour, missing []absent) error {
	lost := map[string][]absent{}
	for _, m := range missing {
		lost[m.log.Hash] = append(lost[m.log.Hash], m)
	}
	claim := func(path string) (bool, error) {
		if len(lost) == 0 {
			return false, nil
		}
		sum, err := v.hash(ctx, path)
		if cause := context.Cause(ctx); cause != nil {
			return false, cause
		}
		if err != nil || len(lost[sum]) == 0 {
			return false, nil //nolint:nilerr // what can't be read can't be the one that is missing
		}
		v.find(g, RenamedLog, path, "CloudTrail named it %s", lost[sum][0].log.Key)
		if lost[sum] = lost[sum][1:]; len(lost[sum]) == 0 {
			delete(lost, sum)
		}
		return true, nil
	}
	for _, s := range sortedKeys(g.logs) {
		f := g.logs[s]
		if f.listed {
			continue
		}
		for _, p := range f.paths {
			renamed, err := claim(p)
			if err != nil {
				return err
			}
			if renamed {
				continue
			}
			if h := within(hours, f.at); h != nil {
				h.faults++
				v.find(g, AddedLog, p, "it lies in %s to %s, and no digest lists it (another trail without validation may write to the same place)",
					h.start.Format(time.RFC3339), h.end.Format(time.RFC3339))
			} else {
				v.r.Uncovered++
			}
		}
	}
	for _, p := range v.strangers {
		if _, err := claim(p); err != nil {
			return err
		}
	}
	for _, hash := range sortedKeys(lost) {
		for _, m := range lost[hash] {
			v.find(g, MissingLog, m.log.Key, "the digest of %s to %s lists it", m.hour.start.Format(time.RFC3339), m.hour.end.Format(time.RFC3339))
		}
	}
	return nil
}

// within finds the proven hour of a log file that no digest lists, if it can be
// told that one should: CloudTrail may deliver it later than its name says, so
// the digests must go on for a while.
func within(hours []*hour, at time.Time) *hour {
	var found *hour
	var last time.Time
	for _, h := range hours {
		if h.backfill {
			continue
		}
		if !at.Before(h.start) && at.Before(h.end) {
			found = h
		}
		if h.end.After(last) {
			last = h.end
		}
	}
	if found == nil || at.After(last.Add(-DeliveryDelay)) {
		return nil
	}
	return found
}
