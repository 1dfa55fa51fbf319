package story

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lineage"
	"github.com/iamtrack/iamtrack/internal/query"
)

// Risk is an alert that an event raised.
type Risk struct {
	ID       string `json:"id"`
	Rule     string `json:"rule"`
	Title    string `json:"title"`
	Severity string `json:"severity"`
}

// Life asks what one person did.
type Life struct {
	Person Person
	Range  Range
	// Narrow has accounts, regions, services and outcomes that count.
	Narrow query.EventFilter
	// Writes leaves out what only reads, Risky what raised no alert.
	Writes, Risky bool
	// Risks are the alerts of the time, by the key of their events.
	Risks map[event.Key][]Risk
	// Limit is the most entries, the newest; 0 means all.
	Limit int
	// Events is how many events of the person are stored, as Find says; of many only
	// the days are read that Limit asks for.
	Events int64
	// Covered tells whether all calls on a service ("": on any) in an account
	// are known for long enough before Range.Since that what isn't among them
	// is new; nil: never.
	Covered func(account, service string) bool
}

// Timeline is what one person did, in order of time.
type Timeline struct {
	Sessions []Session
	Count    int64 // events, those that Limit leaves out too
	Denied   int64
	More     bool // entries were left out, the oldest
	// Bearers are the users who had the person's name in that time, as far as
	// records tell: AWS gives names anew, and Identity Center's are unique in one
	// identity store only.
	Bearers []Bearer
}

// Bearer is one of the users of a name.
type Bearer struct {
	// ID is the principal id of an IAM user; of a user of Identity Center the
	// identity store's id, "/" and the user's.
	ID          string
	First, Last int64 // ms since the epoch
	Count       int64 // records that show the id
}

// maxBearers bounds Timeline.Bearers.
const maxBearers = 10

// Session is what a person did from one place, in one way, without a pause of
// more than an hour.
type Session struct {
	From, To  int64 // ms since the epoch
	Way       string
	SourceIP  string
	AccountID string
	Regions   []string
	Chain     string
	Certainty string // of the chain
	Reason    string
	Keys      []string // access keys, at most maxKeys
	New       []string // what is new for the person: "address", "way", "account"
	Count     int64
	Entries   []Entry
}

// Entry is a call, or several of the same kind.
type Entry struct {
	First, Last int64 // ms since the epoch
	Name        string
	Source      string // event_source
	Outcome     string
	Error       string // error code of one that wasn't ok
	Target      string
	Read        bool
	Region      string // when all are of one
	Count       int64
	New         []string // "call", "region"
	Risks       []Risk
	Events      []string // ids of the first, at most maxEvents
	at          []Place
}

const (
	maxKeys = 3
	// pause ends a session.
	pause = time.Hour
	// maxRisks bounds the alerts of an entry.
	maxRisks = 20
)

// condition says that a record's actor is the person.
func (p Person) condition() (string, error) {
	texts := []string{p.Kind, p.Name, p.String(), p.Account}
	for i := range texts {
		var err error
		if texts[i], err = query.Literal(texts[i]); err != nil {
			return "", err
		}
	}
	kind, name, far, account := texts[0], texts[1], texts[2], texts[3]
	if p.Account == "" {
		return "actor = " + name + " AND actor_kind = " + kind, nil
	}
	return fmt.Sprintf("actor IN (%[1]s, %[2]s) AND actor_kind = %[3]s AND (actor = %[2]s OR account_id = %[4]s)", name, far, kind, account), nil
}

// Timeline tells what a person did. Calls of a kind are folded: those that only
// read between two that don't, others while they follow each other; what was
// refused, and what raised an alert, never with what wasn't or didn't.
func (t *Teller) Timeline(ctx context.Context, l Life) (Timeline, error) {
	who, err := l.Person.condition()
	if err != nil {
		return Timeline{}, err
	}
	narrow := l.Narrow
	narrow.Since, narrow.Until = l.Range.Since, l.Range.Until
	where, err := narrow.Conditions()
	if err != nil {
		return Timeline{}, err
	}
	where = append(where, who)
	risky, err := l.risky()
	if err != nil {
		return Timeline{}, err
	}
	if l.Writes {
		where = append(where, "NOT "+readSQL)
	}
	if l.Risky {
		where = append(where, risky)
	}
	var bearers []Bearer
	asking, asked := errgroup.WithContext(ctx)
	asking.Go(func() (err error) {
		bearers, err = t.bearers(asked, &l, who)
		return err
	})
	out, err := t.newest(asked, &l, where, risky)
	if werr := asking.Wait(); err == nil || werr != nil {
		err = werr
	}
	if err != nil {
		return Timeline{}, err
	}
	out.Bearers = bearers
	if err := t.known(ctx, &out); err != nil {
		return Timeline{}, err
	}
	return out, t.mark(ctx, &l, who, &out)
}

