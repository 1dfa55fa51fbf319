// Package legacy reads the events table of the earlier IAM Activity Tracker, the one
// written in Python, and makes CloudTrail records of its rows as far as these permit.
//
// A row has no more than: event_id, event_date, event_time, event_name, event_source,
// event_type, aws_region, user_name, source_ip, user_agent, request_parameters,
// response_elements (both JSON in text), error_code, error_message. What it doesn't
// have is left out, never guessed. The records have no eventVersion, by which package
// event ranks contents, so the real record of the same event takes their place,
// whichever comes first; and a mark, by which they are known.
package legacy

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
)

// Mark is the field that records of legacy rows have, and nothing of CloudTrail's; its
// value lists the attributes that the row had and that could not be read.
const Mark = "iamtrackLegacy"

// Missing are the fields of a CloudTrail record that a row can't tell.
func Missing() []string {
	return []string{"userIdentity (but for a name)", "additionalEventData (MFA)", "eventType", "readOnly", "resources", "sharedEventID", "eventVersion"}
}

// Table is a table of DynamoDB; *awsapi.Table is one.
type Table interface {
	Describe(ctx context.Context) (awsapi.TableInfo, error)
	Scan(ctx context.Context, from string) (awsapi.TablePage, error)
}

// Options of a Reader.
type Options struct {
	// AccountID is whose events the table has; empty: the table's own account.
	AccountID string
	// Since and Until bound event times, [Since, Until); zero times don't. Rows whose
	// time can't be read are always passed on, to be rejected.
	Since, Until time.Time
	// Units is how many read units a second the scan may take; 0: any number.
	Units float64
}

// Reader reads a table bit by bit.
type Reader struct {
	t    Table
	o    Options
	info awsapi.TableInfo
	// Unreadable counts rows of which a part could not be read, and was left out.
	Unreadable int64
}

// Open looks at the table. One that isn't the earlier tool's table of events is an
// error.
func Open(ctx context.Context, t Table, o Options) (*Reader, error) {
	info, err := t.Describe(ctx)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(info.Keys, "event_id") || !slices.Contains(info.Keys, "event_date") {
		return nil, fmt.Errorf("the table %s has the keys %s: it is not the earlier tool's table of events, whose keys are event_date and event_id",
			info.Name, strings.Join(info.Keys, ", "))
	}
	if o.AccountID == "" {
		o.AccountID = info.AccountID
	}
	if !isAccount(o.AccountID) {
		return nil, fmt.Errorf("%w %s: its ARN names the account %q", ErrNoAccount, info.Name, o.AccountID)
	}
	return &Reader{t: t, o: o, info: info}, nil
}

// ErrNoAccount is wrapped when it isn't known whose events a table has.
var ErrNoAccount = fmt.Errorf("not known whose events are in the table")

// isAccount tells an account's id from none, which is zeros in tables of emulators.
func isAccount(id string) bool {
	return len(id) == 12 && strings.Trim(id, "0123456789") == "" && strings.Trim(id, "0") != ""
}

// Info is what is known of the table.
func (r *Reader) Info() awsapi.TableInfo { return r.info }

// AccountID is whose events the records are.
func (r *Reader) AccountID() string { return r.o.AccountID }

// Chunk reads pages until it has at least so many bytes of records, as JSON lines.
// from is where the chunk before ended, empty at first; next is empty at the end of the
// table.
func (r *Reader) Chunk(ctx context.Context, from string, size int) (lines []byte, next string, err error) {
	for {
		start := time.Now()
		p, err := r.t.Scan(ctx, from)
		if err != nil {
			return nil, "", err
		}
		for _, row := range p.Items {
			if lines, err = r.add(lines, row); err != nil {
				return nil, "", err
			}
		}
		if p.Next == "" || len(lines) >= size {
			return lines, p.Next, nil
		}
		from = p.Next
		if err := r.rest(ctx, p.Units, time.Since(start)); err != nil {
			return nil, "", err
		}
	}
}

// rest keeps to the rate after a page that took so many units.
func (r *Reader) rest(ctx context.Context, units float64, took time.Duration) error {
	if r.o.Units <= 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(time.Duration(units/r.o.Units*float64(time.Second)) - took):
		return nil
	}
}

// add appends the record of a row, unless it lies outside the bounds.
func (r *Reader) add(lines []byte, row map[string]string) ([]byte, error) {
	at, err := time.Parse(time.RFC3339, row["event_time"])
	if err == nil && (!r.o.Since.IsZero() && at.Before(r.o.Since) || !r.o.Until.IsZero() && !at.Before(r.o.Until)) {
		return lines, nil
	}
	record, unreadable := Record(row, r.o.AccountID)
	if unreadable {
		r.Unreadable++
	}
	line, err := json.Marshal(record)
	if err != nil {
		return nil, fmt.Errorf("read row %s: %w", row["event_id"], err)
	}
	return append(append(lines, line...), '\n'), nil
}

// Record is a row as a CloudTrail record of an account. What can't be a record, such as
// a row without a time, is left to the parser to reject. unreadable: a part of the row
// is no JSON and was left out.
func Record(row map[string]string, account string) (record map[string]any, unreadable bool) {
	record = map[string]any{"recipientAccountId": account}
	put := func(field, attribute string) {
		if v := row[attribute]; v != "" && v != "unknown" {
			record[field] = v
		}
	}
	put("eventID", "event_id")
	put("eventTime", "event_time")
	if at, err := time.Parse(time.RFC3339, row["event_time"]); err == nil {
		record["eventTime"] = at.UTC().Truncate(time.Second).Format(time.RFC3339)
	}
	put("eventName", "event_name")
	put("eventSource", "event_source")
	put("awsRegion", "aws_region")
	put("sourceIPAddress", "source_ip")
	put("userAgent", "user_agent")
	put("errorCode", "error_code")
	put("errorMessage", "error_message")
	left := []string{}
	for field, attribute := range map[string]string{"requestParameters": "request_parameters", "responseElements": "response_elements"} {
		text := row[attribute]
		if text == "" || text == "null" || text == "{}" {
			continue
		}
		if value, ok := object(text); ok {
			record[field] = value
		} else {
			left = append(left, attribute)
		}
	}
	slices.Sort(left)
	if name := caller(row); name != "" {
		record["userIdentity"] = map[string]any{"userName": name}
	}
	record[Mark] = left
	return record, len(left) > 0
}

// object reads a JSON object, numbers as they are written.
func object(text string) (json.RawMessage, bool) {
	if !strings.HasPrefix(strings.TrimSpace(text), "{") || !json.Valid([]byte(text)) {
		return nil, false
	}
	return json.RawMessage(text), true
}

// caller is the name that a row has for who called; empty when it may be another's:
// for AssumeRole the earlier tool put the role that was taken there.
func caller(row map[string]string) string {
	name := row["user_name"]
	if name == "unknown" {
		return ""
	}
	if row["event_name"] == "AssumeRole" {
		var p struct {
			RoleARN string `json:"roleArn"`
		}
		// What isn't JSON tells no role, and the name can't be trusted then.
		if err := json.Unmarshal([]byte(row["request_parameters"]), &p); err != nil || strings.HasSuffix(p.RoleARN, "/"+name) {
			return ""
		}
	}
	return name
}
