package story_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/lineage"
	"github.com/iamtrack/iamtrack/internal/query/duckdb"
	"github.com/iamtrack/iamtrack/internal/store"
	"github.com/iamtrack/iamtrack/internal/story"
)

// call is a record, as far as a story cares.
type call struct {
	at               string // time of the day
	day              string // 2026-11-20 if it isn't said
	account, user    string
	name, agent, ip  string
	target           string
	read, denied     bool
	role, key, gives string // a session of a role; the key that AssumeRole gives
	signIn           string // what a sign-in ends in
	id               string // principal id of the user
}

func (c call) json(i int) string {
	account := c.account
	if account == "" {
		account = "111122223333"
	}
	identity := fmt.Sprintf(`{"type":"IAMUser","userName":%q,"accountId":%q,"arn":"arn:aws:iam::%s:user/%s","accessKeyId":"AKIA%016s"}`, c.user, account, account, c.user, strings.ToUpper(c.user+account))
	if c.role != "" {
		identity = fmt.Sprintf(`{"type":"AssumedRole","accountId":%q,"principalId":"AROA:s","arn":"arn:aws:sts::%s:assumed-role/%s/s","accessKeyId":%q,"sessionContext":{"sessionIssuer":{"type":"Role","userName":%q,"arn":"arn:aws:iam::%s:role/%s"}}}`,
			account, account, c.role, c.key, c.role, account, c.role)
	}
	if c.id != "" {
		identity = strings.Replace(identity, `{`, fmt.Sprintf(`{"principalId":%q,`, c.id), 1)
	}
	source, request, response, failed := "iam", "null", "null", ""
	if c.signIn != "" {
		identity = fmt.Sprintf(`{"type":"IAMUser","userName":%q,"accountId":%q,"arn":"arn:aws:iam::%s:user/%s"}`, c.user, account, account, c.user)
		source, response = "signin", fmt.Sprintf(`{"ConsoleLogin":%q}`, c.signIn)
	}
	if c.target != "" {
		request = fmt.Sprintf(`{"userName":%q}`, c.target)
	}
	if c.gives != "" {
		source = "sts"
		to, role, _ := strings.Cut(c.target, "/")
		request = fmt.Sprintf(`{"roleArn":"arn:aws:iam::%s:role/%s","roleSessionName":"s"}`, to, role)
		response = fmt.Sprintf(`{"credentials":{"accessKeyId":%q},"assumedRoleUser":{"arn":"arn:aws:sts::%s:assumed-role/%s/s"}}`, c.gives, to, role)
	}
	if c.denied {
		failed = `"errorCode":"AccessDenied",`
	}
	if c.ip == "" {
		c.ip = "198.51.100.7"
	}
	if c.day == "" {
		c.day = "2026-11-20"
	}
	return fmt.Sprintf(`{"eventVersion":"1.08","userIdentity":%s,"eventTime":"%sT%sZ","eventSource":"%s.amazonaws.com","eventName":%q,"awsRegion":"us-east-1","sourceIPAddress":%q,"userAgent":%q,"readOnly":%v,%s"requestParameters":%s,"responseElements":%s,"eventID":"00000000-0000-4000-8000-%012d","recipientAccountId":%q}`,
		identity, c.day, c.at, source, c.name, c.ip, c.agent, c.read, failed, request, response, i, account)
}

