package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/iamtrack/iamtrack/internal/rule"
)

// Facts and alerts are stored as the columns that look-ups need and one blob
// with the rest: a format number, then the fields in order.
const (
	factFormat  = 1
	alertFormat = 1
)

// EncodeFact writes a fact but for its rule, group, kind, key and hash, and whether
// it is superseded.
func EncodeFact(f *rule.Fact) []byte {
	b := []byte{factFormat}
	b = binary.AppendVarint(b, f.EventTime)
	b = binary.AppendVarint(b, int64(f.Version.Major))
	b = binary.AppendVarint(b, int64(f.Version.Minor))
	b = binary.AppendVarint(b, int64(f.Severity))
	for _, s := range [...]string{f.Title, f.Actor, f.SourceIP, f.AWSRegion, f.EventName, f.Detail} {
		b = appendString(b, s)
	}
	b = appendStrings(b, f.Targets)
	return appendMap(b, f.Data)
}

// DecodeFact fills in what EncodeFact took; the caller has set the rest.
func DecodeFact(blob []byte, f *rule.Fact) error {
	r := reader{data: string(blob)}
	if v := r.byte(); v != factFormat {
		return fmt.Errorf("fact in format %d: %w", v, ErrNewer)
	}
	f.EventTime = r.varint()
	f.Version.Major, f.Version.Minor = int(r.varint()), int(r.varint())
	f.Severity = rule.Severity(r.varint())
	for _, s := range [...]*string{&f.Title, &f.Actor, &f.SourceIP, &f.AWSRegion, &f.EventName, &f.Detail} {
		*s = r.string()
	}
	f.Targets, f.Data = r.strings(), r.stringMap()
	if r.bad || r.data != "" {
		return errors.New("damaged fact")
	}
	return nil
}

// EncodeAlert writes an alert but for its id, rule, severity, time, account, actor
// and state.
func EncodeAlert(a *rule.Alert) []byte {
	b := []byte{alertFormat}
	for _, s := range [...]string{a.Title, a.EventID, a.SourceIP, a.AWSRegion, a.EventName, a.Detail} {
		b = appendString(b, s)
	}
	b = appendStrings(b, a.Targets)
	b = binary.AppendUvarint(b, uint64(len(a.Events)))
	for _, e := range a.Events {
		b = appendString(b, e.EventID)
		b = binary.AppendVarint(b, e.EventTime)
		b = appendString(b, e.EventName)
	}
	return b
}

// DecodeAlert fills in what EncodeAlert took; the caller has set the rest.
func DecodeAlert(blob []byte, a *rule.Alert) error {
	r := reader{data: string(blob)}
	if v := r.byte(); v != alertFormat {
		return fmt.Errorf("alert in format %d: %w", v, ErrNewer)
	}
	for _, s := range [...]*string{&a.Title, &a.EventID, &a.SourceIP, &a.AWSRegion, &a.EventName, &a.Detail} {
		*s = r.string()
	}
	if a.Targets = r.strings(); a.Targets == nil {
		a.Targets = []string{}
	}
	a.Events = make([]rule.EventRef, r.count())
	for i := range a.Events {
		a.Events[i] = rule.EventRef{EventID: r.string(), EventTime: r.varint(), EventName: r.string()}
	}
	if r.bad || r.data != "" {
		return errors.New("damaged alert")
	}
	return nil
}
