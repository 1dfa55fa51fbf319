package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/config"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/fault"
	"github.com/iamtrack/iamtrack/internal/legacy"
	"github.com/iamtrack/iamtrack/internal/store"
)

// rows is a table of the earlier tool, two rows a page.
type rows struct {
	list []map[string]string
	read int // pages
}

func (*rows) Describe(context.Context) (awsapi.TableInfo, error) {
	return awsapi.TableInfo{Name: "old", AccountID: "111122223333", Keys: []string{"event_date", "event_id"}}, nil
}

func (r *rows) Scan(_ context.Context, from string) (awsapi.TablePage, error) {
	r.read++
	at := 0
	if from != "" {
		if _, err := fmt.Sscan(from, &at); err != nil {
			return awsapi.TablePage{}, err
		}
	}
	p := awsapi.TablePage{Items: r.list[at:min(at+2, len(r.list))]}
	if at += 2; at < len(r.list) {
		p.Next = fmt.Sprint(at)
	}
	return p, nil
}

func row(n int, change ...string) map[string]string {
	r := map[string]string{
		"event_id": fmt.Sprintf("00000000-0000-4000-8000-%012d", n), "event_date": "2026-11-20", "event_time": fmt.Sprintf("2026-11-20T10:%02d:00+00:00", n),
		"event_name": "CreateUser", "event_source": "iam.amazonaws.com", "event_type": "iam", "aws_region": "us-east-1", "user_name": "ann",
		"source_ip": "198.51.100.7", "user_agent": "aws-cli/2", "request_parameters": `{"userName": "new"}`, "response_elements": "null", "error_code": "",
	}
	for i := 0; i < len(change); i += 2 {
		r[change[i]] = change[i+1]
	}
	return r
}

// realOf is CloudTrail's own record of a row.
func realOf(n int) string {
	return fmt.Sprintf(`{"eventVersion":"1.11","userIdentity":{"type":"IAMUser","principalId":"AIDAANN","arn":"arn:aws:iam::111122223333:user/ann","accountId":"111122223333","accessKeyId":"AKIAEXAMPLE","userName":"ann"},"eventTime":"2026-11-20T10:%02d:00Z","eventSource":"iam.amazonaws.com","eventName":"CreateUser","awsRegion":"us-east-1","sourceIPAddress":"198.51.100.7","userAgent":"aws-cli/2","requestParameters":{"userName":"new"},"responseElements":null,"eventID":"00000000-0000-4000-8000-%012d","readOnly":false,"eventType":"AwsApiCall","recipientAccountId":"111122223333"}`, n, n)
}

