package dynamo

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"strconv"
	"unicode/utf8"

	"github.com/iamtrack/iamtrack/internal/event"
)

// The item of an event. Its key is the event's; sk is "e".
//
//	t    event time, ms since 1970
//	h    rank of the content: major, minor (varints), record hash (8 bytes)
//	g    epoch of its day: without that the row is no more
//	gp   shard and principal, the key of index principal
//	gn   shard and event name, the key of index name
//	s r i o k n a   source, region, address, outcome, access key, target's name, target's ARN
//	b l ln          the rest, see Store.store
//	x    when it expires, seconds since 1970
//
// A text that isn't UTF-8, or is long, stands in the rest.

// shards is over how many keys of an index the events of a principal, or of a name,
// are spread: one key takes a thousand writes a second.
const shards = 4

// longestPlain bounds an attribute's text, in bytes.
const longestPlain = 256

// eventFields are the texts of an event in the order of packFormat 1; a field that
// is added to event.Event gets its place after the others.
func eventFields(e *event.Event) [35]*string {
	return [35]*string{
		&e.EventID, &e.AccountID, &e.AWSRegion, &e.EventSource, &e.EventName, &e.EventType,
		&e.Category, &e.Outcome, &e.ErrorCode, &e.ErrorMessage, &e.SourceIP, &e.UserAgent,
		&e.IdentityType, &e.IdentityARN, &e.PrincipalID, &e.IdentityAccountID, &e.UserName,
		&e.RoleName, &e.SessionName, &e.AccessKeyID, &e.InvokedBy, &e.TargetKind, &e.TargetName,
		&e.TargetARN, &e.IssuedAccessKeyID, &e.Actor, &e.ActorKind, &e.ActorChain,
		&e.RequestParameters, &e.ResponseElements, &e.AdditionalEventData, &e.Resources,
		&e.Rest, &e.EventVersion, &e.FilteredBy,
	}
}

// plainFields are those that stand in attributes: index in eventFields, attribute.
// The name and, of these, who it is for the index carry a shard before them.
var plainFields = [...]struct {
	field     int
	attribute string
}{{3, "s"}, {2, "r"}, {10, "i"}, {7, "o"}, {19, "k"}, {22, "n"}, {23, "a"}, {4, "gn"}}

// Principal is by what the events of whoever acts are found: the name of the user or
// role; else the ARN, the service, the id, or the kind of identity.
func Principal(e *event.Event) string {
	return cmp.Or(e.UserName, e.RoleName, e.IdentityARN, e.InvokedBy, e.PrincipalID, e.IdentityType)
}

func eventKey(k event.Key) key { return key{join("e", safe(k.AccountID), safe(k.EventID)), "e"} }

func shardOf(k event.Key) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(k.AccountID + "\x00" + k.EventID)) // it never fails
	return strconv.Itoa(int(h.Sum32() % shards))
}

func rank(v event.Version) []byte {
	b := binary.AppendVarint(nil, int64(v.Major))
	b = binary.AppendVarint(b, int64(v.Minor))
	return binary.BigEndian.AppendUint64(b, v.Hash)
}

func parseRank(b []byte) (v event.Version, ok bool) {
	major, n := binary.Varint(b)
	if n <= 0 {
		return v, false
	}
	minor, m := binary.Varint(b[n:])
	if m <= 0 || len(b) != n+m+8 {
		return v, false
	}
	return event.Version{Major: int(major), Minor: int(minor), Hash: binary.BigEndian.Uint64(b[n+m:])}, true
}

// isPlain reports whether a text may stand in an attribute.
func isPlain(text string) bool {
	return text != "" && len(text) <= longestPlain && utf8.ValidString(text)
}

// flags of an event's rest.
const (
	keyApart = 1 << 60 // account and event id are in the key only
)

// packEvent packs an event, but for the fields whose bit is set in apart.
func packEvent(e *event.Event, apart uint64) []byte { return compress(plainEvent(e, apart)) }

func plainEvent(e *event.Event, apart uint64) []byte {
	p := binary.AppendUvarint(nil, apart)
	p = binary.AppendVarint(p, e.EventTime)
	p = binary.LittleEndian.AppendUint64(p, uint64(e.RecordHash))
	p = append(p, boolByte(e.ReadOnly)<<2|boolByte(e.MFA))
	for i, f := range eventFields(e) {
		if apart&(1<<i) != 0 {
			continue
		}
		p = append(binary.AppendUvarint(p, uint64(len(*f))), *f...)
	}
	return p
}