// manyEvents is how many events are folded in one go.
const manyEvents = 2_000

// newest finds the entries. Of somebody with many events the newest days only are
// folded, if Limit leaves the others out anyway: as many as make sure that each
// entry found has all of its calls.
func (t *Teller) newest(ctx context.Context, l *Life, where []string, risky string) (Timeline, error) {
	if l.Limit == 0 || l.Events <= manyEvents {
		out, _, err := t.entries(ctx, l, l.Range, timelineSQL(where, risky, l.Limit))
		return out, err
	}
	type day struct {
		date      event.Date
		n, denied int64
	}
	var days []day
	var sum Timeline
	err := t.each(ctx, l.Range, "SELECT min(event_time), count(*), count(CASE WHEN outcome = 'denied' THEN 1 END)\nFROM events\nWHERE "+all(where)+
		"\nGROUP BY event_date\nORDER BY 1 DESC", func(r row) error {
		d := day{event.DateOf(r.ms(0)), r.int(1), r.int(2)}
		days = append(days, d)
		sum.Count, sum.Denied = sum.Count+d.n, sum.Denied+d.denied
		return nil
	})
	if err != nil {
		return Timeline{}, err
	}
	for many := int64(max(manyEvents, 10*l.Limit)); ; many *= 4 {
		r, events := l.Range, int64(0)
		for i, d := range days {
			if events += d.n; events >= many && i < len(days)-1 {
				r.Since = d.date.Time()
				break
			}
		}
		whole := r == l.Range
		narrow := where
		if !whole {
			since, err := query.EventFilter{Since: r.Since}.Conditions()
			if err != nil {
				return Timeline{}, err
			}
			narrow = slices.Concat(where, since)
		}
		out, began, err := t.entries(ctx, l, r, timelineSQL(narrow, risky, l.Limit))
		// What went on within a pause of the first day may have begun before it.
		if err != nil || whole || out.More && began >= r.Since.Add(pause).UnixMilli() {
			out.Count, out.Denied = sum.Count, sum.Denied
			return out, err
		}
	}
}

// bearers finds whose name the person's is, the first seen first.
func (t *Teller) bearers(ctx context.Context, l *Life, who string) ([]Bearer, error) {
	var id, some string
	switch l.Person.Kind {
	case event.KindIAMUser:
		id, some = "principal_id", "identity_type = 'IAMUser' AND starts_with(principal_id, 'AIDA')"
	case event.KindIdentityCenter:
		const behalf = "json_extract_scalar(rest, '$.userIdentity.onBehalfOf."
		id, some = "concat("+behalf+"identityStoreArn'), '/', "+behalf+"userId'))", `strpos(rest, '"onBehalfOf"') > 0`
	default:
		return nil, nil
	}
	where, err := query.EventFilter{Since: l.Range.Since, Until: l.Range.Until}.Conditions()
	if err != nil {
		return nil, err
	}
	var out []Bearer
	err = t.each(ctx, l.Range, "SELECT id, min(event_time), max(event_time), count(*) FROM (SELECT event_time, "+id+" AS id FROM events WHERE "+
		all(append(where, who, some))+")\nWHERE id IS NOT NULL\nGROUP BY id\nORDER BY 2, 1\nLIMIT "+strconv.Itoa(maxBearers), func(r row) error {
		b := Bearer{ID: r.text(0), First: r.ms(1), Last: r.ms(2), Count: r.int(3)}
		if l.Person.Kind == event.KindIdentityCenter { // the store by its ARN
			store, user := b.ID[:strings.LastIndexByte(b.ID, '/')], b.ID[strings.LastIndexByte(b.ID, '/'):]
			b.ID = store[strings.LastIndexByte(store, '/')+1:] + user
		}
		out = append(out, b)
		return nil
	})
	return out, err
}

