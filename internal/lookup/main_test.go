package lookup_test

import (
	"context"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lake"
)

// The AWS settings of whoever runs the tests are not theirs.
func TestMain(m *testing.M) {
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "AWS_") {
			if err := os.Unsetenv(name); err != nil {
				panic(err)
			}
		}
	}
	if os.Getenv(childData) != "" {
		os.Exit(child())
	}
	// What packages make once and share, compressors, must not belong to a bubble.
	b := lake.New(lake.OpenMem(), lake.Options{})
	e := event.Event{EventID: strings.Repeat("warm up ", 100), AccountID: "111122223333", RequestParameters: strings.Repeat("warm up ", 100)}
	_, _, err := b.Merge(context.Background(), e.Date(), lake.Input{Events: func(yield func(event.Event, error) bool) { yield(e, nil) }})
	if err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// inBubble runs a test in a bubble of testing/synctest. What it leaves in pools,
// such as compressors with their channels, must not get into the next bubble: a
// pool is empty after two collections.
func inBubble(t *testing.T, f func(*testing.T)) {
	synctest.Test(t, f)
	runtime.GC()
	runtime.GC()
}
