package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// parse parses one record, which must succeed.
func parse(t testing.TB, raw string) Event {
	t.Helper()
	e, err := NewParser().Parse([]byte(raw))
	if err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	return e
}

func TestRest(t *testing.T) {
	const at = `"eventTime":"2026-05-04T09:12:44Z"`
	for _, c := range []struct{ name, in, rest string }{
		{"all in columns", `{"eventID":"a",` + at + `,"userIdentity":{"type":"Root"},"readOnly":true}`, ``},
		{"no event id", `{` + at + `}`, `{"iamtrack:absent":["eventID"]}`},
		{"a null event id", `{"eventID":null,` + at + `}`, `{"eventID":null}`},
		{"an empty event id", `{"eventID":"",` + at + `}`, `{"eventID":""}`},
		{"an account of the identity's", `{"eventID":"a",` + at + `,"userIdentity":{"accountId":"001"},"zone":1,"apiVersion":2}`,
			`{"apiVersion":2,"iamtrack:absent":["recipientAccountId"],"zone":1}`},
		{"a null account", `{"eventID":"a",` + at + `,"recipientAccountId":null,"userIdentity":{"accountId":"001"}}`, `{"recipientAccountId":null}`},
		{"nulls", `{"eventID":"a",` + at + `,"responseElements":null,"errorCode":null,"readOnly":null,"userIdentity":null}`,
			`{"errorCode":null,"readOnly":null,"responseElements":null,"userIdentity":null}`},
		{"wrong types", `{"eventID":"a",` + at + `,"awsRegion":7,"readOnly":"true","userIdentity":"me","errorCode":["x"],"eventName":{}}`,
			`{"awsRegion":7,"errorCode":["x"],"eventName":{},"readOnly":"true","userIdentity":"me"}`},
		{"another spelling of the time", `{"eventID":"a","eventTime":"2026-05-04T11:12:44.250+02:00"}`, `{"eventTime":"2026-05-04T11:12:44.250+02:00"}`},
		{"no fields of the identity", `{"eventID":"a",` + at + `,"userIdentity":{}}`, `{"userIdentity":{}}`},
		{"a part of the identity", `{"eventID":"a",` + at + `,"userIdentity":{"type":"IAMUser","zz":1,"arn":null,"":0}}`, `{"userIdentity":{"":0,"arn":null,"zz":1}}`},
		{"a role session's user name", `{"eventID":"a",` + at + `,"userIdentity":{"type":"AssumedRole","userName":"x"}}`, `{"userIdentity":{"userName":"x"}}`},
		{"our key", `{"eventID":"a",` + at + `,"iamtrack:absent":["eventTime"]}`,
			`{"iamtrack:record":{` + `"eventID":"a",` + at + `,"iamtrack:absent":["eventTime"]}}`},
		{"our other key", `{"eventID":"a",` + at + `,"iamtrack:record":{}}`, `{"iamtrack:record":{"eventID":"a",` + at + `,"iamtrack:record":{}}}`},
		{"not UTF-8", `{"eventID":"a",` + at + `,"userAgent":"` + "\xff\xfe" + `\ud800","b":{"` + "\xff" + `":1}}`,
			`{"b":{"` + "\uFFFD" + `":1},"iamtrack:invalid_utf8":4}`},
		{"shippers' keys", `{"@timestamp":"x","@version":"1","eventID":"a",` + at + `,"host":"h"}`, `{"host":"h"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := parse(t, c.in)
			if e.Rest != c.rest {
				t.Errorf("got %s, want %s", e.Rest, c.rest)
			}
			reassembles(t, NewParser(), []byte(c.in), &e)
		})
	}
}

func TestDamagedRest(t *testing.T) {
	for _, rest := range []string{`{`, `{"a"}`, `{"a":}`, `{"a":1`, `x`, `{"a":1}x`, `{"userIdentity":{"a"}}`, `[]`} {
		e := Event{EventID: "x", Rest: rest, IdentityType: "Root"}
		if rec, err := e.Record(); err == nil {
			t.Errorf("%s: got %s", rest, rec)
		}
	}
}

// value draws any JSON value.
func value(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		kinds := 8
		if depth <= 0 {
			kinds = 6
		}
		switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
		case 0:
			return "null"
		case 1:
			return rapid.SampledFrom([]string{"true", "false"}).Draw(t, "bool")
		case 2:
			return rapid.SampledFrom([]string{"0", "-1.50", "1e9", "123456789012"}).Draw(t, "number")
		case 3, 4, 5:
			return jsonString(rapid.OneOf(rapid.String(), rapid.SampledFrom(words)).Draw(t, "string"))
		case 6:
			return "[" + strings.Join(rapid.SliceOfN(value(depth-1), 0, 3).Draw(t, "list"), ",") + "]"
		}
		var ms []string
		for range rapid.IntRange(0, 4).Draw(t, "members") {
			key := rapid.OneOf(rapid.SampledFrom(fieldNames[1:]), rapid.SampledFrom(words), rapid.String()).Draw(t, "key")
			ms = append(ms, jsonString(key)+":"+value(depth-1).Draw(t, "value"))
		}
		return "{" + strings.Join(ms, ",") + "}"
	})
}

var words = []string{
	"", "Root", "IAMUser", "AssumedRole", "arn:aws:sts::111122223333:assumed-role/r/s", "arn:aws:iam::111122223333:user/u",
	"2026-05-04T09:12:44Z", "2026-05-04 09:12:44", "AROA:s", "111122223333", "iam.amazonaws.com", "CreateUser", "signin.amazonaws.com",
	"ConsoleLogin", "Failure", "AccessDenied", "userName", "zz", "a\"b\\c", "é\u0000\u2028", "policyArn",
}

func jsonString(s string) string { return string(appendQuoted(nil, strings.ToValidUTF8(s, "?"))) }

// record draws something like a CloudTrail record: its keys, any values,
// duplicates, and always a time.
func record() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		var ms []string
		for range rapid.IntRange(0, 12).Draw(t, "members") {
			key := rapid.OneOf(rapid.SampledFrom(fieldNames[1:fUserName+1]), rapid.SampledFrom(words),
				rapid.SampledFrom([]string{keyAbsent, keyWhole, keyInvalidUTF8}), rapid.String()).Draw(t, "key")
			v := value(3)
			if key == "userIdentity" {
				v = rapid.OneOf(v, identity())
			}
			ms = append(ms, jsonString(key)+":"+v.Draw(t, "value"))
		}
		ms = append(ms, `"eventTime":`+jsonString(rapid.SampledFrom([]string{
			"2026-05-04T09:12:44Z", "2026-05-04T09:12:44.5Z", "2026-05-04 09:12:44", "0000-01-01T00:00:00Z", "1969-12-31T23:59:59.999-05:00",
		}).Draw(t, "time")))
		return "{" + strings.Join(ms, ",") + "}"
	})
}

func identity() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		var ms []string
		for range rapid.IntRange(0, 9).Draw(t, "members") {
			key := rapid.SampledFrom(fieldNames[fAccessKeyID:fServiceEventDetails+1]).Draw(t, "key")
			ms = append(ms, jsonString(key)+":"+value(2).Draw(t, "value"))
		}
		return "{" + strings.Join(ms, ",") + "}"
	})
}

// TestReassembly: whatever a record is, its columns give it back.
func TestReassembly(t *testing.T) {
	p, again := NewParser(), NewParser()
	rapid.Check(t, func(rt *rapid.T) {
		raw := []byte(record().Draw(rt, "record"))
		e, err := p.Parse(raw)
		if err != nil {
			if strings.Contains(err.Error(), "eventID is not a string") {
				return
			}
			rt.Fatalf("%v\n%s", err, raw)
		}
		reassembles(t, again, raw, &e)
		// Without credentials and shippers' keys nothing is changed at all.
		want, err := Canonical(raw)
		if err != nil {
			rt.Fatal(err)
		}
		if got, _ := e.Record(); !bytes.Contains(raw, []byte("@")) && !bytes.Contains(got, []byte(redacted)) && !bytes.Equal(got, want) {
			rt.Fatalf("got\n%s\nwant\n%s", got, want)
		}
	})
}

// TestWrongTypes puts every type into every field: nothing is lost, nothing
// panics.
func TestWrongTypes(t *testing.T) {
	p, again := NewParser(), NewParser()
	for f := fNone + 1; f < numFields; f++ {
		for _, v := range []string{`null`, `true`, `12`, `"x"`, `""`, `[]`, `["x"]`, `{}`, `{"x":"y"}`, `"\u0000"`, `{"type":5,"sessionContext":[{}],"onBehalfOf":"x"}`} {
			for _, form := range []string{
				`{"eventName":"CreateUser","eventSource":"iam.amazonaws.com","eventTime":"2026-05-04T09:12:44Z",%q:%s}`,
				`{"eventName":"ConsoleLogin","eventSource":"signin.amazonaws.com","eventTime":"2026-05-04T09:12:44Z","userIdentity":{"type":"AssumedRole",%q:%s}}`,
				`{"eventName":"AssumeRole","eventSource":"sts.amazonaws.com","eventTime":"2026-05-04T09:12:44Z","userIdentity":{"type":"AssumedRole","sessionContext":{%q:%s}}}`,
				`{"eventName":"AssumeRole","eventSource":"sts.amazonaws.com","eventTime":"2026-05-04T09:12:44Z","responseElements":{"credentials":{%q:%s}}}`,
			} {
				raw := fmt.Appendf(nil, form, fieldNames[f], v)
				e, err := p.Parse(raw)
				if err != nil {
					if f == fEventTime || f == fEventID && v != `null` {
						continue // refused, as documented
					}
					t.Errorf("%v\n%s", err, raw)
					continue
				}
				reassembles(t, again, raw, &e)
			}
		}
	}
}

// FuzzParse: no input panics; what is accepted can be reassembled and is stable.
func FuzzParse(f *testing.F) {
	for i, s := range typical {
		f.Add(fmt.Appendf(nil, s, i))
	}
	for _, s := range []string{
		`{"eventTime":"2026-05-04T09:12:44Z"}`, `{"eventTime":"x"}`, `[]`, `{}`, `{"CloudTrailEvent":"{\"eventTime\":\"2026-05-04T09:12:44Z\"}"}`,
		`{"detail":{"eventName":"x","eventTime":"2026-05-04 09:12:44.000000000"}}`,
		`{"eventTime":"2026-05-04T09:12:44Z","iamtrack:absent":1,"x":"\ud800","password":"hunter2","token":["a"]}`,
		`{"eventTime":"2026-05-04T09:12:44Z","a":"SessionToken=abc&password: \"x\\\"y\" <Password>z</Password>"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		// A parser that remembers would make equal inputs take different paths,
		// which misleads the fuzzer.
		p, again := NewParser(), NewParser()
		e, err := p.Parse(raw)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x1b\x00") {
				t.Fatalf("control characters in %q", err)
			}
			return
		}
		reassembles(t, again, raw, &e)
		for _, s := range []string{e.RequestParameters, e.ResponseElements, e.AdditionalEventData, e.Resources, e.Rest} {
			if s != "" && !json.Valid([]byte(s)) {
				t.Fatalf("no JSON: %s", s)
			}
		}
	})
}
