package lake

import (
	"context"

	"github.com/iamtrack/iamtrack/internal/event"
)

// DayVersions returns the days that have a file, each with a text that changes
// whenever its files do. It opens none of them.
func (l *Lake) DayVersions(ctx context.Context) (map[event.Date]string, error) {
	days := map[event.Date]string{}
	for _, prefix := range []string{eventsPrefix, filteredPrefix} {
		files, err := l.bucket.List(ctx, prefix)
		if err != nil {
			return nil, err
		}
		for _, o := range files {
			if d, ok := dateOfKey(o.Key, prefix); ok {
				days[d] += prefix + o.ETag + " "
			}
		}
	}
	return days, nil
}
