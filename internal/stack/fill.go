package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
)

// Tracked is what an invocation of the tracker tells, as far as it matters here; see
// package function.
type Tracked struct {
	Regions, Requests int
	Records, Stored   int64
	Problems          int
	Unfinished        bool
	MissingSeconds    int64     `json:"missing_seconds"`
	PromisedSeconds   int64     `json:"promised_seconds"`
	ReadBackTo        time.Time `json:"read_back_to"`
}

// Filling is how far the first reading is.
type Filling struct {
	Runs    int
	Last    Tracked
	Stored  int64 // by these runs
	Started time.Time
	// Note says why something is waited for; empty otherwise.
	Note string
}

// Share is how much of what was promised is read, 0 to 1.
func (f Filling) Share() float64 {
	if f.Last.PromisedSeconds == 0 {
		return 0
	}
	return 1 - float64(f.Last.MissingSeconds)/float64(f.Last.PromisedSeconds)
}

const (
	// patience is how many invocations in a row may bring nothing on.
	patience = 5
	// breather is waited for when an invocation brought nothing on: another one holds
	// the lease, or AWS is busy.
	breather = 20 * time.Second
)

var breathe = breather // tests have less time

// ErrStuck is wrapped when invocations bring nothing on any more.
var ErrStuck = errors.New("it doesn't come to an end")

// Collect invokes the tracker over and over until all is read that can be, newest
// first, and tells see of each run. What was read is kept: it may be interrupted. A
// schedule that invokes the tracker at the same time does no harm.
func Collect(ctx context.Context, s *awsapi.Session, function string, now func() time.Time, see func(Filling)) (Filling, error) {
	f := Filling{Started: now()}
	idle := 0
	for {
		var t Tracked
		err := invoke(ctx, s, function, &t)
		f.Runs++
		var failed *awsapi.FunctionError
		switch {
		case err == nil:
			moved := t.Stored > 0 || f.Runs == 1 || t.MissingSeconds < f.Last.MissingSeconds
			f.Last, f.Stored, f.Note = t, f.Stored+t.Stored, ""
			if !t.Unfinished && t.MissingSeconds == 0 {
				see(f)
				return f, nil
			}
			if idle++; moved {
				idle = 0
			}
		case errors.As(err, &failed) && strings.Contains(failed.Message, "timed out"), errors.Is(err, awsapi.ErrThrottled), errors.Is(err, awsapi.ErrUnavailable), errors.Is(err, awsapi.ErrNetwork):
			idle++ // what it read is kept
			f.Note = err.Error()
		default:
			return f, err
		}
		if idle >= patience {
			why := f.Note
			if why == "" {
				why = fmt.Sprintf("%d things could not be read", f.Last.Problems)
			}
			return f, fmt.Errorf("%w: %d runs brought nothing on: %s; `iamtrack aws logs --function tracker` says more", ErrStuck, idle, why)
		}
		if idle > 0 && f.Note == "" {
			f.Note = "nothing new: another run of the tracker may be at work, or something can't be read"
		}
		see(f)
		if idle > 0 {
			if err := wait(ctx, breathe); err != nil {
				return f, err
			}
		}
	}
}

// Exported is what an invocation of the exporter tells; see package function.
type Exported struct {
	Days, Written    int
	Busy, Unfinished bool
	DirtyDays        int `json:"dirty_days"`
}

// Export invokes the exporter until the lake has everything, and tells see of each run.
func Export(ctx context.Context, s *awsapi.Session, function string, see func(Exported)) error {
	idle := 0
	last := -1
	for {
		var e Exported
		err := invoke(ctx, s, function, &e)
		var failed *awsapi.FunctionError
		switch {
		case err == nil:
			if e.DirtyDays == 0 && !e.Busy && !e.Unfinished {
				see(e)
				return nil
			}
			if idle++; e.Written > 0 || last >= 0 && e.DirtyDays < last {
				idle = 0
			}
			last = e.DirtyDays
			see(e)
		case errors.As(err, &failed) && strings.Contains(failed.Message, "timed out"), errors.Is(err, awsapi.ErrThrottled), errors.Is(err, awsapi.ErrUnavailable):
			idle++
		default:
			return err
		}
		if idle >= patience {
			return fmt.Errorf("%w: the exporter left %d days to be written; `iamtrack aws logs --function exporter` says more", ErrStuck, last)
		}
		if idle > 0 {
			if err := wait(ctx, breathe); err != nil {
				return err
			}
		}
	}
}

// Tested is what became of a test message.
type Tested struct {
	Channel string  `json:"channel"`
	Type    string  `json:"type"`
	OK      bool    `json:"ok"`
	Error   string  `json:"error"`
	Seconds float64 `json:"seconds"`
}

// TestAlerts has the notifier send a test message to each channel, or to those that
// are named.
func TestAlerts(ctx context.Context, s *awsapi.Session, function string, channels []string) ([]Tested, error) {
	ask, err := json.Marshal(map[string]any{"test": true, "channels": channels})
	if err != nil {
		return nil, err
	}
	text, err := s.Invoke(ctx, function, ask)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Tested []Tested `json:"tested"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("the function %s answers %.200q: %w", function, text, err)
	}
	if answer.Tested == nil {
		return nil, fmt.Errorf("the function %s knows no test messages: its program is older than this one; `iamtrack aws update` brings it up to date", function)
	}
	return answer.Tested, nil
}

func invoke(ctx context.Context, s *awsapi.Session, function string, to any) error {
	text, err := s.Invoke(ctx, function, []byte("{}"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, to); err != nil {
		return fmt.Errorf("the function %s answers %.200q: %w", function, text, err)
	}
	return nil
}
