package simulate

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"
)

// The organization's trail. It has these names on the wire too.
const (
	TrailName   = "organization-trail"
	TrailBucket = "organization-trail-logs"
)

// Files that WriteTrail leaves beside the objects of a bucket when it is asked for
// digests, as folders have no object metadata: FILE.signature holds the signature of
// the digest FILE, and PublicKeysFile the public keys as `aws cloudtrail
// list-public-keys` prints them, all regions' in one list. It lies in a folder
// of that name so that nobody takes it for records.
const (
	SignatureSuffix = ".signature"
	PublicKeysFile  = "CloudTrail-Digest/public-keys.json"
)

// IsSidecar tells whether a file, by its name below the folder, is no object of
// the bucket.
func IsSidecar(name string) bool {
	return strings.HasSuffix(name, SignatureSuffix) || name == PublicKeysFile
}

// backfillDelay is how long after its hour a backfill digest is made.
const backfillDelay = 5 * time.Hour

// DigestMetadata returns the metadata that the object of a digest file has, by
// names without x-amz-meta- (AWS CloudTrail User Guide, "CloudTrail digest file
// structure").
func DigestMetadata(key, signature string) map[string]string {
	meta := map[string]string{"signature": signature, "signature-algorithm": signatureKind}
	if name, ok := strings.CutSuffix(key, "_backfill.json.gz"); ok {
		if end, err := time.Parse("20060102T150405Z", name[strings.LastIndexByte(name, '_')+1:]); err == nil {
			meta["backfill-generation-timestamp"] = formatTime(end.Add(backfillDelay).Unix())
		}
	}
	return meta
}

// TrailARN returns the ARN of the organization's trail.
func (w *World) TrailARN() string {
	return "arn:aws:cloudtrail:" + globalRegion + ":" + w.accounts[management].id + ":trail/" + TrailName
}

// DigestKey is the key pair that CloudTrail signs a region's digest files with.
type DigestKey struct {
	PublicDER             []byte // PKCS #1
	Fingerprint           string // 32 hexadecimal digits
	ValidFrom, ValidUntil time.Time

	private *rsa.PrivateKey
}

// DigestKey returns a region's key pair, which is a function of the seed; it takes
// a fraction of a second to make for the first time.
func (w *World) DigestKey(region string) (*DigestKey, error) {
	w.keysMu.Lock()
	defer w.keysMu.Unlock()
	if k := w.keys[region]; k != nil {
		return k, nil
	}
	private, err := newKey(w.entity("digest key", region))
	if err != nil {
		return nil, fmt.Errorf("make the digest key of %s: %w", region, err)
	}
	k := &DigestKey{PublicDER: x509.MarshalPKCS1PublicKey(&private.PublicKey), private: private,
		ValidFrom: w.cfg.Start.AddDate(0, -1, 0), ValidUntil: w.cfg.End.AddDate(0, 1, 0)}
	sum := sha256.Sum256(k.PublicDER)
	k.Fingerprint = hex.EncodeToString(sum[:16])
	if w.keys == nil {
		w.keys = map[string]*DigestKey{}
	}
	w.keys[region] = k
	return k, nil
}

// newKey makes an RSA key of 2,048 bits out of r. The standard library's generator
// takes no randomness but the system's. Nothing that such a key signs needs
// protection.
func newKey(r *rng) (*rsa.PrivateKey, error) {
	const exponent = 65537
	one, e := big.NewInt(1), big.NewInt(exponent)
	prime := func() *big.Int {
		for {
			b := make([]byte, 128)
			for i := range b {
				b[i] = byte(r.next())
			}
			b[0] |= 0xc0 // so that a product of two has all 2,048 bits
			b[len(b)-1] |= 1
			p := new(big.Int).SetBytes(b)
			if p.ProbablyPrime(20) && new(big.Int).GCD(nil, nil, new(big.Int).Sub(p, one), e).Cmp(one) == 0 {
				return p
			}
		}
	}
	p, q := prime(), prime()
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	k := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: exponent}, D: new(big.Int).ModInverse(e, phi), Primes: []*big.Int{p, q}}
	k.Precompute()
	return k, k.Validate()
}