// readSQL tells what changes nothing. Records from before 2018 don't say it; what
// their names begin with does.
const readSQL = "coalesce(read_only, regexp_like(coalesce(event_name, ''), '^(Get|List|Describe|Head|Lookup|Simulate|Batch(Get|Describe))'))"

// risky is the condition that an event raised an alert.
func (l *Life) risky() (string, error) {
	byAccount := map[string][]string{}
	for k := range l.Risks {
		byAccount[k.AccountID] = append(byAccount[k.AccountID], k.EventID)
	}
	var or []string
	for account, list := range byAccount {
		slices.Sort(list)
		lit, err := query.Literal(account)
		if err != nil {
			return "", err
		}
		in, err := literals(list)
		if err != nil {
			return "", err
		}
		or = append(or, "account_id = "+lit+" AND event_id IN ("+in+")")
	}
	if len(or) == 0 {
		return "false", nil
	}
	slices.Sort(or)
	return "(" + strings.Join(or, " OR ") + ")", nil
}

// timelineSQL folds events into entries: visits are what Session is, heavy calls
// those that are told one by one, and a block what lies between two of them. What
// is sorted for that is narrow, numbers and hashes: somebody may have made hundreds
// of thousands of calls. Texts join when the newest entries are picked, and they,
// not the hashes, tell these apart.
func timelineSQL(where []string, risky string, limit int) string {
	const visit = "chain, account_id, source_ip, way"
	const kind = "event_name, event_source, outcome, error_code, risky, reads"
	const told = "CASE WHEN heavy THEN target ELSE '' END"
	most := ""
	if limit > 0 {
		most = "\n  ORDER BY max(event_time) DESC, min(event_time) DESC, min(nr) DESC\n  LIMIT " + strconv.Itoa(limit+1)
	}
	return `WITH called AS (
  SELECT event_time, event_id, account_id, coalesce(aws_region, '') AS region, coalesce(event_name, '') AS event_name, coalesce(event_source, '') AS event_source, outcome,
    coalesce(error_code, '') AS error_code, coalesce(source_ip, '') AS source_ip, coalesce(access_key_id, '') AS access_key, coalesce(actor_chain, '') AS chain,
    ` + waySQL + ` AS way, ` + readSQL + ` AS reads, ` + risky + ` AS risky, coalesce(target_name, target_arn, '') AS target
  FROM events
  WHERE ` + all(where) + `
), base AS MATERIALIZED (
  SELECT *, row_number() OVER () AS id, NOT reads OR risky AS heavy FROM called
), numbered AS (
  SELECT id, event_time, heavy, outcome = 'denied' AS denied, hash(` + visit + `) AS who, hash(` + kind + `, ` + told + `) AS what,
    row_number() OVER (ORDER BY event_time, event_id, account_id) AS nr
  FROM base
), paused AS (
  SELECT *, CASE WHEN lag(event_time) OVER (PARTITION BY who ORDER BY nr) >= event_time - INTERVAL '` + strconv.Itoa(int(pause/time.Minute)) + `' MINUTE THEN 0 ELSE 1 END AS begins
  FROM numbered
), visited AS (
  SELECT *, sum(begins) OVER (PARTITION BY who ORDER BY nr ROWS UNBOUNDED PRECEDING) AS visit
  FROM paused
), blocked AS MATERIALIZED (
  SELECT id, event_time, nr, denied, who, visit, heavy, what, min(event_time) OVER (PARTITION BY who, visit) AS began, CASE WHEN heavy THEN
      row_number() OVER (PARTITION BY who, visit, heavy ORDER BY nr) - row_number() OVER (PARTITION BY who, visit, heavy, what ORDER BY nr)
    ELSE sum(CASE WHEN heavy THEN 1 ELSE 0 END) OVER (PARTITION BY who, visit ORDER BY nr ROWS UNBOUNDED PRECEDING) END AS block
  FROM visited
), picked AS (
  SELECT who, visit, heavy, what, block
  FROM blocked
  GROUP BY who, visit, heavy, what, block` + most + `
), entries AS (
  SELECT ` + visit + `, CAST(visit AS BIGINT) AS visit, ` + kind + `, ` + told + ` AS told, count(*) AS n, min(event_time) AS first, max(event_time) AS last,
    min(region) AS region, max(region) AS other_region, min(access_key) AS access_key, max(access_key) AS other_key, min(place, ` + strconv.Itoa(maxRisks) + `) AS places, min(began) AS began
  FROM (SELECT base.*, ` + placeSQL + ` AS place, who, visit, what, block, began FROM picked JOIN blocked USING (who, visit, heavy, what, block) JOIN base USING (id, event_time, heavy))
  GROUP BY ` + visit + `, visit, ` + kind + `, told, heavy, block
)
SELECT *, (SELECT count(*) FROM blocked) AS total, (SELECT count(*) FROM blocked WHERE denied) AS refused
FROM entries
ORDER BY last DESC, first DESC, account_id, event_name, chain, source_ip, way, visit, outcome, error_code, told
`
}

