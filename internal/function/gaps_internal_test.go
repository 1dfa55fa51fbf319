package function

import (
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/coverage"
)

// What is lost is told of, and no longer than somebody may act on it.
func TestRecentGaps(t *testing.T) {
	const day = 24 * 3600
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	l := &coverage.Ledger{Stream: coverage.Stream{AccountID: "1", Region: "eu-west-1", Source: "iam.amazonaws.com"}}
	l.Begin(began)
	lost := coverage.Span{From: began + 10*day, To: began + 11*day}
	l.Mark(coverage.Read{Span: coverage.Span{From: began - 90*day, To: began}, Begun: began})
	l.Begin(lost.To + 80*day)
	l.Mark(coverage.Read{Span: coverage.Span{From: began, To: lost.From}, Begun: lost.From})
	l.Mark(coverage.Read{Span: coverage.Span{From: lost.To, To: lost.To + 200*day}, Begun: lost.To + 80*day})
	for _, c := range []struct {
		age  int64
		want int
	}{{89, 0}, {95, 1}, {99, 0}} { // what is only to be read is none; then it's lost
		age, want := c.age, c.want
		now := lost.To + age*day
		l.Expire(now)
		if n := recentGaps([]*coverage.Ledger{l}, time.Unix(now, 0)); n != want {
			t.Errorf("a gap of %d days ago counts %d times", age, n)
		}
	}
}