// logFile is a delivered file as a digest lists it.
type logFile struct {
	acct, region   uint8
	key            string
	hash           string // of the uncompressed file
	delivered      int64  // Unix seconds
	oldest, newest int64  // event times
}

// digest is a digest file: AWS CloudTrail User Guide, "CloudTrail digest file
// structure". Fields that a first digest, or one of an hour without files, does not
// have are null.
type digest struct {
	Account        string       `json:"awsAccountId"`
	Start          string       `json:"digestStartTime"`
	End            string       `json:"digestEndTime"`
	Bucket         string       `json:"digestS3Bucket"`
	Object         string       `json:"digestS3Object"`
	Fingerprint    string       `json:"digestPublicKeyFingerprint"`
	Algorithm      string       `json:"digestSignatureAlgorithm"`
	Newest         *string      `json:"newestEventTime"`
	Oldest         *string      `json:"oldestEventTime"`
	PreviousBucket *string      `json:"previousDigestS3Bucket"`
	PreviousObject *string      `json:"previousDigestS3Object"`
	PreviousHash   *string      `json:"previousDigestHashValue"`
	PreviousKind   *string      `json:"previousDigestHashAlgorithm"`
	PreviousSigned *string      `json:"previousDigestSignature"`
	Files          []digestFile `json:"logFiles"`
}

type digestFile struct {
	Bucket string `json:"s3Bucket"`
	Object string `json:"s3Object"`
	Hash   string `json:"hashValue"`
	Kind   string `json:"hashAlgorithm"`
	Newest string `json:"newestEventTime"`
	Oldest string `json:"oldestEventTime"`
}

// Names of algorithms, as digest files write them.
const (
	hashKind      = "SHA-256"
	signatureKind = "SHA256withRSA"
)

// chain writes the digests of one account and region.
type chain struct {
	t            *trailWriter
	acct, region uint8
	key          *DigestKey
	zip          *gzip.Writer
	previous     *digest // nil at the beginning
	hash         string  // of the previous one, uncompressed
	signature    string  // of the previous one
}

