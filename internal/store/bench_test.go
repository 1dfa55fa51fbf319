package store_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

// benchEvent is an event of common size: an AssumeRole, with an id as random as
// real ones are.
func benchEvent(n int) event.Event {
	no := false
	x := uint64(n)*0x9e3779b97f4a7c15 + 0x1234567
	x ^= x >> 29
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 32
	id := fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", uint32(x), uint16(x>>32), x>>48&0xfff, n&0xfff, x&0xffffffffffff)
	session := fmt.Sprintf("i-%012x", x>>20&0xfff)
	return event.Event{
		EventID: id, EventTime: 1_790_000_000_000 + int64(n)*250, AccountID: fmt.Sprintf("11122233%04d", n%3),
		AWSRegion: "eu-west-1", EventSource: "sts.amazonaws.com", EventName: "AssumeRole", EventType: "AwsApiCall",
		Category: event.CategorySTS, Outcome: event.OutcomeOK, ReadOnly: &no,
		SourceIP: fmt.Sprintf("10.1.%d.%d", n>>8&0xff, n&0xff), UserAgent: "aws-sdk-go-v2/1.30.3 os/linux lang/go#1.22.5 md/GOARCH#arm64 api/sts#1.30.3",
		IdentityType: "AssumedRole", IdentityARN: "arn:aws:sts::111222330001:assumed-role/build-runner/" + session,
		PrincipalID: "AROAEXAMPLEEXAMPLE123:" + session, IdentityAccountID: "111222330001", RoleName: "build-runner", SessionName: session,
		AccessKeyID: fmt.Sprintf("ASIA%016X", x>>4), TargetKind: "role", TargetName: "deploy", TargetARN: "arn:aws:iam::111222330002:role/deploy",
		IssuedAccessKeyID: fmt.Sprintf("ASIA%016X", x>>3), Actor: "build-runner/" + session, ActorKind: event.KindRoleSession,
		RequestParameters: fmt.Sprintf(`{"durationSeconds":3600,"roleArn":"arn:aws:iam::111222330002:role/deploy","roleSessionName":"deploy-%d"}`, n),
		ResponseElements:  fmt.Sprintf(`{"assumedRoleUser":{"arn":"arn:aws:sts::111222330002:assumed-role/deploy/deploy-%d","assumedRoleId":"AROAEXAMPLEEXAMPLE456:deploy-%d"},"credentials":{"accessKeyId":"ASIA%016X","expiration":"Jan 1, 2026, 1:00:00 AM"}}`, n, n, x>>3),
		Resources:         `[{"ARN":"arn:aws:iam::111222330002:role/deploy","accountId":"111222330002","type":"AWS::IAM::Role"}]`,
		Rest:              fmt.Sprintf(`{"eventCategory":"Management","managementEvent":true,"requestID":"%s","sharedEventID":"%s","tlsDetails":{"cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"sts.eu-west-1.amazonaws.com","tlsVersion":"TLSv1.3"},"userIdentity":{"sessionContext":{"attributes":{"creationDate":"2026-09-21T13:33:20Z","mfaAuthenticated":"false"},"sessionIssuer":{"accountId":"111222330001","arn":"arn:aws:iam::111222330001:role/build-runner","principalId":"AROAEXAMPLEEXAMPLE123","type":"Role"}}}}`, id, id),
		EventVersion:      "1.08", RecordHash: int64(x),
	}
}

// BenchmarkPut stores new events, so many to a transaction, each durable. Event
// ids are random, so that a batch touches nearly every page of their index: large
// batches pay.
func BenchmarkPut(b *testing.B) {
	for _, size := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := openBench(b)
			batch := make([]event.Event, size)
			for n := 0; b.Loop(); {
				b.StopTimer()
				for i := range batch {
					batch[i] = benchEvent(n)
					n++
				}
				b.StartTimer()
				if err := s.Put(b.Context(), batch, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*len(batch))/b.Elapsed().Seconds(), "rows/s")
			c, err := s.Counts(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(c.SizeBytes)/float64(c.HotEvents), "B/row")
		})
	}
}

// BenchmarkPutKnown stores the same events again: nothing is written.
func BenchmarkPutKnown(b *testing.B) {
	s := openBench(b)
	batch := make([]event.Event, 1000)
	for i := range batch {
		batch[i] = benchEvent(i)
	}
	if err := s.Put(b.Context(), batch, nil); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := s.Put(b.Context(), batch, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(batch))/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkDay reads a day of 100,000 events in order.
func BenchmarkDay(b *testing.B) {
	s := openBench(b)
	const rows = 100_000
	for n := 0; n < rows; n += 10_000 {
		batch := make([]event.Event, 10_000)
		for i := range batch {
			batch[i] = benchEvent(n + i)
		}
		if err := s.Put(b.Context(), batch, nil); err != nil {
			b.Fatal(err)
		}
	}
	first := benchEvent(0)
	seen := 0
	for b.Loop() {
		for _, err := range s.Day(b.Context(), first.Date()) {
			if err != nil {
				b.Fatal(err)
			}
			seen++
		}
	}
	b.ReportMetric(float64(seen)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkRecord stores 100 facts, each a group of its own and one alert.
func BenchmarkRecord(b *testing.B) {
	s := openBench(b)
	settle := func(facts []rule.Fact) []rule.Alert {
		f := facts[0]
		return []rule.Alert{{ID: rule.AlertID(f.Group), Rule: f.Rule, Title: f.Title, EventID: f.EventID, EventTime: f.EventTime}}
	}
	facts := make([]rule.Fact, 100)
	for n := 0; b.Loop(); {
		for i := range facts {
			e := benchEvent(n)
			facts[i] = rule.Fact{Rule: "bench", Group: "bench/" + e.EventID, AccountID: e.AccountID, EventID: e.EventID,
				EventTime: e.EventTime, Version: e.Version(), Title: "a title", Detail: "one sentence on what matched and why it matters", Targets: []string{"deploy"}}
			n++
		}
		if _, err := s.Record(b.Context(), store.Findings{Facts: facts}, settle); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(facts))/b.Elapsed().Seconds(), "facts/s")
}

func openBench(b *testing.B) store.Store {
	s, err := store.OpenSQLite(b.Context(), filepath.Join(b.TempDir(), "iamtrack.db"), store.SQLiteOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}
