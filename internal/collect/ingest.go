package collect

import (
	"context"

	"github.com/iamtrack/iamtrack/internal/event"
)

// Live is a raw record of a source that is read as events happen.
type Live struct {
	Data []byte // a CloudTrail record, or a form that event.Parser takes
	From string // where it came from, for what is rejected
}

// Outcome is what a live record turned out to be.
type Outcome uint8

// Outcomes. A record that others of the batch, or what was stored before, have
// with the same content is a duplicate; filtered records are told by the filter,
// also when they come again.
const (
	Duplicate Outcome = iota
	Stored
	Conflicting
	FilteredOut
	NotSelected
	RejectedRecord
)

func (o Outcome) String() string {
	switch o {
	case Stored:
		return "stored"
	case Conflicting:
		return "conflict"
	case FilteredOut:
		return "filtered"
	case NotSelected:
		return "not selected"
	case RejectedRecord:
		return "rejected"
	default:
		return "duplicate"
	}
}

// Ingested counts the outcome of Ingest: each event once, as what it is, and as a
// duplicate when it came again.
type Ingested struct {
	Records, Stored, Duplicates, Conflicts, Filtered, Rejected, NotSelected int64
	Alerts                                                                  int // new ones
	// Outcomes has one for each record, in order. Two contents of one key in a
	// batch are told apart in the counts only.
	Outcomes []Outcome
	// Times are the records' event times, in seconds since 1970; 0 for rejected
	// ones.
	Times []int64
}

// Ingest takes raw records through the same steps as Import: parse, redact,
// filter, rules, classify, store. When it returns nil, all of them are durable;
// after an error any of them may be, and the batch can be given again. The
// records must fit in memory, some thousand at a time.
func (p *Pipeline) Ingest(ctx context.Context, records []Live) (Ingested, error) {
	im := &importer{p: p, staged: map[event.Date]bool{}}
	im.total.categories = map[string]int64{}
	res := Ingested{Records: int64(len(records)), Outcomes: make([]Outcome, len(records)), Times: make([]int64, len(records))}
	parser, now := event.NewParser(), p.Now()
	first := make(map[event.Key]int, len(records)) // the record that brought a key
	var out parsed
	for i, r := range records {
		e, err := parser.Parse(r.Data)
		if err != nil {
			raw := event.Raw{Data: r.Data, Length: int64(len(r.Data))}
			out.rejected = append(out.rejected, rejected(r.From, raw, err, now))
			res.Outcomes[i] = RejectedRecord
			continue
		}
		res.Times[i] = e.EventTime / 1000
		events, dropped := len(out.events), len(out.filtered)
		im.take(&e, &out)
		switch {
		case len(out.events) > events:
			if _, ok := first[e.Key()]; !ok {
				first[e.Key()] = i
			}
		case len(out.filtered) > dropped:
			res.Outcomes[i] = FilteredOut
		default:
			res.Outcomes[i] = NotSelected
		}
	}
	again, err := p.filteredAgain(ctx, out.filtered)
	if err != nil {
		return Ingested{}, err
	}
	res.Rejected, res.NotSelected, res.Filtered = int64(len(out.rejected)), out.notSelected, out.service+out.role-again
	im.held.add(&out)
	all := im.takeAll()
	for _, d := range all.days {
		d.complete = false // more of the day comes
		d.outcome = func(k event.Key, o Outcome) { res.Outcomes[first[k]] = o }
	}
	if err := im.flush(ctx, all); err != nil {
		return Ingested{}, err
	}
	t := &all.tally
	res.Stored, res.Duplicates, res.Conflicts, res.Alerts = t.stored, t.duplicates+again, t.conflicts, t.alerts
	return res, nil
}

// filteredAgain counts the filtered rows that came before, in this batch or an
// earlier one: whoever reads each stretch several times isn't told of the same
// noise several times. Rows that have left the hot store count as new.
func (p *Pipeline) filteredAgain(ctx context.Context, rows []event.Filtered) (again int64, err error) {
	if len(rows) == 0 {
		return 0, nil
	}
	known, err := p.Store.FindFiltered(ctx, rows)
	if err != nil {
		return 0, err
	}
	for _, row := range rows {
		if known[row] {
			again++
		}
		known[row] = true
	}
	return again, nil
}
