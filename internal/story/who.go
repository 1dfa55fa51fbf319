package story

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lineage"
	"github.com/iamtrack/iamtrack/internal/query"
)

// Question asks who did something, or had to do with it.
type Question struct {
	Subject Subject
	Range   Range
	// Narrow has accounts, regions and services that count; its other fields
	// narrow too, but for the time and the columns.
	Narrow query.EventFilter
	// Limit is the most answers; 0 means all.
	Limit int
}

// Answer is what one person had to do with a subject, in one way.
type Answer struct {
	Relation string `json:"relation"` // Did, Touched and so on
	Actor    string `json:"actor"`
	Kind     string `json:"actor_kind"`
	// Home is the account in which the name is unique; "" for names that hold
	// everywhere.
	Home       string   `json:"actor_account,omitempty"`
	AccountIDs []string `json:"account_ids"` // in which it was done
	// Certainty is that of the least certain of Chains; the next three are of
	// the same.
	Certainty string             `json:"certainty"`
	Reason    string             `json:"reason,omitempty"`
	Chain     []lineage.Hop      `json:"chain"`
	Evidence  []lineage.Evidence `json:"evidence"`
	// Chains are the ways that were taken, the most used first.
	Chains []Chain `json:"chains"`
	// Events are the ids of the first events, at most maxEvents.
	Events      []string         `json:"events"`
	Count       int64            `json:"count"`
	First       int64            `json:"-"` // ms since the epoch
	Last        int64            `json:"-"`
	SourceIPs   []string         `json:"source_ips"` // the most used first
	EventNames  map[string]int64 `json:"event_names"`
	Calls       []Call           `json:"-"` // EventNames apart by outcome
	Targets     []string         `json:"targets"`
	IssuedKeys  []string         `json:"issued_keys"`
	Outcomes    map[string]int64 `json:"outcomes"`
	NotListed   map[string]int64 `json:"not_listed,omitempty"` // by field, how many more there are
	chainPlaces [][]Place        // of each of Chains: events to look up
}

// Person is whom the answer is about.
func (a *Answer) Person() Person { return Person{a.Kind, a.Actor, a.Home} }

// Chain is a way from a root to its calls.
type Chain struct {
	Text      string `json:"chain"`
	Count     int64  `json:"count"`
	Certainty string `json:"certainty"`
	Reason    string `json:"reason,omitempty"`
	door      bool   // of sign-ins that failed
}

// Call is how often an event was made, with which outcome.
type Call struct {
	Name    string
	Outcome string
	Count   int64
}

const (
	maxEvents = 5  // ids of an answer
	maxListed = 20 // of addresses, targets and the like
	maxChains = 3  // that are looked up
	// maxAddresses bounds the addresses of a network that events may come from.
	maxAddresses = 20_000
)

// Answers is what is known.
type Answers struct {
	Answers []Answer
	More    bool // than Limit
}

// Who answers a question: by relation (who made it, who touched it, who used it),
// then the newest first.
func (t *Teller) Who(ctx context.Context, q Question) (Answers, error) {
	inner, err := t.whoSQL(ctx, &q)
	if err != nil {
		return Answers{}, err
	}
	out, err := t.count(ctx, &q, inner)
	if err != nil {
		return Answers{}, err
	}
	for i := range out.Answers {
		if err := t.certainty(ctx, &out.Answers[i]); err != nil {
			return Answers{}, err
		}
	}
	return out, nil
}

// whoSQL selects the events that concern the subject, with the way in which.
func (t *Teller) whoSQL(ctx context.Context, q *Question) (string, error) {
	narrow := q.Narrow
	narrow.Since, narrow.Until = q.Range.Since, q.Range.Until
	where, err := narrow.Conditions()
	if err != nil {
		return "", err
	}
	var addresses []string
	if q.Subject.network.IsValid() {
		if addresses, err = t.addresses(ctx, q, where); err != nil {
			return "", err
		}
	}
	relations, err := q.Subject.relations(addresses)
	if err != nil {
		return "", err
	}
	var kind strings.Builder
	var some []string
	for _, r := range relations {
		kind.WriteString(" WHEN " + r.condition + " THEN '" + r.name + "'")
		some = append(some, "("+r.condition+")")
	}
	text := "CASE" + kind.String() + " END"
	if len(relations) == 1 {
		text = "'" + relations[0].name + "'"
	}
	where = append(where, "("+strings.Join(some, " OR ")+")")
	return "SELECT " + text + " AS relation,\n  " + personColumns + `,
  event_time, coalesce(event_name, '') AS event_name, outcome, coalesce(source_ip, '') AS source_ip, coalesce(target_name, target_arn, '') AS target, account_id,
  coalesce(issued_access_key_id, '') AS issued, coalesce(actor_chain, '') AS chain, ` + doorSQL + ` AS door, ` + placeSQL + ` AS place
FROM events
WHERE ` + all(where), nil
}

