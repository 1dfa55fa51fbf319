package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/rule"
)

// fill sets every field of a struct to a value of its own.
func fill(t *testing.T, v any) {
	t.Helper()
	s := reflect.ValueOf(v).Elem()
	for i := range s.NumField() {
		switch f := s.Field(i); f.Interface().(type) {
		case string:
			f.SetString(fmt.Sprintf("value %d", i))
		case int64, int:
			f.SetInt(int64(-1000 - i))
		case *bool:
			b := i%2 == 0
			f.Set(reflect.ValueOf(&b))
		case bool:
			f.SetBool(false) // the store's own, not in a blob
		case rule.Severity:
			f.SetInt(3)
		case event.Version:
			f.Set(reflect.ValueOf(event.Version{Major: 1, Minor: 11, Hash: 1 << 63}))
		case []string:
			f.Set(reflect.ValueOf([]string{"", "b", "a"}))
		case map[string]string:
			f.Set(reflect.ValueOf(map[string]string{"k": "v", "": "\xff"}))
		case []rule.EventRef:
			f.Set(reflect.ValueOf([]rule.EventRef{{EventID: "a", EventTime: -5, EventName: "b"}, {}}))
		default:
			t.Fatalf("field %s of %T has a type that this test doesn't know", s.Type().Field(i).Name, v)
		}
	}
}

// A field that is added to event.Event and not to the codec fails here.
func TestEventCodecKeepsEveryField(t *testing.T) {
	var full event.Event
	fill(t, &full)
	yes, no := true, false
	for _, e := range []event.Event{full, {}, {MFA: &yes}, {MFA: &no}, {ReadOnly: &yes}, {ReadOnly: &no, MFA: &yes},
		{Rest: "\x00\xff"}, {Rest: strings.Repeat("ab", 1<<20), RequestParameters: strings.Repeat("x", 300)}} {
		blob, scratch := encodeEvent([]byte("before"), nil, &e)
		if !strings.HasPrefix(string(blob), "before") {
			t.Fatal("the blob was not appended")
		}
		got, _, err := decodeEvent(blob[len("before"):], scratch)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(e, got); d != "" {
			t.Fatalf("(-in +out):\n%s", d)
		}
	}
}

// Scratch space that is used again must not show in events decoded before.
func TestEventCodecScratchIsNotShared(t *testing.T) {
	a, b := event.Event{Rest: "first"}, event.Event{Rest: "other"}
	var blobs [2][]byte
	var scratch []byte
	blobs[0], scratch = encodeEvent(nil, scratch, &a)
	blobs[1], scratch = encodeEvent(nil, scratch, &b)
	one, scratch, err := decodeEvent(blobs[0], scratch)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := decodeEvent(blobs[1], scratch); err != nil {
		t.Fatal(err)
	}
	if one.Rest != "first" {
		t.Fatalf("the first event became %q", one.Rest)
	}
}

// Stored blobs of format 1 must be read for ever.
func TestEventFormat1IsFixed(t *testing.T) {
	sum := sha256.Sum256(dictionary1)
	if got := hex.EncodeToString(sum[:8]); got != "1d06b27e36946dba" {
		t.Errorf("the dictionary of format 1 changed: %s", got)
	}
	yes := true
	want := event.Event{EventID: "e", EventTime: 1_700_000_000_000, AccountID: "123456789012", EventSource: "iam.amazonaws.com",
		MFA: &yes, Rest: `{"eventCategory":"Management"}`, RecordHash: -2}
	blob, err := hex.DecodeString("016e4480a0abfef962feffffffffffffff0201650c2e8d0004001142f50500006a0100001e613c1500100c227d0000")
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := decodeEvent(blob, nil)
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Fatalf("error %v (-want +got):\n%s", err, d)
	}
}

func TestEventCodecErrors(t *testing.T) {
	e := event.Event{EventID: "a", Rest: strings.Repeat("xyz", 100)}
	blob, _ := encodeEvent(nil, nil, &e)
	for n := range blob {
		if _, _, err := decodeEvent(blob[:n], nil); err == nil {
			t.Fatalf("%d of %d bytes were enough", n, len(blob))
		}
	}
	blob[0] = 2
	if _, _, err := decodeEvent(blob, nil); !errors.Is(err, ErrNewer) {
		t.Fatalf("format 2: %v", err)
	}
	huge := []byte{eventFormat, 0xff, 0xff, 0xff, 0xff, 0x0f}
	if _, _, err := decodeEvent(huge, nil); !errors.Is(err, errBlob) {
		t.Fatalf("a blob that claims 4 GB: %v", err)
	}
}

func TestFactAndAlertCodecsKeepEveryField(t *testing.T) {
	var f rule.Fact
	fill(t, &f)
	// What the columns hold.
	got := rule.Fact{Rule: f.Rule, Group: f.Group, Kind: f.Kind, AccountID: f.AccountID, EventID: f.EventID,
		Version: event.Version{Hash: f.Version.Hash}}
	if err := DecodeFact(EncodeFact(&f), &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(f, got); d != "" {
		t.Fatalf("fact (-in +out):\n%s", d)
	}
	var a rule.Alert
	fill(t, &a)
	out := rule.Alert{ID: a.ID, EventTime: a.EventTime, Severity: a.Severity, Rule: a.Rule, AccountID: a.AccountID, Actor: a.Actor,
		State: a.State, AckedBy: a.AckedBy, AckedAt: a.AckedAt, Note: a.Note}
	if err := DecodeAlert(EncodeAlert(&a), &out); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(a, out); d != "" {
		t.Fatalf("alert (-in +out):\n%s", d)
	}
	for _, blob := range [][]byte{nil, {1}, {2}, {1, 200}, append(EncodeAlert(&a), 0)} {
		if DecodeAlert(blob, &out) == nil || DecodeFact(blob, &got) == nil {
			t.Fatalf("% x was accepted", blob)
		}
	}
}

// FuzzEventCodec: whatever is encoded comes back, and whatever bytes are decoded
// give an event that encodes and decodes to itself, or an error.
func FuzzEventCodec(f *testing.F) {
	full, _ := encodeEvent(nil, nil, &event.Event{EventID: "a", Rest: "{}"})
	f.Add(full, "text", int64(5))
	f.Add([]byte{1, 0}, "\xff\x00", int64(-1))
	f.Add([]byte{1, 4, 0xff}, "", int64(0))
	f.Fuzz(func(t *testing.T, blob []byte, text string, n int64) {
		e, _, err := decodeEvent(blob, nil)
		if err != nil && !reflect.DeepEqual(e, event.Event{}) {
			t.Fatal("an event beside an error")
		}
		flag := n%2 == 0
		for _, e := range []event.Event{e, {EventTime: n, RecordHash: n, EventID: text, Rest: text + text, MFA: &flag}} {
			again, _ := encodeEvent(nil, nil, &e)
			got, _, err := decodeEvent(again, nil)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(e, got); d != "" {
				t.Fatalf("(-in +out):\n%s", d)
			}
		}
		var fact rule.Fact
		var alert rule.Alert
		_, _ = DecodeFact(blob, &fact), DecodeAlert(blob, &alert) // must not panic
	})
}
