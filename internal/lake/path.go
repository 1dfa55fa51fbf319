package lake

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/iamtrack/iamtrack/internal/event"
)

// Object keys. The partition folder is Hive's, so that every reader finds the
// column event_date in it.
const (
	eventsPrefix   = "events/"
	filteredPrefix = "filtered/"
	keysPrefix     = "keys/"

	partition = "event_date="
)

func eventsKey(d event.Date) string { return eventsPrefix + partition + d.String() + "/events.parquet" }
func filteredKey(d event.Date) string {
	return filteredPrefix + partition + d.String() + "/filtered.parquet"
}

// dateOfKey reads the day from a day file's key; false for any other object,
// such as one that somebody else put into the lake.
func dateOfKey(key, prefix string) (event.Date, bool) {
	rest, ok := strings.CutPrefix(key, prefix+partition)
	if !ok {
		return 0, false
	}
	day, name, ok := strings.Cut(rest, "/")
	if !ok || name != strings.TrimSuffix(prefix, "/")+".parquet" {
		return 0, false
	}
	d, err := event.ParseDate(day)
	return d, err == nil
}

// CheckKey refuses object keys that are not slash-separated relative paths. A
// leading dot is kept for the bucket's own files.
func CheckKey(key string) error {
	if !fs.ValidPath(key) || key == "." || strings.ContainsAny(key, "\\\x00:") ||
		strings.HasPrefix(key, ".") || strings.Contains(key, "/.") {
		return fmt.Errorf("object key %q: want a relative slash-separated path", key)
	}
	return nil
}

// CheckPrefix is CheckKey for the argument of List, which may be empty or end
// in a slash or within a name.
func CheckPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	return CheckKey(strings.TrimSuffix(prefix, "/"))
}

// alive returns the context's error with the operation in front.
func alive(ctx context.Context, op, key string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", op, key, err)
	}
	return nil
}
