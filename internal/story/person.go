package story

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/query"
)

// Person is who is at the root of chains: a person or a workload.
type Person struct {
	Kind string `json:"actor_kind"`
	Name string `json:"actor"`
	// Account is the account that the name is unique in; "" for kinds whose
	// names hold everywhere.
	Account string `json:"account_id,omitempty"`
}

// String is the name as records of other accounts have it.
func (p Person) String() string {
	if p.Account == "" {
		return p.Name
	}
	return p.Name + abroad + p.Account
}

// abroad stands between the name and the account in records of other accounts.
const abroad = " @ "

// accountKinds are the kinds of actors whose names are unique in one account only.
var accountKinds = []string{
	event.KindIAMUser, event.KindRoot, event.KindRoleSession, event.KindFederatedUser, event.KindInstance, event.KindFunction,
	event.KindSAMLUser, // of a provider, whose name is unique in its account only
}

// abroadForm ends the name of an actor of another account than the record's.
var abroadForm = regexp.MustCompile(` @ [0-9]{12}$`)

// PersonOf reads the actor of a record of an account.
func PersonOf(kind, actor, account string) Person {
	p := Person{Kind: kind, Name: actor}
	if !slices.Contains(accountKinds, kind) {
		return p
	}
	p.Account = account
	if at := abroadForm.FindStringIndex(actor); at != nil {
		p.Name, p.Account = actor[:at[0]], actor[at[0]+len(abroad):]
	}
	return p
}

// personColumns are PersonOf in SQL: columns kind, person and home.
var personColumns = func() string {
	kinds := "actor_kind IN ('" + strings.Join(accountKinds, "', '") + "')"
	far := "regexp_like(actor, ' @ [0-9]{12}$')"
	return `coalesce(actor_kind, '') AS kind,
  coalesce(CASE WHEN ` + kinds + ` AND ` + far + ` THEN substr(actor, 1, length(actor) - 15) ELSE actor END, '') AS person,
  CASE WHEN ` + kinds + ` THEN CASE WHEN ` + far + ` THEN substr(actor, length(actor) - 11) ELSE account_id END ELSE '' END AS home`
}()

// nearForm is "NAME @ ACCOUNT", with the spaces or without.
var nearForm = regexp.MustCompile(`^(.+?) ?@ ?([0-9]{12})$`)

// home takes "NAME @ ACCOUNT" apart; ok is false for other texts.
func home(text string) (name, account string, ok bool) {
	m := nearForm.FindStringSubmatch(text)
	if m == nil {
		return "", "", false
	}
	return m[1], m[2], true
}

// Found is a person that may be meant, with what is stored of them.
type Found struct {
	Person
	Count       int64 // events
	First, Last int64 // ms since the epoch
}

// ErrMany tells that several persons match.
type ErrMany struct {
	Text  string
	Found []Found // the most active first, at most 20
	All   int     // how many there are
}

func (e *ErrMany) Error() string { return fmt.Sprintf("%d actors match %q", e.All, e.Text) }

// Find returns the one person that a text names: by name (whole, else the only one
// that holds it), by "NAME @ ACCOUNT", by the ARN or the id of a user, or by an
// access key. ok is false when nobody is; several are an *ErrMany.
func (t *Teller) Find(ctx context.Context, text string) (found Found, ok bool, err error) {
	if found, ok, err = t.find(ctx, text); ok || err != nil {
		return found, ok, err
	}
	if name, account, near := home(text); near && name+abroad+account != text {
		return t.find(ctx, name+abroad+account)
	}
	return found, ok, err
}

func (t *Teller) find(ctx context.Context, text string) (found Found, ok bool, err error) {
	where, having, err := personCondition(text)
	if err != nil {
		return Found{}, false, err
	}
	var list []Found
	const most = 1000
	// Few columns, and grouped before names are looked at: 10 million events have
	// some thousand actors.
	sql := "SELECT kind, person, home, CAST(sum(n) AS BIGINT), min(first), max(last)\nFROM (SELECT " + personColumns + ", n, first, last FROM (SELECT actor, actor_kind, account_id, count(*) AS n, min(event_time) AS first, max(event_time) AS last\n  FROM events WHERE actor IS NOT NULL" +
		where + "\n  GROUP BY actor, actor_kind, account_id)" + having + ")\nGROUP BY kind, person, home\nORDER BY 4 DESC, kind, person, home\nLIMIT " + strconv.Itoa(most)
	err = t.each(ctx, Range{}, sql, func(r row) error {
		list = append(list, Found{Person{r.text(0), r.text(1), r.text(2)}, r.int(3), r.ms(4), r.ms(5)})
		return nil
	})
	if err != nil {
		return Found{}, false, err
	}
	for _, same := range []func(Found) bool{
		func(f Found) bool { return f.Name == text || f.String() == text },
		func(f Found) bool { return strings.EqualFold(f.Name, text) || strings.EqualFold(f.String(), text) },
	} {
		var exact []Found
		for _, f := range list {
			if same(f) {
				exact = append(exact, f)
			}
		}
		if len(exact) > 0 {
			list = exact
			break
		}
	}
	switch len(list) {
	case 0:
		return Found{}, false, nil
	case 1:
		return list[0], true, nil
	}
	slices.SortStableFunc(list, func(a, b Found) int { return -cmp.Compare(a.Count, b.Count) })
	return Found{}, false, &ErrMany{text, list[:min(len(list), 20)], len(list)}
}

// personCondition finds the records of whom a text may name: by conditions on
// events, or on actors.
func personCondition(text string) (where, having string, err error) {
	lit, err := query.Literal(text)
	if err != nil {
		return "", "", err
	}
	switch {
	case strings.HasPrefix(text, "arn:"):
		return " AND identity_arn = " + lit, "", nil
	case keyForm.MatchString(text):
		return " AND access_key_id = " + lit, "", nil
	case principalForm.MatchString(text):
		return " AND (principal_id = " + lit + " OR starts_with(principal_id, concat(" + lit + ", ':')))", "", nil
	}
	// The actor as records of the own account have it, and of others.
	return "", " WHERE strpos(lower(concat(actor, CASE WHEN actor_kind IN ('" + strings.Join(accountKinds, "', '") + "') AND NOT regexp_like(actor, ' @ [0-9]{12}$') THEN concat('" +
		abroad + "', account_id) ELSE '' END)), lower(" + lit + ")) > 0", nil
}
