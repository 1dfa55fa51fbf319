package rule

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/valyala/fastjson"
)

func TestPolicyForms(t *testing.T) {
	const doc = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["a:b+c","X:Y"],"Resource":"*"}]}`
	want := []string{"a:b+c", "x:y"}
	once := url.PathEscape(doc)
	for name, text := range map[string]string{
		"plain":                  doc,
		"white space":            " \n" + doc + "\t",
		"encoded":                once,
		"encoded twice":          url.PathEscape(once),
		"plus stays plus":        strings.ReplaceAll(doc, `"*"`, `"%2A"`),
		"statement as an object": strings.NewReplacer("[{", "{", "}]", "}").Replace(doc),
		"element names in any case": strings.NewReplacer("Statement", "STATEMENT", "Effect", "effect",
			"Action", "aCTION").Replace(doc),
	} {
		p, err := parsePolicyText(text)
		if err != nil || len(p.statements) != 1 || !slices.Equal(p.statements[0].actions, want) || !p.statements[0].allow {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		quoted, _ := json.Marshal(text)
		if p, err := parsePolicy(fastjson.MustParseBytes(quoted)); err != nil || len(p.statements) != 1 {
			t.Errorf("%s, as a string: %v", name, err)
		}
	}
	if p, err := parsePolicy(fastjson.MustParse(doc)); err != nil || len(p.statements) != 1 {
		t.Errorf("as an object: %v", err)
	}
	p, err := parsePolicyText(`{"Statement":{"Effect":"allow","Action":"*","Resource":"*"}}`)
	if err != nil || p.statements[0].allow || !p.deny {
		t.Errorf("Effect is exact: %+v, %v", p, err)
	}
}

func TestPolicyCannotBeRead(t *testing.T) {
	const doc = `{"Statement":[]}`
	for name, c := range map[string]struct {
		json string
		want error
	}{
		"absent":                 {`null`, errPolicyAbsent},
		"empty":                  {`""`, errPolicyAbsent},
		"hidden":                 {`"HIDDEN_DUE_TO_SECURITY_REASONS"`, errPolicyHidden},
		"a number":               {`7`, errPolicyForm},
		"a list":                 {`[]`, errPolicyForm},
		"not JSON":               {`"{"`, errPolicyForm},
		"JSON but no object":     {`"[1]"`, errPolicyForm},
		"no statement":           {`"{}"`, errPolicyForm},
		"a statement is a word":  {`{"Statement":["x"]}`, errPolicyForm},
		"a bad escape":           {`"%7B%zz"`, errPolicyForm},
		"encoded thrice":         {`"` + url.PathEscape(url.PathEscape(url.PathEscape(doc))) + `"`, errPolicyForm},
		"too large":              {`"` + strings.Repeat(" ", maxPolicyBytes) + `{}"`, errPolicySize},
		"nested beyond measure":  {`"` + strings.Repeat("[", 5000) + `"`, errPolicyForm},
		"text behind the object": {`"{} {}"`, errPolicyForm},
	} {
		if _, err := parsePolicy(fastjson.MustParse(c.json)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := parsePolicy(nil); !errors.Is(err, errPolicyAbsent) {
		t.Error(err)
	}
}

func TestDangerous(t *testing.T) {
	const account = "111122223333"
	st := func(fields string) string { return `{"Statement":{"Effect":"Allow",` + fields + `}}` }
	for _, c := range []struct {
		name, doc string
		want      Severity // Info: not dangerous
		all       bool
	}{
		{"everything", st(`"Action":"*","Resource":"*"`), Critical, true},
		{"everything, spelt out", st(`"Action":"*:*","Resource":["arn:*"]`), Critical, true},
		{"everything, many stars", st(`"Action":"**","Resource":"**"`), Critical, true},
		{"everything, with question marks", st(`"Action":"?*:*","Resource":"*"`), Critical, true},
		{"everything on one bucket", st(`"Action":"*","Resource":["arn:aws:s3:::b","arn:aws:s3:::b/*"]`), Info, false},
		{"everything on all of iam", st(`"Action":"*","Resource":"arn:aws:iam::*:*"`), Critical, false},
		{"NotResource is nearly everything", st(`"Action":"*","NotResource":"arn:aws:s3:::b"`), Critical, true},
		{"NotAction", st(`"NotAction":["iam:*","organizations:*"],"Resource":"*"`), Critical, true},
		{"NotAction star allows nothing", st(`"NotAction":"*","Resource":"*"`), Info, false},
		{"NotAction on one bucket", st(`"NotAction":"s3:DeleteBucket","Resource":"arn:aws:s3:::b"`), Info, false},
		{"iam", st(`"Action":"iam:*","Resource":"*"`), Critical, false},
		{"iam with a question mark", st(`"Action":"i?m:*","Resource":"*"`), Critical, false},
		{"organizations", st(`"Action":"organizations:*","Resource":"*"`), Critical, false},
		{"sso family", st(`"Action":["identitystore:*"],"Resource":"*"`), Critical, false},
		{"sts", st(`"Action":"sts:*","Resource":"*"`), High, false},
		{"iam on one user", st(`"Action":"iam:*","Resource":"arn:aws:iam::111122223333:user/bob"`), High, false},
		{"iam on a bucket is nothing", st(`"Action":"iam:*","Resource":"arn:aws:s3:::b"`), Info, false},
		{"assume any role", st(`"Action":"sts:AssumeRole","Resource":"*"`), High, false},
		{"assume any role of the account", st(`"Action":"sts:AssumeRole","Resource":"arn:aws:iam::111122223333:role/*"`), High, false},
		{"assume one role everywhere", st(`"Action":"sts:AssumeRole","Resource":"arn:aws:iam::*:role/audit"`), Info, false},
		{"users of a path", st(`"Action":"iam:CreateAccessKey","Resource":"arn:aws:iam::111122223333:user/bots/*"`), Info, false},
		{"oneself", st(`"Action":"iam:CreateAccessKey","Resource":"arn:aws:iam::*:user/${aws:username}"`), Info, false},
		{"permission sets", st(`"Action":"sso:CreateAccountAssignment","Resource":"*"`), High, false},
		{"reading iam", st(`"Action":["iam:Get*","iam:List*"],"Resource":"*"`), Info, false},
		{"a service of a similar name", st(`"Action":"iamx:*","Resource":"*"`), Info, false},
		{"with a condition", st(`"Action":"iam:PassRole","Resource":"*","Condition":{"StringEquals":{"iam:PassedToService":"ec2.amazonaws.com"}}`), Medium, false},
		{"deny", `{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`, Info, false},
		{"the worst statement counts", `{"Statement":[{"Effect":"Allow","Action":"sts:*","Resource":"*"},{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Allow","Action":"iam:PassRole","Resource":"*"}]}`, Critical, true},
		{"no statement", `{"Statement":[]}`, Info, false},
	} {
		p, err := parsePolicyText(c.doc)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		d, bad := p.dangerous(account)
		if bad != (c.want != Info) || d.severity != c.want || d.all != c.all {
			t.Errorf("%s: %v %+v, want %v all=%v", c.name, bad, d, c.want, c.all)
		}
		if bad && len(d.actions) == 0 {
			t.Errorf("%s: no action is named", c.name)
		}
	}
	p, _ := parsePolicyText(`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"s3:*","Resource":"*"}]}`)
	if d, _ := p.dangerous(account); !strings.Contains(d.text(), "Deny") {
		t.Errorf("the deny is not noted: %s", d.text())
	}
}

func FuzzPolicy(f *testing.F) {
	for _, s := range []string{
		`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`,
		`%7B%22Statement%22%3A%5B%5D%7D`, `%257B%2522Statement%2522%253A%255B%255D%257D`,
		`{"Statement":[{"Effect":"Allow","NotAction":["a:b"],"NotResource":"x","Principal":{"AWS":["*"],"Service":"s"},"Condition":{"Bool":{"k":[true,1]}}}]}`,
		`{"Statement":[{"Effect":"Allow","Principal":"*","NotPrincipal":{"AWS":"123456789012"},"Action":"sts:*"}]}`,
		`{"statement":{"effect":"Allow","action":7,"condition":[]}}`, "HIDDEN_DUE_TO_SECURITY_REASONS", "", "%", "{",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePolicyText(text)
		if err != nil {
			if len(p.statements) != 0 {
				t.Error("an error and a policy")
			}
			return
		}
		d, bad := p.dangerous("111122223333")
		if bad != (d.severity > Info) || bad && len(d.actions) == 0 || len(d.actions) > maxReasons {
			t.Errorf("%v %+v", bad, d)
		}
		if !utf8.ValidString(strings.ToValidUTF8(d.text(), "")) || len(d.text()) > 100*pieceRunes*4 {
			t.Errorf("text of %d bytes", len(d.text()))
		}
		for i := range p.statements {
			s := &p.statements[i]
			s.judgeConditions()
			s.assumable()
			for _, pr := range s.principals {
				if account, ok := pr.account(); ok && account == "" {
					t.Errorf("%+v: an account without a name", pr)
				}
			}
		}
		// Encoding once more changes nothing, as long as it is at most twice.
		if !strings.Contains(text, "%") {
			again, err := parsePolicyText(url.PathEscape(text))
			if len(url.PathEscape(text)) <= maxPolicyBytes && (err != nil || len(again.statements) != len(p.statements)) {
				t.Errorf("encoded: %v", err)
			}
		}
	})
}

func TestClip(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"äöüß", 4, "äöüß"}, {"äöüßx", 4, "äöü…"}, {"", 3, ""}} {
		if got := clip(c.in, c.n); got != c.want {
			t.Errorf("clip(%q, %d) = %q, want %q", c.in, c.n, got, c.want)
		}
	}
}

