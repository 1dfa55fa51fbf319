package event

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRejected(t *testing.T) {
	for _, c := range []struct{ in, reason string }{
		{`[]`, "not a CloudTrail record: not an object"},
		{`"x"`, "not a CloudTrail record: not an object"},
		{`{}`, "not a CloudTrail record: no eventName, eventSource or eventTime"},
		{`{"eventname":"x","eventtime":"2026-05-04T09:12:44Z"}`, "not a CloudTrail record: no eventName, eventSource or eventTime"},
		{`{"eventName":"x"}`, "no eventTime"},
		{`{"eventName":"x","eventTime":null}`, "eventTime is not a string: null"},
		{`{"eventName":"x","eventTime":1700000000}`, "eventTime is not a string: 1700000000"},
		{`{"eventName":"x","eventTime":"redacted"}`, `eventTime is not a time: "redacted"`},
		{`{"eventName":"x","eventTime":"password=hunter2"}`, `eventTime is not a time: "password=REDACTED"`},
		{`{"eventName":"x","eventTime":"\u001b[31m"}`, `eventTime is not a time: "\x1b[31m"`},
		{`{"eventID":7,"eventTime":"2026-05-04T09:12:44Z"}`, "eventID is not a string: 7"},
		{`{"eventID":{"password":"x"},"eventTime":"2026-05-04T09:12:44Z"}`, `eventID is not a string: {"password":"REDACTED"}`},
		{`{"eventName":"x"`, "malformed JSON at byte 16: expected , or }"},
		{`{"@timestamp":"2026-05-04T09:12:44Z","eventName":"x"}`, "no eventTime"},
		{`{"detail":{"detail":{"detail":{"detail":{"eventName":"x"}}}}}`, "not a CloudTrail record: no eventName, eventSource or eventTime"},
		{`{"detail":"x","CloudTrailEvent":7}`, "not a CloudTrail record: no eventName, eventSource or eventTime"},
		{`{"CloudTrailEvent":"{"}`, "malformed JSON at byte 1: expected a key"},
		{strings.Repeat(" ", MaxRecord+1), "larger than 4194304 bytes"},
	} {
		_, err := NewParser().Parse([]byte(c.in))
		rejected, ok := err.(*RejectError)
		if !ok || rejected.Reason != c.reason {
			t.Errorf("%.80s: got %v, want %s", c.in, err, c.reason)
		}
	}
}

// TestEnvelopes: however a record is wrapped, it is the same event.
func TestEnvelopes(t *testing.T) {
	for i, form := range typical {
		rec := fmt.Sprintf(form, i)
		want := parse(t, rec)
		for name, raw := range map[string]string{
			"LookupEvents":                `{"EventId":"x","EventTime":1700000000.5,"ReadOnly":"true","Username":"u","CloudTrailEvent":` + jsonString(rec) + `}`,
			"LookupEvents, parsed":        `{"EventId":"x","CloudTrailEvent":` + rec + `}`,
			"EventBridge":                 `{"version":"0","id":"y","detail-type":"AWS API Call via CloudTrail","source":"aws.iam","account":"1","time":"2020-01-01T00:00:00Z","region":"x","resources":[],"detail":` + rec + `}`,
			"EventBridge, sign-in":        `{"detail-type":"AWS Console Signin via CloudTrail","detail":` + rec + `}`,
			"EventBridge, older sign-in":  `{"detail-type":"AWS Console Sign In via CloudTrail","detail":` + rec + `}`,
			"EventBridge, service event":  `{"detail-type":"AWS Service Event via CloudTrail","detail":` + rec + `}`,
			"Logstash":                    `{"@timestamp":"2020-01-01T00:00:00Z","@version":"1",` + rec[1:],
			"LookupEvents in EventBridge": `{"detail":{"CloudTrailEvent":` + jsonString(rec) + `}}`,
			"white space":                 " \n" + rec + "\t",
		} {
			got, err := NewParser().Parse([]byte(raw))
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if d := diff(&got, &want); d != "" {
				t.Errorf("%s: %s", name, d)
			}
		}
	}
	// What the wrapped text can't say in UTF-8 is the record's.
	e := parse(t, `{"CloudTrailEvent":"{\"eventTime\":\"2026-05-04T09:12:44Z\",\"userAgent\":\"`+"\xff"+`\\ud83d\\ude00\"}"}`)
	if e.UserAgent != "\uFFFD😀" || !strings.Contains(e.Rest, `"iamtrack:invalid_utf8":1`) {
		t.Errorf("got %q, %s", e.UserAgent, e.Rest)
	}
}

func TestHashAndDerivedID(t *testing.T) {
	e := parse(t, `{ "eventTime" : "2026-05-04T09:12:44Z", "eventName": "X", "password": "p" }`)
	sum := sha256.Sum256([]byte(`{"eventName":"X","eventTime":"2026-05-04T09:12:44Z","password":"REDACTED"}`))
	if e.RecordHash != int64(binary.BigEndian.Uint64(sum[:8])) {
		t.Errorf("hash %x", uint64(e.RecordHash))
	}
	if want := "derived-" + hex.EncodeToString(sum[:])[:32]; e.EventID != want {
		t.Errorf("id %s, want %s", e.EventID, want)
	}
}