// digests writes the chains of all accounts and regions: a digest an hour,
// however little happened, from the beginning of the window until the last file
// was delivered. One file in fifty is processed too late for its hour; a backfill
// digest lists it, five hours later, in a chain of its own.
func (t *trailWriter) digests() error {
	last := t.w.end
	byChain := map[[2]uint8][]logFile{}
	for _, f := range t.delivered {
		last = max(last, f.delivered)
		k := [2]uint8{f.acct, f.region}
		byChain[k] = append(byChain[k], f)
	}
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	keys := []*DigestKey{}
	for region := range t.w.regions {
		key, err := t.w.DigestKey(t.w.regions[region])
		if err != nil {
			return err
		}
		keys = append(keys, key)
		for acct := range t.w.accounts {
			files := byChain[[2]uint8{uint8(acct), uint8(region)}]
			slices.SortFunc(files, func(a, b logFile) int { return strings.Compare(a.key, b.key) })
			group.Go(func() error { return t.chains(uint8(acct), uint8(region), key, files, last) })
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return t.writeKeys(keys)
}

func (t *trailWriter) chains(acct, region uint8, key *DigestKey, files []logFile, last int64) error {
	r := newRNG(t.w.cfg.Seed, label("digest"), uint64(acct), uint64(region))
	offset := int64(r.intn(3600)) // digests end at the same minute and second of each hour
	zip := gzip.NewWriter(nil)
	standard := &chain{t: t, acct: acct, region: region, key: key, zip: zip}
	backfill := &chain{t: t, acct: acct, region: region, key: key, zip: zip}
	start := t.w.start/3600*3600 + offset - 3600
	for ; start <= last; start += 3600 {
		var now, later []logFile
		for _, f := range files {
			if f.delivered <= start || f.delivered > start+3600 {
				continue
			}
			if seeded(t.w.cfg.Seed, label("backfill"), label(f.key)).state%50 == 0 {
				later = append(later, f)
			} else {
				now = append(now, f)
			}
		}
		if err := standard.add(start, now, false); err != nil {
			return err
		}
		if len(later) > 0 {
			if err := backfill.add(start, later, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// add writes the digest, or backfill digest, of the hour from start.
func (c *chain) add(start int64, files []logFile, backfill bool) error {
	w, account, region := c.t.w, c.t.w.accounts[c.acct].id, c.t.w.regions[c.region]
	end := time.Unix(start+3600, 0).UTC()
	suffix := ""
	if backfill {
		suffix = "_backfill"
	}
	d := &digest{
		Account: account, Start: formatTime(start), End: formatTime(end.Unix()), Bucket: c.t.bucket(), Fingerprint: c.key.Fingerprint, Algorithm: signatureKind,
		Object: fmt.Sprintf("AWSLogs/%s/%s/CloudTrail-Digest/%s/%s/%s_CloudTrail-Digest_%s_%s_%s_%s%s.json.gz", w.orgID, account, region,
			end.Format("2006/01/02"), account, region, TrailName, globalRegion, end.Format("20060102T150405Z"), suffix),
		Files: []digestFile{},
	}
	var newest, oldest int64
	for i, f := range files {
		if i == 0 {
			newest, oldest = f.newest, f.oldest
		}
		newest, oldest = max(newest, f.newest), min(oldest, f.oldest)
		d.Files = append(d.Files, digestFile{c.t.bucket(), f.key, f.hash, hashKind, formatTime(f.newest), formatTime(f.oldest)})
	}
	if len(files) > 0 {
		d.Newest, d.Oldest = new(formatTime(newest)), new(formatTime(oldest))
	}
	signedBefore := "null"
	if p := c.previous; p != nil {
		d.PreviousBucket, d.PreviousObject = &p.Bucket, &p.Object
		d.PreviousHash, d.PreviousKind, d.PreviousSigned = new(c.hash), new(hashKind), new(c.signature)
		signedBefore = c.signature
	}
	body, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("write digest %s: %w", d.Object, err)
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	// AWS CloudTrail User Guide, "Custom implementations of CloudTrail log file
	// integrity validation": what is signed.
	text := d.End + "\n" + d.Bucket + "/" + d.Object + "\n" + hash + "\n" + signedBefore
	digested := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(nil, c.key.private, crypto.SHA256, digested[:])
	if err != nil {
		return fmt.Errorf("sign digest %s: %w", d.Object, err)
	}
	c.previous, c.hash, c.signature = d, hash, hex.EncodeToString(signature)
	return c.write(d.Object, body)
}

func (c *chain) write(name string, body []byte) error {
	t := c.t
	var packed bytes.Buffer
	c.zip.Reset(&packed)
	_, err := c.zip.Write(body)
	if err := errors.Join(err, c.zip.Close()); err != nil {
		return fmt.Errorf("write digest %s: %w", name, err)
	}
	path := filepath.Join(t.dir, filepath.FromSlash(name))
	err = os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = errors.Join(os.WriteFile(path, packed.Bytes(), 0o600), os.WriteFile(path+SignatureSuffix, []byte(c.signature+"\n"), 0o600))
	}
	if err != nil {
		return fmt.Errorf("write digest: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sum.Digests++
	return nil
}

// writeKeys leaves the public keys, as the AWS CLI prints them.
func (t *trailWriter) writeKeys(keys []*DigestKey) error {
	type key struct {
		Value                              []byte
		ValidityStartTime, ValidityEndTime time.Time
		Fingerprint                        string
	}
	var out struct{ PublicKeyList []key }
	for _, k := range keys {
		out.PublicKeyList = append(out.PublicKeyList, key{k.PublicDER, k.ValidFrom, k.ValidUntil, k.Fingerprint})
	}
	b, err := json.MarshalIndent(out, "", "  ")
	path := filepath.Join(t.dir, filepath.FromSlash(PublicKeysFile))
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = os.WriteFile(path, append(b, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("write public keys: %w", err)
	}
	return nil
}
