package digest

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Keys are public keys by fingerprint.
type Keys map[string]*rsa.PublicKey

// Add adds a key as CloudTrail publishes it: DER, PKCS #1, or, as in AWS's
// sample, with an algorithm identifier around it.
func (k Keys) Add(fingerprint string, der []byte) error {
	key, err := x509.ParsePKCS1PublicKey(der)
	if err != nil {
		parsed, err2 := x509.ParsePKIXPublicKey(der)
		rsaKey, ok := parsed.(*rsa.PublicKey)
		if err2 != nil || !ok {
			return fmt.Errorf("public key %.64q: %w", fingerprint, err)
		}
		key = rsaKey
	}
	k[fingerprint] = key
	return nil
}

// ReadKeys reads keys as `aws cloudtrail list-public-keys` prints them; the
// answers of several regions may follow one another.
func ReadKeys(r io.Reader) (Keys, error) {
	keys := Keys{}
	dec := json.NewDecoder(r)
	for {
		// encoding/json takes either case: AWS's pages show publicKeyList too.
		var doc struct {
			PublicKeyList []struct {
				Fingerprint string
				Value       []byte
			}
		}
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read public keys: %w: use the output of `aws cloudtrail list-public-keys`", err)
		}
		for _, p := range doc.PublicKeyList {
			if err := keys.Add(p.Fingerprint, p.Value); err != nil {
				return nil, fmt.Errorf("read public keys: %w", err)
			}
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("read public keys: none found: use the output of `aws cloudtrail list-public-keys`")
	}
	return keys, nil
}

// proves tells whether the signature (hex) is the digest's under the key.
func proves(key *rsa.PublicKey, d *Digest, signature string) bool {
	raw, err := hex.DecodeString(signature)
	if err != nil || len(raw) == 0 {
		return false
	}
	sum := sha256.Sum256(d.signed())
	return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], raw) == nil
}