func TestDurations(t *testing.T) {
	for in, want := range map[string]string{
		"PT8H": "8h0m0s", "pt1h30m": "1h30m0s", "P1D": "24h0m0s", "P1DT1S": "24h0m1s", "PT480M": "8h0m0s",
		"": "no", "P": "no", "PT": "no", "8H": "no", "PTH": "no", "P1H": "no", "PT1D": "no", "PT1": "no", "PT99999H": "no", "PT-1H": "no",
	} {
		got := "no"
		if d, ok := isoDuration(in); ok {
			got = d.String()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestWindows(t *testing.T) {
	const t0 = int64(1717243200000) // 2024-06-01 12:00 UTC
	for _, c := range []struct {
		w     window
		want  int
		first string
		last  string
	}{{dayWindow, 2, "2024-06-01", "2024-06-02"}, {monthWindow, 37, "2024-06", "2027-06"}, {yearWindow, 3, "2024", "2026"}} {
		got := c.w.periods(t0)
		if len(got) != c.want || got[0] != c.first || got[len(got)-1] != c.last || got[0] != c.w.period(t0) {
			t.Errorf("%+v: %v", c.w, got)
		}
	}
	// Leap days and the ends of time do not run away.
	for _, ms := range []int64{951782400000, 0, -1, 253402300799000} {
		for _, w := range []window{dayWindow, monthWindow, yearWindow} {
			if n := len(w.periods(ms)); n < 2 || n > 38 {
				t.Errorf("%d: %d periods", ms, n)
			}
		}
	}
}

func TestOneFailingRuleDoesNotStopTheOthers(t *testing.T) {
	saved := logic[idUserCreated]
	logic[idUserCreated] = func(*view) []match { panic("fault") }
	defer func() { logic[idUserCreated] = saved }()
	en, err := NewEngine(Config{OffHours: OffHoursConfig{Start: "0", End: "24"}})
	if err != nil {
		t.Fatal(err)
	}
	e := testEvent("CreateUser", `{"userName":"bob"}`)
	facts := en.Evaluate(&e)
	if len(facts) != 2 || facts[0].Rule != idUserCreated || facts[0].Severity != Medium || facts[1].Rule != idOffHours {
		t.Fatalf("%+v", facts)
	}
	if as := en.Settle(facts[:1]); len(as) != 1 || !strings.Contains(as[0].Detail, "failed") {
		t.Errorf("%+v", as)
	}
}
