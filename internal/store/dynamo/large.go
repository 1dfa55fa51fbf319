package dynamo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"
)

// largest is how many bytes of an item one value may take: items have 400 KB
// (DynamoDB Developer Guide, "Quotas").
const largest = 350_000

// largeFolder is where Blobs keeps values: large/KIND/SHA-256, such as large/ledger/…, or,
// of an item that expires, large/16d/2026-12-01/SHA-256: the day on which the item
// expires, in a folder whose objects may be deleted that many days after they were made.
const largeFolder = "large/"

// lifetimes are the folders of what expires, in days. Whatever a stack's retention is
// when a value is written, later, or was before, the folder says how long this value is
// needed. The longest holds what HotDays of a stack may be.
var lifetimes = [...]int64{16, 32, 64, 128, 256, 512, 1024, 2048, 4096}

// late is for how many days an item may still be there after it has expired (DynamoDB
// Developer Guide, "Using time to live": a few).
const late = 7

const daySeconds = 24 * 60 * 60

// Lifetime is after how many days what has a prefix of keys may be deleted.
type Lifetime struct {
	Prefix string
	Days   int64
}

// Lifetimes lists what Blobs may delete, and nothing else of it may be. A value's key has
// the day of its item's expiry, so what is written again for an item that expires later
// gets an object of its own.
func Lifetimes() (list []Lifetime) {
	for _, d := range lifetimes {
		list = append(list, Lifetime{fmt.Sprintf("%s%dd/", largeFolder, d), d})
	}
	return list
}

// largeKey is where Blobs keeps a value of an item that expires at a time, in seconds
// since 1970; 0: never.
func largeKey(kind, sum string, expires, now int64) string {
	if expires != 0 {
		last := expires/daySeconds + 1 + late // the day that begins when it's surely gone
		for _, l := range Lifetimes() {
			if last*daySeconds <= now+l.Days*daySeconds {
				return l.Prefix + time.Unix(expires, 0).UTC().Format(time.DateOnly) + "/" + sum
			}
		}
	}
	return largeFolder + kind + "/" + sum
}

// store puts a packed value into an item that has its expiry: as attribute b, or aside
// when it's too large, with its place in attribute l. What is aside is written first; its
// name is that of its content. The kind names the folder of what doesn't expire.
func (s *Store) store(ctx context.Context, kind string, it item, packed []byte) error {
	if len(packed) <= largest {
		it["b"] = bin(packed)
		return nil
	}
	sum := sha256.Sum256(packed)
	name := hex.EncodeToString(sum[:])
	if s.o.Blobs != nil {
		name = largeKey(kind, name, getNumber(it, "x"), s.now()/1000)
		it["l"] = str(name)
		if err := s.o.Blobs.Put(ctx, name, packed); err != nil {
			return fmt.Errorf("keep a value that is too large for table %s: %w", s.table, err)
		}
		return nil
	}
	it["l"] = str(name)
	it["ln"] = num(int64((len(packed) + largest - 1) / largest))
	for i := 0; i*largest < len(packed); i++ {
		part := partKey(name, i).item()
		part["b"] = bin(packed[i*largest : min(len(packed), (i+1)*largest)])
		if x, ok := it["x"]; ok {
			part["x"] = x
		}
		if _, _, err := s.put(ctx, part, condition{}); err != nil {
			return err
		}
	}
	return nil
}

func partKey(name string, i int) key { return key{join("part", name), fmt.Sprintf("%04d", i)} }

// load returns the packed value that store put into an item.
func (s *Store) load(ctx context.Context, it item) ([]byte, error) {
	name := getString(it, "l")
	if name == "" {
		return getBytes(it, "b"), nil
	}
	var packed []byte
	if !has(it, "ln") {
		if s.o.Blobs == nil {
			return nil, s.damaged(keyOf(it), "its value is in a bucket that isn't configured")
		}
		place := name
		if !strings.Contains(name, "/") { // of iamtrack before it had folders
			sum := sha256.Sum256([]byte(name))
			place = largeFolder + hex.EncodeToString(sum[:])
		}
		var err error
		if packed, err = s.o.Blobs.Get(ctx, place); err != nil {
			return nil, fmt.Errorf("read a value that is too large for table %s: %w", s.table, err)
		}
	} else {
		for i := range int(getNumber(it, "ln")) {
			k := partKey(name, i)
			found, err := s.get(ctx, []key{k})
			if err != nil {
				return nil, err
			}
			packed = append(packed, getBytes(found[k], "b")...)
		}
	}
	if sum := sha256.Sum256(packed); hex.EncodeToString(sum[:]) != path.Base(name) {
		return nil, s.damaged(keyOf(it), "what is kept aside of it has changed or expired")
	}
	return packed, nil
}

// unpacked is load and decompress.
func (s *Store) unpacked(ctx context.Context, it item) ([]byte, error) {
	packed, err := s.load(ctx, it)
	if err != nil {
		return nil, err
	}
	plain, err := decompress(packed)
	if err != nil {
		return nil, errors.Join(s.damaged(keyOf(it), "its value can't be read"), err)
	}
	return plain, nil
}