// addresses are those of the question's network that any event comes from.
func (t *Teller) addresses(ctx context.Context, q *Question, where []string) ([]string, error) {
	var out []string
	sql := "SELECT DISTINCT source_ip FROM events WHERE " + all(append(slices.Clone(where), "source_ip IS NOT NULL"))
	err := t.each(ctx, q.Range, sql, func(r row) error {
		addr, ok := parseAddress(r.text(0))
		if !ok || !q.Subject.network.Contains(addr.Unmap()) {
			return nil
		}
		if len(out) == maxAddresses {
			return fmt.Errorf("more than %d addresses of %s appear: ask for a smaller network, or less time", maxAddresses, q.Subject.Text)
		}
		out = append(out, r.text(0))
		return nil
	})
	slices.Sort(out)
	return out, err
}

// doorSQL tells of whom only the name is known that they typed to sign in.
const doorSQL = "(category = 'signin' AND coalesce(access_key_id, '') = '' AND (outcome <> 'ok' OR event_name = 'CredentialChallenge'))"

// detailSets are what is counted of each answer; the first is the answer itself.
var detailSets = []string{"", "event_name, outcome", "source_ip", "target", "account_id", "issued", "chain, door"}

// count finds who there is, and counts what each did, in one pass over the events.
func (t *Teller) count(ctx context.Context, q *Question, inner string) (Answers, error) {
	const head = "relation, kind, person, home"
	var sets, part []string
	for i, s := range detailSets {
		if s == "" {
			sets = append(sets, "("+head+")")
			continue
		}
		sets = append(sets, "("+head+", "+s+")")
		column, _, _ := strings.Cut(s, ",")
		part = append(part, fmt.Sprintf("WHEN grouping(%s) = 0 THEN %d", column, i))
	}
	order := "CASE relation"
	for _, name := range relationOrder {
		order += fmt.Sprintf(" WHEN '%s' THEN %d", name, rank(name))
	}
	sql := "SELECT * FROM (SELECT *, dense_rank() OVER (ORDER BY " + order + ` END, seen DESC, person, kind, home, relation) AS number
FROM (SELECT *, row_number() OVER (PARTITION BY ` + head + `, part ORDER BY n DESC, value, outcome) AS position, count(*) OVER (PARTITION BY ` + head + `, part) AS listed,
  max(last) OVER (PARTITION BY ` + head + `) AS seen
FROM (SELECT ` + head + ", CASE " + strings.Join(part, " ") + ` ELSE 0 END AS part, coalesce(event_name, source_ip, target, account_id, issued, chain) AS value, outcome,
  count(*) AS n, min(event_time) AS first, max(event_time) AS last, min(place, ` + strconv.Itoa(maxEvents) + `) AS oldest, max(place) AS newest, bool_or(door) AS knocked
FROM (` + inner + `)
GROUP BY GROUPING SETS (` + strings.Join(sets, ", ") + `))))
WHERE position <= ` + strconv.Itoa(maxListed)
	if q.Limit > 0 {
		sql += " AND number <= " + strconv.Itoa(q.Limit+1)
	}
	sql += "\nORDER BY number, part, position"
	var out Answers
	err := t.each(ctx, q.Range, sql, func(r row) error {
		if r.int(4) == 0 {
			if q.Limit > 0 && len(out.Answers) == q.Limit {
				out.More = true
				return nil
			}
			a, err := newAnswer(r)
			out.Answers = append(out.Answers, a)
			return err
		}
		if out.More {
			return nil
		}
		return out.Answers[len(out.Answers)-1].detail(r)
	})
	return out, err
}