// TestParserKeepsNothing: events stay as they are while the parser goes on.
func TestParserKeepsNothing(t *testing.T) {
	p := NewParser()
	var events, want []Event
	for i := range 200 {
		raw := fmt.Appendf(nil, typical[i%len(typical)], i)
		e, err := p.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
		want = append(want, parse(t, string(raw)))
		clear(raw)
	}
	for i := range events {
		if d := diff(&events[i], &want[i]); d != "" {
			t.Fatalf("event %d: %s", i, d)
		}
	}
}

func TestTime(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"2026-05-04T09:12:44Z", "2026-05-04T09:12:44Z"},
		{"2026-05-04t09:12:44z", "2026-05-04T09:12:44Z"},
		{"2026-05-04T09:12:44.5Z", "2026-05-04T09:12:44.5Z"},
		{"2026-05-04T09:12:44.123999Z", "2026-05-04T09:12:44.123Z"},
		{"2026-05-04T01:12:44+02:00", "2026-05-03T23:12:44Z"},
		{"2026-05-04T23:12:44-02:30", "2026-05-05T01:42:44Z"},
		{"2022-11-21 18:06:52", "2022-11-21T18:06:52Z"},
		{"2025-01-20 16:52:14.000000000", "2025-01-20T16:52:14Z"},
		{"2025-01-20 16:52:14+01:00", "2025-01-20T15:52:14Z"},
		{"2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"},
		{"2000-02-29T00:00:00Z", "2000-02-29T00:00:00Z"},
		{"0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"},
		{"9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"},
	} {
		ms, ok := parseTime(c.in)
		if got := time.UnixMilli(ms).UTC().Format(time.RFC3339Nano); !ok || got != c.want {
			t.Errorf("%s: got %s, %v; want %s", c.in, got, ok, c.want)
		}
	}
	for _, in := range []string{
		"", "redacted", "2026-05-04", "2026-05-04T09:12Z", "2026-05-04T09:12:44", "2026-13-04T09:12:44Z", "2026-02-29T09:12:44Z", "1900-02-29T09:12:44Z",
		"2026-05-04T24:00:00Z", "2026-05-04T09:60:44Z", "2026-05-04T09:12:60Z", "2026-05-04T09:12:44.Z", "2026-05-04T09:12:44+0200", "2026-05-04T09:12:44+24:00",
		"2026-05-04T09:12:44Zx", "2026/05/04 09:12:44", "20260504T091244Z", "2026-05-04T09:12:44+02:00:00", " 2026-05-04T09:12:44Z", "2026-00-04T09:12:44Z",
		"2026-05-00T09:12:44Z", "0000-01-01T00:00:00+01:00", "9999-12-31T23:59:59-00:01", "1700000000", "2026-05-04T-9:12:44Z",
	} {
		if ms, ok := parseTime(in); ok {
			t.Errorf("%s: got %s", in, time.UnixMilli(ms).UTC())
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.Int64Range(minSecond*1000, maxSecond*1000+999).Draw(t, "ms")
		in := time.UnixMilli(ms).UTC()
		for _, text := range []string{in.Format(time.RFC3339Nano), in.In(time.FixedZone("", rapid.IntRange(-1439, 1439).Draw(t, "zone")*60)).Format(time.RFC3339Nano)} {
			if !strings.HasPrefix(text, "-") && len(text) < 40 && text[4] == '-' {
				got, ok := parseTime(text)
				if !ok || got != ms {
					t.Fatalf("%s: got %d, %v; want %d", text, got, ok, ms)
				}
			}
		}
	})
}

func TestColumns(t *testing.T) {
	if len(columns) != NumColumns {
		t.Fatalf("%d columns, want %d", len(columns), NumColumns)
	}
	// The columns are the fields, in order, and event_date behind event_time.
	typ := reflect.TypeOf(Event{})
	var want []string
	for i := range typ.NumField() {
		name, _, _ := strings.Cut(typ.Field(i).Tag.Get("parquet"), ",")
		if want = append(want, name); name == "event_time" {
			want = append(want, "event_date")
		}
	}
	var got []string
	for _, c := range Columns() {
		got = append(got, c.Name)
		if c.Type == "" || c.Description == "" {
			t.Errorf("%s isn't described", c.Name)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	// Value returns each field's value.
	yes := true
	e := Event{}
	v := reflect.ValueOf(&e).Elem()
	for i := range typ.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString(typ.Field(i).Name)
		case reflect.Int64:
			f.SetInt(int64(i) * 1e12)
		case reflect.Pointer:
			f.Set(reflect.ValueOf(&yes))
		}
	}
	at := 0
	for i := range typ.NumField() {
		f := reflect.Indirect(v.Field(i)).Interface()
		if got := e.Value(at); got != f {
			t.Errorf("%s: got %v, want %v", columns[at].Name, got, f)
		}
		if at++; columns[at-1].Name == "event_time" {
			if e.Value(at) != e.Date() {
				t.Errorf("event_date: got %v", e.Value(at))
			}
			at++
		}
	}
	e = Event{}
	for i, c := range columns {
		switch c.Name {
		case "event_time", "event_date", "account_id", "record_hash":
		default:
			if e.Value(i) != nil {
				t.Errorf("%s of an empty event: %#v", c.Name, e.Value(i))
			}
		}
	}
}