// unpackEvent reads what packEvent wrote.
func unpackEvent(packed []byte) (e event.Event, apart uint64, err error) {
	plain, err := decompress(packed)
	if err != nil {
		return e, 0, err
	}
	u := unpacker{columns: []string{string(plain)}}
	apart = u.uvarint(0)
	e.EventTime = u.number(0)
	hash := u.take(0, 8)
	flags := u.take(0, 1)
	if u.bad {
		return e, 0, errDamaged
	}
	e.RecordHash = int64(binary.LittleEndian.Uint64([]byte(hash)))
	e.ReadOnly, e.MFA = byteBool(flags[0]>>2), byteBool(flags[0]&3)
	for i, f := range eventFields(&e) {
		if apart&(1<<i) == 0 {
			*f = u.text(0)
		}
	}
	return e, apart, u.err()
}

func boolByte(b *bool) byte {
	switch {
	case b == nil:
		return 0
	case *b:
		return 2
	}
	return 1
}

func byteBool(b byte) *bool {
	if b == 0 {
		return nil
	}
	v := b == 2
	return &v
}

// eventItem makes the item of an event.
func (s *Store) eventItem(ctx context.Context, e *event.Event, epoch string) (item, error) {
	k := e.Key()
	it := eventKey(k).item()
	it["t"], it["h"], it["g"] = num(e.EventTime), bin(rank(e.Version())), bin(epoch)
	s.expires(it, e.EventTime)
	var apart uint64
	if safe(k.AccountID) == k.AccountID && safe(k.EventID) == k.EventID {
		apart = keyApart | 0b11
	}
	shard := shardOf(k)
	fields := eventFields(e)
	for _, p := range plainFields {
		text := *fields[p.field]
		if !isPlain(text) {
			continue
		}
		apart |= 1 << p.field
		if p.attribute == "gn" {
			text = join(shard, text)
		}
		it[p.attribute] = str(text)
	}
	if who := Principal(e); isPlain(who) {
		it["gp"] = str(join(shard, who))
		for _, field := range [...]int{16, 17} { // user, role
			if *fields[field] == who {
				apart |= 1 << field
				break
			}
		}
	}
	return it, s.store(ctx, "event", it, packEvent(e, apart))
}

// eventOf reads the item of an event.
func (s *Store) eventOf(ctx context.Context, it item) (event.Event, error) {
	k := keyOf(it)
	packed, err := s.load(ctx, it)
	if err != nil {
		return event.Event{}, err
	}
	e, apart, err := unpackEvent(packed)
	if err != nil {
		return event.Event{}, errors.Join(s.damaged(k, "it can't be read"), err)
	}
	fields := eventFields(&e)
	if apart&keyApart != 0 {
		account, id := cutKey(k.pk)
		e.AccountID, e.EventID = account, id
	}
	for _, p := range plainFields {
		if apart&(1<<p.field) == 0 {
			continue
		}
		text := getString(it, p.attribute)
		if p.attribute == "gn" {
			text = text[min(2, len(text)):]
		}
		*fields[p.field] = text
	}
	for _, field := range [...]int{16, 17} {
		if apart&(1<<field) != 0 {
			text := getString(it, "gp")
			*fields[field] = text[min(2, len(text)):]
		}
	}
	return e, nil
}

// cutKey takes account and id out of the partition key of an event that has both as
// they are.
func cutKey(pk string) (account, id string) {
	rest := pk[min(2, len(pk)):]
	for i := range len(rest) {
		if rest[i] == '#' {
			return rest[:i], rest[i+1:]
		}
	}
	return "", rest
}

// foundEvent is what is known of an event without unpacking it.
type foundEvent struct {
	item    item
	version event.Version
	ms      int64
	epoch   string
}

func (f *foundEvent) date() event.Date { return event.DateOf(f.ms) }

// same is the condition that the item is still as it was found.
func (f *foundEvent) same() condition {
	return condition{"h = :h AND g = :was", item{":h": f.item["h"], ":was": f.item["g"]}}
}