// entries reads what timelineSQL finds into sessions, and when the first of the
// visits began that they are of (ms since the epoch).
func (t *Teller) entries(ctx context.Context, l *Life, in Range, sql string) (Timeline, int64, error) {
	type visit struct {
		chain, account, ip, way string
		n                       int64
	}
	var out Timeline
	sessions := map[visit]*Session{}
	var order []*Session
	n, began := 0, int64(math.MaxInt64)
	err := t.each(ctx, in, sql, func(r row) error {
		out.Count, out.Denied = r.int(21), r.int(22)
		if n++; l.Limit > 0 && n > l.Limit {
			out.More = true
			return nil
		}
		began = min(began, r.ms(20))
		v := visit{r.text(0), r.text(1), r.text(2), r.text(3), r.int(4)}
		s := sessions[v]
		if s == nil {
			s = &Session{From: r.ms(13), To: r.ms(14), Chain: v.chain, AccountID: v.account, SourceIP: v.ip, Way: v.way}
			sessions[v] = s
			order = append(order, s)
		}
		at, err := places(r.list(19))
		if err != nil {
			return err
		}
		slices.SortFunc(at, func(x, y Place) int { return cmp.Or(cmp.Compare(x.Time, y.Time), x.Key.Compare(y.Key)) })
		e := Entry{
			Name: r.text(5), Source: r.text(6), Outcome: r.text(7), Error: r.text(8), Read: r.bool(10), Target: r.text(11),
			First: r.ms(13), Last: r.ms(14), Count: r.int(12), at: at,
		}
		for _, p := range at {
			if len(e.Events) < maxEvents {
				e.Events = append(e.Events, p.Key.EventID)
			}
			for _, risk := range l.Risks[p.Key] {
				if r.bool(9) && !slices.ContainsFunc(e.Risks, func(o Risk) bool { return o.Rule == risk.Rule }) {
					e.Risks = append(e.Risks, risk)
				}
			}
		}
		for _, region := range []string{r.text(15), r.text(16)} {
			if region != "" && !slices.Contains(s.Regions, region) {
				s.Regions = append(s.Regions, region)
			}
		}
		if r.text(15) == r.text(16) {
			e.Region = r.text(15)
		}
		for _, key := range []string{r.text(17), r.text(18)} {
			if key != "" && len(s.Keys) < maxKeys && !slices.Contains(s.Keys, key) {
				s.Keys = append(s.Keys, key)
			}
		}
		s.From, s.To = min(s.From, e.First), max(s.To, e.Last)
		s.Count += e.Count
		s.Entries = append(s.Entries, e)
		return nil
	})
	if err != nil {
		return out, began, err
	}
	for _, s := range order {
		slices.Sort(s.Regions)
		slices.Sort(s.Keys)
		slices.SortStableFunc(s.Entries, func(a, b Entry) int {
			return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(tieOrder(a.Name), tieOrder(b.Name)), cmp.Compare(a.Last, b.Last), strings.Compare(a.Name, b.Name))
		})
		out.Sessions = append(out.Sessions, *s)
	}
	slices.SortStableFunc(out.Sessions, func(a, b Session) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To), strings.Compare(a.AccountID, b.AccountID), strings.Compare(a.Chain, b.Chain),
			strings.Compare(a.SourceIP, b.SourceIP), strings.Compare(a.Way, b.Way))
	})
	return out, began, nil
}