// newAnswer reads the row of an answer itself.
func newAnswer(r row) (Answer, error) {
	a := Answer{
		Relation: r.text(0), Kind: r.text(1), Actor: r.text(2), Home: r.text(3), Count: r.int(7), First: r.ms(8), Last: r.ms(9),
		AccountIDs: []string{}, Chain: []lineage.Hop{}, Evidence: []lineage.Evidence{}, Chains: []Chain{}, Events: []string{}, SourceIPs: []string{}, EventNames: map[string]int64{},
		Targets: []string{}, IssuedKeys: []string{}, Outcomes: map[string]int64{},
	}
	at, err := places(r.list(10))
	slices.SortFunc(at, func(x, y Place) int { return cmp.Or(cmp.Compare(x.Time, y.Time), x.Key.Compare(y.Key)) })
	for _, p := range at {
		a.Events = append(a.Events, p.Key.EventID)
	}
	return a, err
}

// detail reads a row of one of the other detailSets.
func (a *Answer) detail(r row) error {
	value, n := r.text(5), r.int(7)
	var field string
	list := func(name string, to *[]string) {
		field = name
		if value != "" {
			*to = append(*to, value)
		}
	}
	switch r.int(4) {
	case 1:
		field = "event_names"
		a.Calls = append(a.Calls, Call{value, r.text(6), n})
		a.EventNames[value] += n
		a.Outcomes[r.text(6)] += n
	case 2:
		list("source_ips", &a.SourceIPs)
	case 3:
		list("targets", &a.Targets)
	case 4:
		list("account_ids", &a.AccountIDs)
	case 5:
		list("issued_keys", &a.IssuedKeys)
	case 6:
		field = "chains"
		newest, err := place(r.text(11))
		if err != nil {
			return err
		}
		// A session's credentials may be known in other ways than those of another
		// session of the same chain.
		at := []Place{newest}
		if n > 1 && strings.Contains(value, lineage.ChainSeparator) {
			oldest, err := places(r.list(10))
			if err != nil {
				return err
			}
			at = append(at, slices.MinFunc(oldest, func(x, y Place) int { return cmp.Compare(x.Time, y.Time) }))
		}
		a.Chains = append(a.Chains, Chain{Text: value, Count: n, door: r.bool(12)})
		a.chainPlaces = append(a.chainPlaces, at)
	}
	if more := r.int(14) - maxListed; more > 0 {
		a.leave(field, more)
	}
	return nil
}

// leave notes that a list lacks some.
func (a *Answer) leave(field string, n int64) {
	if a.NotListed == nil {
		a.NotListed = map[string]int64{}
	}
	a.NotListed[field] += n
}

// certainty looks up how an answer's chains are known.
func (t *Teller) certainty(ctx context.Context, a *Answer) error {
	kept := a.Chains[:0]
	for i, c := range a.Chains {
		// What failed at the door is never left out: it is the doubtful one.
		if i >= maxChains && !c.door {
			a.leave("chains", 1)
			continue
		}
		for _, at := range a.chainPlaces[i] {
			e, r, err := t.Resolve(ctx, at)
			if err != nil {
				return err
			}
			if got := PersonOf(r.Kind, r.Actor, e.AccountID); got != a.Person() {
				// Somebody reads while a late link is on its way into the lake.
				r.Certainty, r.Reason = lineage.Unknown, "what is known by now names "+got.String()+"; the lake's file of that day is older"
			}
			if c.Certainty == "" || doubt(r.Certainty) > doubt(c.Certainty) {
				c.Certainty, c.Reason = r.Certainty, r.Reason
			}
			if a.Certainty == "" || doubt(r.Certainty) > doubt(a.Certainty) {
				a.Certainty, a.Reason, a.Chain, a.Evidence = r.Certainty, r.Reason, r.Chain, r.Evidence
			}
		}
		kept = append(kept, c)
	}
	a.Chains = kept
	return nil
}

// doubt orders certainties.
func doubt(certainty string) int {
	return slices.Index([]string{lineage.Proven, lineage.Inferred, lineage.Unknown}, certainty)
}

// Denied is how many of the calls a policy refused, Failed how many failed else.
func (a *Answer) Denied() int64 { return a.Outcomes[event.OutcomeDenied] }

// Failed is how many of the calls failed for another reason than a policy.
func (a *Answer) Failed() int64 { return a.Outcomes[event.OutcomeFailed] }