func openTest(t *testing.T) *App {
	t.Helper()
	cfg, err := config.Load(config.Input{Flags: map[string]string{"data-dir": t.TempDir()}, LookupEnv: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	a, err := Open(t.Context(), cfg, Options{Command: "import", Create: true, Now: func() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func importOld(t *testing.T, a *App, table *rows, o legacy.Options) (collect.Summary, *legacy.Reader, error) {
	t.Helper()
	r, err := legacy.Open(t.Context(), table, o)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := a.importLegacy(t.Context(), r, "old", 1, collect.ImportOptions{}) // a chunk for each page
	return sum, r, err
}

func eventOf(t *testing.T, a *App, n int) event.Event {
	t.Helper()
	if _, err := a.Pipeline.Export(t.Context(), collect.ExportOptions{}); err != nil {
		t.Fatal(err)
	}
	day, err := event.ParseDate("2026-11-20")
	if err != nil {
		t.Fatal(err)
	}
	e, err := a.Lake.Event(t.Context(), event.Key{AccountID: "111122223333", EventID: fmt.Sprintf("00000000-0000-4000-8000-%012d", n)}, day)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Each row is counted once, as what it is; secrets are gone; what the row doesn't have
// isn't made up.
func TestImportLegacy(t *testing.T) {
	a := openTest(t)
	table := &rows{list: []map[string]string{
		row(1),
		row(2, "event_name", "AssumeRole", "event_source", "sts.amazonaws.com", "user_name", "deploy", "request_parameters", `{"roleArn": "arn:aws:iam::111122223333:role/ci/deploy", "roleSessionName": "s"}`,
			"response_elements", `{"credentials": {"accessKeyId": "ASIAEXAMPLE", "sessionToken": "FwoGZXIvYXdzEBYaDsecret", "expiration": "x"}, "assumedRoleUser": {"arn": "arn:aws:sts::111122223333:assumed-role/deploy/s"}}`),
		row(3, "event_time", "never"),
		row(4, "request_parameters", "{broken", "user_name", "unknown", "source_ip", "unknown"),
		row(5, "event_id", ""),
		row(6, "event_name", "AssumeRole", "event_source", "sts.amazonaws.com", "user_name", "unknown", "user_agent", "config.amazonaws.com", "request_parameters", `{"roleArn": "arn:aws:iam::111122223333:role/aws-service-role/x/AWSServiceRoleForConfig"}`),
		row(1),
	}}
	sum, r, err := importOld(t, a, table, legacy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if total := sum.Stored + sum.Duplicates + sum.Conflicts + sum.Filtered.Service + sum.Filtered.Role + sum.Rejected; sum.Records != 7 || total != 7 {
		t.Errorf("%d records, %d in all: %+v", sum.Records, total, sum)
	}
	if sum.Rejected != 1 || sum.Duplicates != 1 || sum.Conflicts != 0 || r.Unreadable != 1 {
		t.Errorf("%+v, %d unreadable", sum, r.Unreadable)
	}
	for bad, err := range a.Store.Rejected(t.Context()) {
		if err != nil || bad.File != "dynamodb://old" || bad.Reason == "" {
			t.Errorf("%+v, %v", bad, err)
		}
	}
	e := eventOf(t, a, 1)
	if e.UserName != "ann" || e.IdentityType != "" || e.MFA != nil || e.ReadOnly != nil || e.EventType != "" || e.EventVersion != "" || e.SourceIP != "198.51.100.7" || e.RequestParameters != `{"userName":"new"}` {
		t.Errorf("%+v", e)
	}
	if !strings.Contains(e.Rest, `"`+legacy.Mark+`":[]`) {
		t.Errorf("the mark is missing: %s", e.Rest)
	}
	e = eventOf(t, a, 2)
	raw, err := e.Record()
	if err != nil || strings.Contains(string(raw), "FwoGZXIvYXdz") || e.UserName != "" || e.IssuedAccessKeyID != "ASIAEXAMPLE" {
		t.Errorf("%v: %s\n%+v", err, raw, e)
	}
	e = eventOf(t, a, 4)
	if e.UserName != "" || e.SourceIP != "" || e.RequestParameters != "" || !strings.Contains(e.Rest, `["request_parameters"]`) {
		t.Errorf("%+v", e)
	}
	if sum, _, err = importOld(t, a, table, legacy.Options{}); err != nil || sum.Stored != 0 || sum.Conflicts != 0 {
		t.Errorf("again: %+v, %v", sum, err)
	}
}

// CloudTrail's own record of an event takes the place of the row's, whichever comes
// first, and its alerts do.
func TestRealRecordBeatsLegacyRow(t *testing.T) {
	for name, realFirst := range map[string]bool{"row first": false, "record first": true} {
		t.Run(name, func(t *testing.T) {
			a := openTest(t)
			both := []func(){
				func() {
					if _, _, err := importOld(t, a, &rows{list: []map[string]string{row(1)}}, legacy.Options{}); err != nil {
						t.Fatal(err)
					}
				},
				func() {
					if _, err := a.Pipeline.Ingest(t.Context(), []collect.Live{{Data: []byte(realOf(1)), From: "test"}}); err != nil {
						t.Fatal(err)
					}
				},
			}
			if realFirst {
				both[0], both[1] = both[1], both[0]
			}
			both[0]()
			both[1]()
			e := eventOf(t, a, 1)
			if e.EventVersion != "1.11" || e.IdentityType != "IAMUser" || strings.Contains(e.Rest, legacy.Mark) {
				t.Errorf("the row stays: %+v", e)
			}
			alerts, err := a.Store.Alerts(t.Context(), store.AlertFilter{})
			if err != nil || len(alerts) != 1 {
				t.Errorf("alerts: %+v, %v", alerts, err)
			}
		})
	}
}

// An import that was interrupted goes on with the page that wasn't stored.
func TestImportLegacyGoesOn(t *testing.T) {
	a := openTest(t)
	table := &rows{}
	for n := range 20 {
		table.list = append(table.list, row(n+1))
	}
	stop := errors.New("stop")
	n := 0
	restore := fault.Set(func(point string) error {
		if point == "store.setmeta.before" {
			if n++; n == 5 {
				return stop
			}
		}
		return nil
	})
	_, _, err := importOld(t, a, table, legacy.Options{})
	restore()
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	before := table.read
	sum, _, err := importOld(t, a, table, legacy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if read := table.read - before; before < 2 || read >= 10 || sum.Records >= 20 {
		t.Errorf("%d pages, then %d: %+v", before, read, sum)
	}
	for n := range 20 {
		eventOf(t, a, n+1)
	}
	before = table.read
	if sum, _, err = importOld(t, a, table, legacy.Options{}); err != nil || table.read-before != 10 || sum.Duplicates != 20 {
		t.Errorf("after the end it begins anew: %+v, %v", sum, err)
	}
}

// Only the events within the bounds are read; a table that isn't the one, or whose
// account isn't known, is refused.
func TestLegacyBoundsAndRefusals(t *testing.T) {
	a := openTest(t)
	table := &rows{list: []map[string]string{row(1), row(2), row(3)}}
	at := time.Date(2026, 11, 20, 10, 2, 0, 0, time.UTC)
	sum, _, err := importOld(t, a, table, legacy.Options{Since: at, Until: at.Add(time.Minute)})
	if err != nil || sum.Stored != 1 {
		t.Errorf("%+v, %v", sum, err)
	}
	for _, c := range []struct {
		info awsapi.TableInfo
		o    legacy.Options
		says string
	}{
		{awsapi.TableInfo{Name: "x", AccountID: "111122223333", Keys: []string{"region"}}, legacy.Options{}, "it is not the earlier tool's table of events"},
		{awsapi.TableInfo{Name: "x", AccountID: "000000000000", Keys: []string{"event_date", "event_id"}}, legacy.Options{}, "not known whose events are in the table x"},
		{awsapi.TableInfo{Name: "x", AccountID: "111122223333", Keys: []string{"event_date", "event_id"}}, legacy.Options{AccountID: "12"}, "not known whose"},
	} {
		if _, err := legacy.Open(t.Context(), described{c.info}, c.o); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if diff := cmp.Diff("444455556666", func() string {
		r, err := legacy.Open(t.Context(), described{awsapi.TableInfo{AccountID: "000000000000", Keys: []string{"event_date", "event_id"}}}, legacy.Options{AccountID: "444455556666"})
		if err != nil {
			t.Fatal(err)
		}
		return r.AccountID()
	}()); diff != "" {
		t.Error(diff)
	}
}

type described struct{ info awsapi.TableInfo }

func (d described) Describe(context.Context) (awsapi.TableInfo, error) { return d.info, nil }
func (described) Scan(context.Context, string) (awsapi.TablePage, error) {
	return awsapi.TablePage{}, errors.New("not to be read")
}