// tieOrder is that of calls within one second, which is as exact as records are: what
// makes a thing comes before what is done with it, and its end last.
func tieOrder(name string) int {
	verb, thing := name, ""
	if len(name) > 6 {
		verb, thing = name[:6], name[6:] // Create and Delete are as long
	}
	switch thing {
	case "User", "Role", "Group", "Policy", "InstanceProfile", "Trail", "Key", "Bucket":
	default:
		return 0
	}
	switch verb {
	case "Create":
		return -1
	case "Delete":
		return 1
	}
	return 0
}

// atTheDoor is what doorSQL tells.
func (e *Entry) atTheDoor() bool {
	return e.Source == "signin.amazonaws.com" && (e.Outcome != event.OutcomeOK || e.Name == "CredentialChallenge")
}

// known looks up how each chain is known, by one of its events.
func (t *Teller) known(ctx context.Context, out *Timeline) error {
	type way struct {
		account, chain string
		door           bool
	}
	found := map[way]lineage.Resolution{}
	for i := range out.Sessions {
		s := &out.Sessions[i]
		// Whoever failed to sign in is known by name only; who then comes in, better.
		first := max(0, slices.IndexFunc(s.Entries, func(e Entry) bool { return !e.atTheDoor() }))
		w := way{s.AccountID, s.Chain, s.Entries[first].atTheDoor()}
		r, ok := found[w]
		if at := s.Entries[first].at; !ok && len(found) < 50 && len(at) > 0 {
			var err error
			if _, r, err = t.Resolve(ctx, at[0]); err != nil {
				return err
			}
			found[w] = r
		}
		s.Certainty, s.Reason = r.Certainty, r.Reason
	}
	return nil
}

// mark finds what is new for the person.
func (t *Teller) mark(ctx context.Context, l *Life, who string, out *Timeline) error {
	if l.Covered == nil || l.Range.Since.IsZero() || len(out.Sessions) == 0 {
		return nil
	}
	before := Range{Until: l.Range.Since}
	where, err := query.EventFilter{Until: l.Range.Since}.Conditions()
	if err != nil {
		return err
	}
	sql := `SELECT coalesce(call, source_ip, region, account_id, way), CASE WHEN grouping(call) = 0 THEN 'call' WHEN grouping(source_ip) = 0 THEN 'address'
  WHEN grouping(region) = 0 THEN 'region' WHEN grouping(account_id) = 0 THEN 'account' ELSE 'way' END
FROM (SELECT concat(event_source, '/', event_name) AS call, coalesce(source_ip, '') AS source_ip, coalesce(aws_region, '') AS region, account_id, ` + waySQL + ` AS way
  FROM events WHERE ` + all(append(where, who)) + `)
GROUP BY GROUPING SETS ((call), (source_ip), (region), (account_id), (way))`
	type value struct{ kind, text string }
	seen := map[value]bool{}
	if err := t.each(ctx, before, sql, func(r row) error {
		seen[value{r.text(1), r.text(0)}] = true
		return nil
	}); err != nil {
		return err
	}
	if len(seen) == 0 {
		return nil // all of it would be new
	}
	everywhere := true
	for i := range out.Sessions {
		everywhere = everywhere && l.Covered(out.Sessions[i].AccountID, "")
	}
	first := func(kind, text string, claimed bool) bool {
		v := value{kind, text}
		if text == "" || !claimed || seen[v] {
			return false
		}
		seen[v] = true
		return true
	}
	for i := range out.Sessions {
		s := &out.Sessions[i]
		for _, v := range []value{{"account", s.AccountID}, {"address", s.SourceIP}, {"way", s.Way}} {
			if first(v.kind, v.text, everywhere) {
				s.New = append(s.New, v.kind)
			}
		}
		for j := range s.Entries {
			e := &s.Entries[j]
			if first("call", e.Source+"/"+e.Name, l.Covered(s.AccountID, e.Source)) {
				e.New = append(e.New, "call")
			}
			if first("region", e.Region, everywhere) {
				e.New = append(e.New, "region")
			}
		}
	}
	return nil
}