// tell makes a Teller over a lake of calls.
func tell(t *testing.T, calls ...call) *story.Teller {
	t.Helper()
	var events []event.Event
	p, o := event.NewParser(), lineage.NewObserver()
	for i, c := range calls {
		e, err := p.Parse([]byte(c.json(i)))
		if err != nil {
			t.Fatal(err)
		}
		o.Observe(&e, false)
		events = append(events, e)
	}
	s := store.OpenMem()
	if err := s.RecordLineage(t.Context(), o.Batch()); err != nil {
		t.Fatal(err)
	}
	r := lineage.NewResolver(s)
	for i := range events {
		if err := r.Fill(t.Context(), &events[i]); err != nil {
			t.Fatal(err)
		}
	}
	slices.SortFunc(events, func(a, b event.Event) int { return a.Compare(&b) })
	dir := t.TempDir()
	bucket, err := lake.OpenDisk(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	l := lake.New(bucket, lake.Options{})
	byDay := map[event.Date][]event.Event{}
	for _, e := range events {
		byDay[e.Date()] = append(byDay[e.Date()], e)
	}
	for date, events := range byDay {
		if _, _, err := l.Merge(t.Context(), date, lake.Input{Events: func(yield func(event.Event, error) bool) {
			for _, e := range events {
				if !yield(e, nil) {
					return
				}
			}
		}}); err != nil {
			t.Fatal(err)
		}
	}
	engine, err := duckdb.Open(context.Background(), duckdb.Options{LakeDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return story.New(engine, l, s)
}

var day = story.Range{Since: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), Until: time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)}

// folded puts a session's entries in words.
func folded(s *story.Session) string {
	var out []string
	for _, e := range s.Entries {
		text := fmt.Sprintf("%s×%d", e.Name, e.Count)
		if e.Outcome != event.OutcomeOK {
			text += " " + e.Outcome
		}
		if len(e.Risks) > 0 {
			text += "!"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// TestManyEventsAreToldAlike asks for the newest entries of somebody with many
// events, in one go and with only the newest days read: sessions go on over
// midnight, and for days.
func TestManyEventsAreToldAlike(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, pauses := range []int{0, 40, 400} { // one in so many calls comes hours later
		at := time.Date(2026, 10, 1, 22, 0, 0, 0, time.UTC)
		var calls []call
		for range 9000 {
			at = at.Add(time.Duration(random.IntN(600)) * time.Second)
			if pauses > 0 && random.IntN(pauses) == 0 {
				at = at.Add(time.Duration(random.IntN(7200)) * time.Second)
			}
			c := call{day: at.Format(time.DateOnly), at: at.Format(time.TimeOnly), user: "alice", agent: "aws-cli/2", name: "ListUsers", read: true}
			switch random.IntN(20) {
			case 0:
				c.name, c.read, c.target = "CreateUser", false, "bob"
			case 1:
				c.denied = true
			case 2:
				c.agent = "Terraform"
			case 3:
				c.ip = "203.0.113.9"
			}
			calls = append(calls, c)
		}
		teller := tell(t, calls...)
		for _, limit := range []int{1, 30, 200, 5000} {
			ask := func(many int64) story.Timeline {
				out, err := teller.Timeline(t.Context(), story.Life{Person: story.Person{Kind: event.KindIAMUser, Name: "alice", Account: "111122223333"}, Limit: limit, Events: many})
				if err != nil {
					t.Fatal(err)
				}
				return out
			}
			whole, part := ask(0), ask(int64(len(calls)))
			if whole.Count != int64(len(calls)) || whole.Denied == 0 || len(whole.Sessions) == 0 {
				t.Fatalf("%d calls, %d denied, %d sessions told", whole.Count, whole.Denied, len(whole.Sessions))
			}
			if !reflect.DeepEqual(whole, part) {
				t.Errorf("1 pause in %d calls, limit %d: with the newest days only %d sessions of %d, else %d of %d", pauses, limit, len(part.Sessions), part.Count, len(whole.Sessions), whole.Count)
			}
		}
	}
}

func TestRepetitionIsFolded(t *testing.T) {
	var calls []call
	add := func(n int, c call) {
		for range n {
			c.at, c.user, c.agent = fmt.Sprintf("09:%02d:%02d", len(calls)/60, len(calls)%60), "alice", "aws-cli/2"
			calls = append(calls, c)
		}
	}
	add(20, call{name: "ListUsers", read: true})
	add(3, call{name: "ListRoles", read: true})
	add(2, call{name: "ListUsers", read: true, denied: true})
	add(4, call{name: "ListUsers", read: true})
	add(2, call{name: "TagUser", target: "bob"})
	add(1, call{name: "TagUser", target: "carol"})
	add(1, call{name: "TagUser", target: "carol", denied: true})
	add(1, call{name: "TagUser", target: "carol"})
	add(5, call{name: "ListUsers", read: true})
	teller := tell(t, calls...)
	life := story.Life{Person: story.Person{Kind: event.KindIAMUser, Name: "alice", Account: "111122223333"}, Range: day,
		Risks: map[event.Key][]story.Risk{{AccountID: "111122223333", EventID: "00000000-0000-4000-8000-000000000000"}: {{ID: "a", Rule: "r", Title: "Odd"}}}}
	got, err := teller.Timeline(t.Context(), life)
	if err != nil {
		t.Fatal(err)
	}
	want := "ListUsers×1!, ListUsers×23, ListRoles×3, ListUsers×2 denied, TagUser×2, TagUser×1, TagUser×1 denied, TagUser×1, ListUsers×5"
	if len(got.Sessions) != 1 || folded(&got.Sessions[0]) != want || got.Count != int64(len(calls)) || got.Denied != 3 {
		t.Errorf("%d sessions, %d calls, %d denied: %s\nwant %s", len(got.Sessions), got.Count, got.Denied, folded(&got.Sessions[0]), want)
	}
	life.Writes, life.Limit = true, 2
	if got, err = teller.Timeline(t.Context(), life); err != nil || !got.More || folded(&got.Sessions[0]) != "TagUser×1 denied, TagUser×1" {
		t.Errorf("the last two changes: %+v, %v", got, err)
	}
	life.Writes, life.Limit, life.Risky = false, 0, true
	if got, err = teller.Timeline(t.Context(), life); err != nil || got.Count != 1 {
		t.Errorf("%d risky calls, %v", got.Count, err)
	}
}

func TestOnePersonInTwoAccounts(t *testing.T) {
	teller := tell(t,
		call{at: "09:00:00", user: "alice", name: "AssumeRole", target: "999999999999/ops", gives: "ASIAEXAMPLEOPS000001"},
		call{at: "09:01:00", account: "999999999999", role: "ops", key: "ASIAEXAMPLEOPS000001", name: "CreateUser", target: "eve"},
		call{at: "09:02:00", account: "999999999999", user: "alice", name: "ListUsers", read: true},
		call{at: "12:00:00", user: "alice", name: "ListUsers", read: true, agent: "Mozilla/5.0"},
	)
	_, _, err := teller.Find(t.Context(), "alice")
	var many *story.ErrMany
	if !errors.As(err, &many) || many.All != 2 || many.Found[0].String() != "alice @ 111122223333" || many.Found[0].Count != 3 {
		t.Fatalf("alice is %v", err)
	}
	found, ok, err := teller.Find(t.Context(), "alice @ 111122223333")
	if err != nil || !ok {
		t.Fatalf("%v, %v", ok, err)
	}
	life, err := teller.Timeline(t.Context(), story.Life{Person: found.Person, Range: day})
	if err != nil || life.Count != 3 || len(life.Sessions) != 3 || life.Sessions[1].AccountID != "999999999999" || life.Sessions[2].Way != "console" {
		t.Errorf("%+v, %v", life, err)
	}
	answers, err := teller.Who(t.Context(), story.Question{Subject: story.Recognise("CreateUser")})
	if err != nil || len(answers.Answers) != 1 {
		t.Fatalf("%+v, %v", answers, err)
	}
	a := &answers.Answers[0]
	if a.Person() != found.Person || a.Certainty != lineage.Proven || len(a.Chain) != 2 || len(a.Evidence) != 2 || a.Evidence[1].EventID != "00000000-0000-4000-8000-000000000000" {
		t.Errorf("CreateUser was %+v", a)
	}
	trees, err := teller.Trace(t.Context(), story.Search{Text: "ops/s"})
	if err != nil || len(trees.Trees) != 1 || trees.Trees[0].Root.Name != "alice" || trees.Trees[0].Root.Account != "111122223333" || !trees.Trees[0].Root.Children[0].Asked {
		t.Errorf("%+v, %v", trees, err)
	}
}

// A name is found in the form of answers, with the account, and without its spaces;
// and what a user did in sessions in other accounts counts as under the name.
func TestNamesWithAccounts(t *testing.T) {
	teller := tell(t,
		call{at: "09:00:00", user: "alice", name: "AssumeRole", target: "999999999999/ops", gives: "ASIAEXAMPLEOPS000001"},
		call{at: "09:01:00", account: "999999999999", role: "ops", key: "ASIAEXAMPLEOPS000001", name: "CreateUser", target: "eve"},
		call{at: "09:02:00", account: "999999999999", user: "alice", name: "ListUsers", read: true},
		call{at: "09:03:00", account: "999999999999", user: "malice", name: "ListUsers", read: true},
	)
	for _, text := range []string{"alice @ 111122223333", "alice@111122223333"} {
		found, ok, err := teller.Find(t.Context(), text)
		if err != nil || !ok || found.Account != "111122223333" || found.Count != 2 {
			t.Errorf("%q: %+v, %v, %v", text, found, ok, err)
		}
	}
	for _, c := range []struct{ text, as, want string }{
		{"alice", story.AsName, "alice @ 111122223333 2, alice @ 999999999999 1"},
		{"alice@111122223333", story.AsName, "alice @ 111122223333 2"},
		{"alice", story.AsUser, "alice @ 111122223333 2, alice @ 999999999999 1"},
		{"arn:aws:iam::111122223333:user/alice", story.AsARN, "alice @ 111122223333 2"},
		{"arn:aws:iam::111122223333:user/alice", story.AsUser, "alice @ 111122223333 2"},
	} {
		s, err := story.As(c.text, c.as)
		if err != nil {
			t.Fatal(err)
		}
		answers, err := teller.Who(t.Context(), story.Question{Subject: s})
		var got []string
		for i := range answers.Answers {
			a := &answers.Answers[i]
			got = append(got, fmt.Sprintf("%s %d", a.Person(), a.Count))
		}
		slices.Sort(got)
		if err != nil || strings.Join(got, ", ") != c.want {
			t.Errorf("%s %q: %v, %v, want %s", c.as, c.text, got, err, c.want)
		}
	}
}

// A user who was deleted, and another one of the name, are told apart.
func TestBearersOfOneName(t *testing.T) {
	teller := tell(t,
		call{at: "09:00:00", user: "alice", id: "AIDAFIRST", name: "ListUsers", read: true},
		call{at: "09:01:00", user: "alice", id: "AIDAFIRST", name: "ListUsers", read: true},
		call{at: "19:01:00", user: "alice", id: "AIDASECOND", name: "ListUsers", read: true},
	)
	life, err := teller.Timeline(t.Context(), story.Life{Person: story.Person{Kind: event.KindIAMUser, Name: "alice", Account: "111122223333"}, Range: day})
	if err != nil || len(life.Bearers) != 2 || life.Bearers[0].ID != "AIDAFIRST" || life.Bearers[0].Count != 2 || life.Bearers[1].First != day.Since.Add(19*time.Hour+time.Minute).UnixMilli() {
		t.Errorf("%+v, %v", life.Bearers, err)
	}
}

// Within a second a user is made before a key of theirs.
func TestOrderWithinASecond(t *testing.T) {
	teller := tell(t,
		call{at: "09:00:00", user: "alice", name: "DeleteUser", target: "old"},
		call{at: "09:00:00", user: "alice", name: "AttachUserPolicy", target: "eve"},
		call{at: "09:00:00", user: "alice", name: "CreateAccessKey", target: "eve"},
		call{at: "09:00:00", user: "alice", name: "CreateUser", target: "eve"},
	)
	life, err := teller.Timeline(t.Context(), story.Life{Person: story.Person{Kind: event.KindIAMUser, Name: "alice", Account: "111122223333"}, Range: day})
	if want := "CreateUser×1, AttachUserPolicy×1, CreateAccessKey×1, DeleteUser×1"; err != nil || folded(&life.Sessions[0]) != want {
		t.Errorf("%+v, %v", life, err)
	}
}

// Whoever fails to sign in is known by the name that was typed, however often the
// same user came in.
func TestAtTheDoor(t *testing.T) {
	teller := tell(t,
		call{at: "09:00:00", user: "alice", name: "ConsoleLogin", signIn: "Success", ip: "198.51.100.1", agent: "Mozilla/5.0"},
		call{at: "10:00:00", user: "alice", name: "ConsoleLogin", signIn: "Failure", ip: "203.0.113.9", agent: "Mozilla/5.0"},
		call{at: "10:00:01", user: "alice", name: "ConsoleLogin", signIn: "Failure", ip: "203.0.113.9", agent: "Mozilla/5.0"},
		call{at: "11:00:00", user: "alice", name: "ConsoleLogin", signIn: "Failure", ip: "198.51.100.1", agent: "Mozilla/5.0"},
		call{at: "11:00:09", user: "alice", name: "ConsoleLogin", signIn: "Success", ip: "198.51.100.1", agent: "Mozilla/5.0"},
	)
	answers, err := teller.Who(t.Context(), story.Question{Subject: story.Recognise("ConsoleLogin")})
	if err != nil || len(answers.Answers) != 1 {
		t.Fatalf("%+v, %v", answers, err)
	}
	if a := &answers.Answers[0]; a.Certainty != lineage.Inferred || !strings.Contains(a.Reason, "not who typed it") || len(a.Chains) != 2 || a.Chains[0].Count != 3 || a.Chains[1].Certainty != lineage.Proven {
		t.Errorf("%s, %s: %+v", a.Certainty, a.Reason, a.Chains)
	}
	life, err := teller.Timeline(t.Context(), story.Life{Person: story.Person{Kind: event.KindIAMUser, Name: "alice", Account: "111122223333"}, Range: day})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range life.Sessions {
		got = append(got, s.Certainty)
	}
	if !slices.Equal(got, []string{lineage.Proven, lineage.Inferred, lineage.Proven}) {
		t.Errorf("the sessions are %v", got)
	}
}

// The users of two providers of one name, in two accounts, are two persons.
func TestProvidersOfOneName(t *testing.T) {
	a := story.PersonOf(event.KindSAMLUser, "ceo@example.com @ okta", "111122223333")
	b := story.PersonOf(event.KindSAMLUser, "ceo@example.com @ okta", "444455556666")
	if far := story.PersonOf(event.KindSAMLUser, "ceo@example.com @ okta @ 111122223333", "444455556666"); a == b || far != a {
		t.Errorf("%+v, %+v, from afar %+v", a, b, far)
	}
}

// What is new is told where the time before is known.
func TestNewThings(t *testing.T) {
	teller := tell(t,
		call{at: "01:00:00", user: "alice", name: "ListUsers", read: true, agent: "aws-cli/2"},
		call{at: "09:00:00", user: "alice", name: "ListUsers", read: true, agent: "aws-cli/2"},
		call{at: "09:01:00", user: "alice", name: "CreateUser", target: "eve", agent: "aws-cli/2"},
		call{at: "10:30:00", user: "alice", name: "ListUsers", read: true, agent: "Boto3/1", ip: "203.0.113.9"},
	)
	life := story.Life{Person: story.Person{Kind: event.KindIAMUser, Name: "alice", Account: "111122223333"},
		Range: story.Range{Since: day.Since.Add(8 * time.Hour)}, Covered: func(string, string) bool { return true }}
	got, err := teller.Timeline(t.Context(), life)
	if err != nil || len(got.Sessions) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	if s := got.Sessions[0]; len(s.New) != 0 || len(s.Entries[0].New) != 0 || !slices.Equal(s.Entries[1].New, []string{"call"}) {
		t.Errorf("the first session: %+v", s)
	}
	if s := got.Sessions[1]; !slices.Equal(s.New, []string{"address", "way"}) || len(s.Entries[0].New) != 0 {
		t.Errorf("the second session: %+v", s)
	}
	life.Covered = func(string, string) bool { return false }
	if got, err = teller.Timeline(t.Context(), life); err != nil || len(got.Sessions[1].New) != 0 {
		t.Errorf("nothing is known, and %v is new, %v", got.Sessions[1].New, err)
	}
}

// The ways of working, told by Go and by SQL, are the same.
func TestWays(t *testing.T) {
	agents := map[string]string{
		"aws-cli/2.31.18 md/awscrt": "CLI", "Boto3/1.40": "Python", "Mozilla/5.0 (X11)": "console", "console.amazonaws.com": "console",
		"APN/1.0 HashiCorp/1.0 Terraform/1.13.3 aws-sdk-go-v2/1": "Terraform", "aws-sdk-go-v2/1.39.2": "Go", "cloudformation.amazonaws.com": "CloudFormation",
		"aws-cli/2 exec-env/CloudShell": "CloudShell", "Boto3/1 awslabs/mcp/aws-api-mcp-server": "assistant", "AWS Internal": "AWS", "it's": "other",
		"EC2ConsoleFrontend, aws-internal/3 aws-sdk-java": "console", "Boto3/1 exec-env/AWS_Lambda_python3.13": "Lambda function", "": "other",
	}
	var calls []call
	var order []string
	for agent := range agents {
		calls = append(calls, call{at: fmt.Sprintf("%02d:00:00", 2*len(calls)%24), user: fmt.Sprintf("u%d", len(calls)), name: "ListUsers", read: true, agent: agent})
		order = append(order, agent)
	}
	teller := tell(t, calls...)
	for i, agent := range order {
		if got := story.WayOf(agent, false, false); got != agents[agent] {
			t.Errorf("%q is %s, want %s", agent, got, agents[agent])
		}
		life, err := teller.Timeline(t.Context(), story.Life{Person: story.Person{Kind: event.KindIAMUser, Name: fmt.Sprintf("u%d", i), Account: "111122223333"}, Range: day})
		if err != nil || len(life.Sessions) != 1 || life.Sessions[0].Way != agents[agent] {
			t.Errorf("%q is %+v in SQL, %v", agent, life.Sessions, err)
		}
	}
	if got := story.WayOf("aws-cli/2", true, true); got != "aws login" {
		t.Errorf("a CLI with a key of a sign-in is %s", got)
	}
}
