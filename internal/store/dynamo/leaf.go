package dynamo

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lineage"
)

// Links that say that a service took a role for its work come with every third
// record, and hardly any of them is asked for. They are packed by day: pk "leaf" and
// the month, sk the date and a digest; b the links. The months that there are: pk
// "leaf", sk the month. A link may be in several items; it counts once.
//
// AWS gives services credentials for twelve hours at most, so that the link of a node
// is looked for on the days on which it is used, and leafDays before; of a node that
// isn't used, everywhere.
const leafDays = 2

func monthOf(d event.Date) string { return d.Time().UTC().Format("2006-01") }

func leafPK(month string) string { return join("leaf", month) }

// leavesOf calls take with the links of days, which are ascending.
func (s *Store) leavesOf(ctx context.Context, dates []event.Date, take func(*lineage.Link)) error {
	for from := 0; from < len(dates); {
		to := from + 1 // of one month, and of one stretch
		for to < len(dates) && dates[to] == dates[to-1]+1 && monthOf(dates[to]) == monthOf(dates[from]) {
			to++
		}
		if err := s.someLeaves(ctx, monthOf(dates[from]), between{from: dateKey(dates[from]), to: dateKey(dates[to-1]) + "~"}, take); err != nil {
			return err
		}
		from = to
	}
	return nil
}

func (s *Store) allLeaves(ctx context.Context, take func(*lineage.Link)) error {
	months, err := all(s.query(ctx, "leaf", between{}))
	if err != nil {
		return err
	}
	for _, it := range months {
		if err := s.someLeaves(ctx, getString(it, "sk"), between{}, take); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) someLeaves(ctx context.Context, month string, b between, take func(*lineage.Link)) error {
	for it, err := range s.query(ctx, leafPK(month), b) {
		if err != nil {
			return err
		}
		packed, err := s.load(ctx, it)
		if err != nil {
			return err
		}
		if err := unpackLeaves(packed, take); err != nil {
			return s.damaged(keyOf(it), err.Error())
		}
	}
	return nil
}

// newLeaves returns those of the links that aren't there, each once. The caller holds
// the log's lock. Which links a day has is remembered; what others add since is taken
// for new, and written twice.
func (s *Store) newLeaves(ctx context.Context, links []lineage.Link) ([]lineage.Link, error) {
	var fresh []lineage.Link
	known := map[leafRef]bool{}
	for i := range links {
		l := &links[i]
		date := event.DateOf(l.EventTime)
		day := "leaf " + dateKey(date)
		if !s.seen.has(day) {
			var refs []string
			if err := s.leavesOf(ctx, []event.Date{date}, func(l *lineage.Link) { refs = append(refs, leafName(l)) }); err != nil {
				return nil, err
			}
			s.seen.fill(day, refs)
		}
		if ref := refOfLeaf(l); !known[ref] && !s.seen.knows(day, leafName(l)) {
			known[ref] = true
			fresh = append(fresh, *l)
		}
	}
	return fresh, nil
}

func leafName(l *lineage.Link) string {
	return l.Node + "\x00" + l.AccountID + "\x00" + l.EventID + "\x00" + string(rank(l.Version))
}

func (s *Store) putLeaves(ctx context.Context, links []lineage.Link) error {
	if len(links) == 0 {
		return nil
	}
	slices.SortFunc(links, func(a, b lineage.Link) int {
		return cmp.Or(cmp.Compare(event.DateOf(a.EventTime), event.DateOf(b.EventTime)), strings.Compare(a.AccountID, b.AccountID),
			strings.Compare(a.Chain[0].Name, b.Chain[0].Name), cmp.Compare(a.EventTime, b.EventTime), strings.Compare(a.EventID, b.EventID))
	})
	var items []item
	months := map[string]bool{}
	const enough = 3000 // links in an item: 150 KB
	for from := 0; from < len(links); {
		date, to := event.DateOf(links[from].EventTime), from
		for to < len(links) && to-from < enough && event.DateOf(links[to].EventTime) == date {
			to++
		}
		packed := packLeaves(links[from:to])
		it := key{leafPK(monthOf(date)), join(dateKey(date), digest(string(packed)))}.item()
		if err := s.store(ctx, "link", it, packed); err != nil {
			return err
		}
		items = append(items, it)
		months[monthOf(date)] = true
		from = to
	}
	for m := range months {
		if !s.seen.knows("months", m) {
			if _, _, err := s.put(ctx, key{"leaf", m}.item(), condition{}); err != nil {
				return err
			}
			s.seen.add("months", m)
		}
	}
	if err := s.writeAll(ctx, items, nil); err != nil {
		return err
	}
	for i := range links {
		s.seen.add("leaf "+dateKey(event.DateOf(links[i].EventTime)), leafName(&links[i]))
	}
	return nil
}

// What leaves share.
type leafKind struct {
	account, name, rooted, how, session string // session: up to its name
	hop                                 lineage.Hop
	major, minor                        int
}

func packLeaves(links []lineage.Link) []byte { return leafColumns(links).bytes() }

func leafColumns(links []lineage.Link) *packer {
	var p packer
	p.columns = make([][]byte, 6)
	kinds := map[leafKind]int64{}
	last := int64(0)
	for i := range links {
		l := &links[i]
		prefix := l.Session[:strings.LastIndexByte(l.Session, '/')+1]
		k := leafKind{l.AccountID, l.EventName, l.Rooted, l.How, prefix, l.Chain[0], l.Version.Major, l.Version.Minor}
		n, ok := kinds[k]
		if !ok {
			n = int64(len(kinds))
			kinds[k] = n
			for _, t := range [...]string{k.account, k.name, k.rooted, k.how, k.session} {
				p.text(0, t)
			}
			packHop(&p, 0, &k.hop)
			p.number(0, int64(k.major))
			p.number(0, int64(k.minor))
		}
		p.number(1, n)
		p.ms(2, l.EventTime-last)
		last = l.EventTime
		p.id(3, l.EventID)
		p.hash(l.Version.Hash)
		p.keyID(4, l.Node)
		p.text(5, l.Session[len(prefix):])
	}
	return &p
}

func unpackLeaves(packed []byte, take func(*lineage.Link)) error {
	u, err := unpack(packed, 6)
	if err != nil {
		return err
	}
	var kinds []lineage.Link
	last := int64(0)
	for u.more(1) {
		n := u.number(1)
		if n == int64(len(kinds)) {
			k := lineage.Link{AccountID: u.text(0), EventName: u.text(0), Rooted: u.text(0), How: u.text(0), Session: u.text(0), Chain: make([]lineage.Hop, 1)}
			for _, t := range hopTexts(&k.Chain[0]) {
				*t = u.text(0)
			}
			k.Version.Major, k.Version.Minor = int(u.number(0)), int(u.number(0))
			kinds = append(kinds, k)
		}
		if n < 0 || n >= int64(len(kinds)) {
			return errDamaged
		}
		l := kinds[n]
		l.Chain = slices.Clone(l.Chain)
		last += u.ms(2)
		l.EventTime, l.EventID, l.Version.Hash, l.Node, l.Session = last, u.id(3), u.hash(), u.keyID(4), l.Session+u.text(5)
		if u.bad {
			break
		}
		take(&l)
	}
	return u.err()
}
