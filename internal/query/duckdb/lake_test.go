package duckdb_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/iamtrack/iamtrack/internal/event"
)

// writeLake lays events and filtered events out as package lake does: one file
// a day, sorted, zstd.
func writeLake(tb testing.TB, dir string, events []event.Event, filtered []event.Filtered) {
	tb.Helper()
	days := map[event.Date][]event.Event{}
	for _, e := range events {
		days[e.Date()] = append(days[e.Date()], e)
	}
	for day, rows := range days {
		slices.SortFunc(rows, func(a, b event.Event) int { return a.Compare(&b) })
		writeParquet(tb, filepath.Join(dir, "events", "event_date="+day.String(), "events.parquet"), rows)
	}
	noise := map[event.Date][]event.Filtered{}
	for _, f := range filtered {
		noise[f.Date()] = append(noise[f.Date()], f)
	}
	for day, rows := range noise {
		slices.SortFunc(rows, func(a, b event.Filtered) int {
			return cmp.Or(cmp.Compare(a.AccountID, b.AccountID), cmp.Compare(a.EventTime, b.EventTime), cmp.Compare(a.EventID, b.EventID))
		})
		writeParquet(tb, filepath.Join(dir, "filtered", "event_date="+day.String(), "filtered.parquet"), rows)
	}
}

// writeParquet writes rows to a file that appears in one step.
func writeParquet[T any](tb testing.TB, path string, rows []T, options ...parquet.WriterOption) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		tb.Fatal(err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "new-")
	if err != nil {
		tb.Fatal(err)
	}
	w := parquet.NewGenericWriter[T](f, append(options, parquet.Compression(&zstd.Codec{}))...)
	if _, err := w.Write(rows); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	if err := f.Close(); err != nil {
		tb.Fatal(err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		tb.Fatal(err)
	}
}

// parquetMetadata is a key of the footer.
func parquetMetadata(key, value string) parquet.WriterOption {
	return parquet.KeyValueMetadata(key, value)
}

// simulate makes n plausible events spread evenly over days, ending at end; the
// same arguments give the same events.
func simulate(n, days int, end time.Time) []event.Event {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	names := []struct {
		source, name, category, kind string
		weight                       int
	}{
		{"sts.amazonaws.com", "AssumeRole", "sts", "role", 40},
		{"sts.amazonaws.com", "GetCallerIdentity", "sts", "", 15},
		{"sts.amazonaws.com", "AssumeRoleWithWebIdentity", "sts", "role", 8},
		{"iam.amazonaws.com", "ListUsers", "iam", "", 10},
		{"iam.amazonaws.com", "GetRole", "iam", "role", 10},
		{"iam.amazonaws.com", "CreateAccessKey", "iam", "user", 1},
		{"iam.amazonaws.com", "AttachRolePolicy", "iam", "role", 2},
		{"iam.amazonaws.com", "PutUserPolicy", "iam", "user", 1},
		{"iam.amazonaws.com", "CreateUser", "iam", "user", 1},
		{"signin.amazonaws.com", "ConsoleLogin", "signin", "", 6},
		{"sso.amazonaws.com", "CreateAccountAssignment", "sso", "account-assignment", 2},
		{"sso.amazonaws.com", "CreatePermissionSet", "sso", "permission-set", 1},
		{"sso.amazonaws.com", "AttachManagedPolicyToPermissionSet", "sso", "permission-set", 1},
		{"sso.amazonaws.com", "Federate", "sso", "", 2},
	}
	var pick []int
	for i, nm := range names {
		for range nm.weight {
			pick = append(pick, i)
		}
	}
	regions := []string{"us-east-1", "eu-central-1", "eu-west-1", "us-west-2"}
	yes, no := true, false
	start := end.Add(-time.Duration(days) * 24 * time.Hour).UnixMilli()
	step := (end.UnixMilli() - start) / int64(n)
	events := make([]event.Event, n)
	for i := range events {
		nm := names[pick[r.IntN(len(pick))]]
		person := r.IntN(300)
		e := &events[i]
		*e = event.Event{
			EventID:   fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", r.Uint32(), r.IntN(1<<16), r.IntN(1<<12), r.IntN(1<<12), r.Int64N(1<<48)),
			EventTime: start + int64(i)*step, AccountID: fmt.Sprintf("%012d", 111111111111+r.IntN(5)),
			AWSRegion: regions[r.IntN(len(regions))], EventSource: nm.source, EventName: nm.name,
			EventType: "AwsApiCall", Category: nm.category, Outcome: "ok", ReadOnly: &yes,
			SourceIP:  fmt.Sprintf("203.0.113.%d", person%250),
			UserAgent: fmt.Sprintf("aws-cli/2.%d.0 md/awscrt#0.20.%d Python/3.11", person%7, person%11),
			Actor:     fmt.Sprintf("user%d", person), ActorKind: event.KindIAMUser, IdentityType: "IAMUser",
			UserName: fmt.Sprintf("user%d", person), IdentityARN: fmt.Sprintf("arn:aws:iam::111111111111:user/user%d", person),
			PrincipalID: fmt.Sprintf("AIDAEXAMPLE%09d", person), AccessKeyID: fmt.Sprintf("AKIAEXAMPLE%09d", person),
			IdentityAccountID: "111111111111", EventVersion: "1.10", RecordHash: int64(r.Uint64()),
			RequestParameters: fmt.Sprintf(`{"userName":"user%d","roleArn":"arn:aws:iam::111111111111:role/app-%d","policyArn":"arn:aws:iam::aws:policy/ReadOnlyAccess"}`, person, r.IntN(60)),
			Rest:              fmt.Sprintf(`{"requestID":"%016x%016x","tlsDetails":{"tlsVersion":"TLSv1.3"}}`, r.Uint64(), r.Uint64()),
		}
		if nm.kind != "" {
			e.TargetKind, e.TargetName = nm.kind, fmt.Sprintf("app-%d", r.IntN(60))
			e.TargetARN = "arn:aws:iam::111111111111:" + nm.kind + "/" + e.TargetName
			e.ReadOnly = &no
		}
		switch {
		case i%97 == 0:
			e.Outcome, e.ErrorCode, e.ErrorMessage = "denied", "AccessDenied", "User is not authorized to perform this"
		case nm.name == "ConsoleLogin" && i%13 == 0:
			e.Outcome, e.ErrorMessage = "failed", "Failed authentication"
		case i%997 == 0:
			e.Actor, e.ActorKind, e.IdentityType, e.UserName, e.AccessKeyID = "root", event.KindRoot, "Root", "", ""
		}
		if nm.name == "ConsoleLogin" {
			e.MFA = &yes
			if person%9 == 0 {
				e.MFA = &no
			}
		}
	}
	return events
}
