package server_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"

	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
)

// A page of 50 events through the SDK: what a test pays for each request.
func BenchmarkPage(b *testing.B) {
	w := world(b, simulate.Config{Seed: 7})
	clock := server.NewVirtual(end)
	client := trail(start(b, server.Options{World: w, Clock: clock}), w.Accounts()[1], "us-east-1")
	for b.Loop() {
		clock.Advance(time.Second)
		if out, err := client.LookupEvents(b.Context(), &cloudtrail.LookupEventsInput{}); err != nil || len(out.Events) != 50 {
			b.Fatal(err)
		}
	}
}
