package simulate

import (
	"iter"
	"time"
)

// Record is one event as CloudTrail records it.
type Record struct {
	Time    time.Time // UTC, whole seconds
	Account string    // recipientAccountId
	Region  string    // awsRegion
	ID      string    // eventID
	// JSON is the record as a trail file holds it, with the fake session tokens
	// of responses still in it. It is the caller's.
	JSON []byte
}

// Events yields all records in time order, those of one second by id. It streams:
// memory does not grow with the world. Sequences may be run at the same time.
func (w *World) Events() iter.Seq[Record] { return w.Between(w.cfg.Start, w.cfg.End) }

// Between yields the records of [from, to) as Events does, without planning what
// is not needed for it.
func (w *World) Between(from, to time.Time) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		c := &renderer{w: w}
		w.walk(ceilSecond(from), ceilSecond(to), func(plans []*plan) bool {
			for _, p := range plans {
				if !yield(c.record(p)) {
					return false
				}
			}
			return true
		})
	}
}

// ceilSecond is the first whole second not before t.
func ceilSecond(t time.Time) int64 {
	if t.Nanosecond() > 0 {
		return t.Unix() + 1
	}
	return t.Unix()
}

func (c *renderer) record(p *plan) Record {
	return Record{
		Time: time.Unix(p.at, 0).UTC(), Account: c.w.accounts[p.acct].id, Region: c.w.regions[p.region], ID: p.id.String(),
		JSON: c.append(make([]byte, 0, 2048), p),
	}
}
