package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/query"
	"github.com/iamtrack/iamtrack/internal/render"
)

// minPrefix is how much of an event id must be given.
const minPrefix = 8

func runEvent(ctx context.Context, e *env, id string) error {
	if err := checkEventID(id); err != nil {
		return err
	}
	return e.asking(ctx, "events", func(a *app.App, engine query.RangeEngine, c *covered) error {
		found, err := findEvents(ctx, engine, id)
		if err != nil {
			return fmt.Errorf("look up event %s: %w", id, err)
		}
		switch len(found) {
		case 0:
			for _, line := range c.answer(e, question{}).lines {
				e.say("missing: " + line) // it may be there
			}
			return withHint(fmt.Errorf("no event has the id %s", id), "`iamtrack events` lists events; `iamtrack status` tells what is stored")
		case 1:
		default:
			if !sameID(found) {
				return withHint(fmt.Errorf("more than one event id starts with %s: %s", id, strings.Join(ids(found), ", ")), "give more of the id")
			}
		}
		return e.printEvents(ctx, a, found)
	})
}

// printEvents prints whole records.
func (e *env) printEvents(ctx context.Context, a *app.App, found []place) error {
	views := make([]any, len(found))
	texts := make([]string, len(found))
	for i, at := range found {
		ev, err := a.Event(ctx, at.key, at.date)
		if err != nil {
			return fmt.Errorf("read event %s: %w", at.key.EventID, err)
		}
		record, err := ev.Record()
		if err != nil {
			return fmt.Errorf("read event %s: %w", at.key.EventID, err)
		}
		views[i] = eventView{&ev, record}
		if texts[i], err = e.eventText(&ev, record); err != nil {
			return err
		}
	}
	return e.objects(views, func(i int) string { return texts[i] })
}

// checkEventID refuses what no event id can be, and what is too little of one.
func checkEventID(id string) error {
	odd := strings.ContainsFunc(id, func(r rune) bool { return r < 0x20 || r == 0x7f })
	if len(id) < minPrefix || odd {
		return withHint(usagef("%q is not an event id", id), fmt.Sprintf("give at least the first %d characters of one", minPrefix))
	}
	return nil
}

// place is where an event is.
type place struct {
	key  event.Key
	date event.Date
}

// findEvents returns the events with that id (one per account that has it),
// else, at most a few, those whose id starts with it.
func findEvents(ctx context.Context, engine query.RangeEngine, id string) ([]place, error) {
	sql, err := query.EventsSQL(query.EventFilter{EventIDs: []string{id}, Columns: []string{"account_id", "event_id", "event_date"}})
	if err != nil {
		return nil, usagef("%v", err)
	}
	found, err := readPlaces(ctx, engine, sql)
	if err != nil || len(found) > 0 {
		return found, err
	}
	// A prefix has no index: this reads one column of every day.
	quoted := "'" + strings.ReplaceAll(id, "'", "''") + "'"
	return readPlaces(ctx, engine, "SELECT account_id, event_id, event_date FROM events WHERE starts_with(event_id, "+quoted+") ORDER BY event_id, account_id LIMIT 6")
}

func readPlaces(ctx context.Context, engine query.RangeEngine, sql string) (list []place, err error) {
	rows, err := engine.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		account, _ := row[0].(string)
		id, _ := row[1].(string)
		day, _ := row[2].(query.Date)
		date, err := event.ParseDate(string(day))
		if err != nil {
			return nil, err
		}
		list = append(list, place{event.Key{AccountID: account, EventID: id}, date})
	}
}

func sameID(list []place) bool {
	return !slices.ContainsFunc(list, func(p place) bool { return p.key.EventID != list[0].key.EventID })
}

func ids(list []place) []string {
	var out []string
	for _, p := range list {
		out = append(out, p.key.EventID)
	}
	return slices.Compact(out)
}

// eventView is what `events ID --format json` prints: the columns in order, then
// the record.
type eventView struct {
	e      *event.Event
	record []byte
}

// MarshalJSON writes the columns in the order of the data model.
func (v eventView) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, c := range event.Columns() {
		if c.Internal {
			continue
		}
		text, err := json.Marshal(columnValue(v.e, i, c))
		if err != nil {
			return nil, err
		}
		b = append(render.AppendString(b, c.Name), ':')
		b = append(append(b, text...), ',')
	}
	b = append(b, `"record":`...)
	return append(append(b, v.record...), '}'), nil
}

// columnValue is a column as it is printed.
func columnValue(e *event.Event, i int, c event.ColumnInfo) any {
	switch v := e.Value(i).(type) {
	case int64:
		if c.Type == "timestamp" {
			return time.UnixMilli(v).UTC()
		}
		return v
	case event.Date:
		return v.String()
	default:
		return v
	}
}

// eventText is an event for people: the columns that say something, then the
// whole record.
func (e *env) eventText(ev *event.Event, record []byte) (string, error) {
	t := e.newPage()
	t.line(e.paint(render.Bold, render.Text(ev.EventName)) + "  " + e.paint(paintOutcome(ev.Outcome), ev.Outcome))
	t.blank()
	for i, c := range event.Columns() {
		if c.Internal || c.Type == "json" || c.Name == "event_date" {
			continue
		}
		switch v := columnValue(ev, i, c).(type) {
		case nil:
		case time.Time:
			t.wideField(c.Name, e.timeText(v.UnixMilli()))
		default:
			t.wideField(c.Name, fmt.Sprint(v))
		}
	}
	t.heading("Record")
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, record, "", "  "); err != nil {
		return "", fmt.Errorf("event %s: the record isn't JSON: %w", ev.EventID, err)
	}
	t.b.Write(render.EscapeJSON(pretty.Bytes()))
	t.blank()
	return t.String(), nil
}
