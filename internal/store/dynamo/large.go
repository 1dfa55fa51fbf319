package dynamo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// largest is how many bytes of an item one value may take: items have 400 KB
// (DynamoDB Developer Guide, "Quotas").
const largest = 350_000

// store puts a packed value into an item: as attribute b, or aside when it's too
// large, with its name in attribute l. What is aside is written first; its name is
// that of its content.
func (s *Store) store(ctx context.Context, it item, packed []byte, expires int64) error {
	if len(packed) <= largest {
		it["b"] = bin(packed)
		return nil
	}
	sum := sha256.Sum256(packed)
	name := hex.EncodeToString(sum[:])
	it["l"] = str(name)
	if s.o.Blobs != nil {
		if err := s.o.Blobs.Put(ctx, name, packed); err != nil {
			return fmt.Errorf("keep a value that is too large for table %s: %w", s.table, err)
		}
		return nil
	}
	it["ln"] = num(int64((len(packed) + largest - 1) / largest))
	for i := 0; i*largest < len(packed); i++ {
		part := partKey(name, i).item()
		part["b"] = bin(packed[i*largest : min(len(packed), (i+1)*largest)])
		if expires != 0 {
			part["x"] = num(expires)
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
		var err error
		if packed, err = s.o.Blobs.Get(ctx, name); err != nil {
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
	if sum := sha256.Sum256(packed); hex.EncodeToString(sum[:]) != name {
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
