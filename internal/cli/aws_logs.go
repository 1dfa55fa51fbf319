package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/function"
	"github.com/iamtrack/iamtrack/internal/render"
)

type logsOptions struct {
	functions []string
	follow    bool
	errors    bool
}

// logEvery is how often --follow asks for more.
var logEvery = 2 * time.Second

func newAWSLogsCmd(e *env) *cobra.Command {
	var o logsOptions
	cmd := taking(&cobra.Command{
		Use:   "logs",
		Short: "Show what the functions of a stack log",
		Long: `Show what the functions of a stack log, the last hour unless --since says otherwise, in
order of time; --follow goes on until it is interrupted. What the functions count
(lines for CloudWatch's metrics) and what AWS Lambda itself logs is left out of the
table, JSON has every line.

JSON is an array of objects with time, function, level, message, line; with --follow
there is one object a line.`,
		Example: `  iamtrack aws logs
  iamtrack aws logs --follow --function tracker
  iamtrack aws logs --errors --since 7d`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runAWSLogs(cmd.Context(), e, o) },
	}, "since")
	f := cmd.Flags()
	f.StringSliceVar(&o.functions, "function", nil, "only of these: tracker, realtime, exporter, notifier")
	f.BoolVarP(&o.follow, "follow", "f", false, "go on until interrupted")
	f.BoolVar(&o.errors, "errors", false, "only warnings and errors")
	complete(cmd, "function", function.Names()...)
	return ofStack(cmd)
}

// logLine is a line of a function's log.
type logLine struct {
	At       time.Time `json:"time"`
	Function string    `json:"function"`
	Level    string    `json:"level"`
	Message  string    `json:"message"`
	Line     string    `json:"line"`

	noise bool // nothing that people look for
}

// logGroups are the log groups of a stack's functions.
func logGroups(st awsapi.Stack, only []string) (map[string]string, error) {
	groups := map[string]string{}
	for _, name := range function.Names() {
		if len(only) > 0 && !slices.Contains(only, name) {
			continue
		}
		if g := st.Outputs[strings.ToUpper(name[:1])+name[1:]+"LogGroup"]; g != "" {
			groups[name] = g
		} else if len(only) > 0 {
			return nil, fmt.Errorf("the stack %s has no function %s: a parameter turns it off", st.Name, name)
		}
	}
	if len(groups) == 0 {
		return nil, fmt.Errorf("the stack %s has no log groups among its outputs: `iamtrack aws update` brings it up to date", st.Name)
	}
	return groups, nil
}

func runAWSLogs(ctx context.Context, e *env, o logsOptions) error {
	for _, name := range o.functions {
		if !slices.Contains(function.Names(), name) {
			return unknown("function", name, function.Names(), "")
		}
	}
	session, err := e.aws(ctx)()
	if err != nil {
		return err
	}
	st, err := e.theStack(ctx, session)
	if err != nil {
		return err
	}
	groups, err := logGroups(st, o.functions)
	if err != nil {
		return err
	}
	since := e.since
	if since.IsZero() {
		since = e.now().Add(-time.Hour)
	}
	if !o.follow {
		lines, err := readLogs(ctx, session, groups, map[string]time.Time{}, since, nil)
		if err != nil {
			return awsHint(err)
		}
		return e.showLogs(lines, o)
	}
	seen := map[string]bool{}
	from := map[string]time.Time{}
	for {
		lines, err := readLogs(ctx, session, groups, from, since, seen)
		if err != nil {
			return awsHint(err)
		}
		for _, l := range lines {
			if err := e.followLog(&l, o); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil // that is how it ends
		case <-time.After(logEvery):
		}
	}
}

// late is how long a line may take to be found after it was written.
const late = 30 * time.Second

// readLogs reads what is new of log groups, from the time that from has for each, else
// since; seen, when set, remembers what was read, as lines may come late.
func readLogs(ctx context.Context, session *awsapi.Session, groups map[string]string, from map[string]time.Time, since time.Time, seen map[string]bool) ([]logLine, error) {
	var list []logLine
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		start := since
		if at, ok := from[name]; ok {
			start = at
		}
		newest := start
		for token := ""; ; {
			lines, next, err := session.LogLines(ctx, groups[name], "", start, token)
			if errors.Is(err, awsapi.ErrNotFound) { // nothing ran yet
				break
			}
			if err != nil {
				return nil, err
			}
			for _, l := range lines {
				if l.At.After(newest) {
					newest = l.At
				}
				if seen != nil {
					if seen[l.ID] {
						continue
					}
					seen[l.ID] = true
				}
				list = append(list, parseLog(name, l))
			}
			if token = next; token == "" {
				break
			}
		}
		if back := newest.Add(-late); back.After(start) {
			from[name] = back
		}
	}
	slices.SortStableFunc(list, func(a, b logLine) int { return a.At.Compare(b.At) })
	return list, nil
}

// parseLog takes a line apart: JSON as the functions write it, CloudWatch's metrics, or
// text of AWS Lambda.
func parseLog(name string, l awsapi.LogLine) logLine {
	out := logLine{At: l.At, Function: name, Line: strings.TrimRight(l.Text, "\n"), Level: "INFO"}
	var fields map[string]any
	if json.Unmarshal([]byte(l.Text), &fields) != nil {
		out.Message = out.Line
		switch {
		case strings.Contains(l.Text, "Task timed out"), strings.Contains(l.Text, "Runtime exited"), strings.Contains(l.Text, "Runtime.ExitError"):
			out.Level = "ERROR"
		default:
			for _, start := range []string{"START ", "END ", "REPORT ", "INIT_START ", "EXTENSION"} {
				out.noise = out.noise || strings.HasPrefix(l.Text, start)
			}
		}
		return out
	}
	if fields["_aws"] != nil {
		out.Message, out.noise = "metrics", true
		return out
	}
	if kind, ok := fields["type"].(string); ok && strings.HasPrefix(kind, "platform.") {
		out.Message, out.noise = kind, true
		return out
	}
	if level, ok := fields["level"].(string); ok {
		out.Level = level
	}
	out.Message, _ = fields["message"].(string)
	var rest []string
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		if k == "level" || k == "message" || k == "timestamp" {
			continue
		}
		v := fields[k]
		if _, text := v.(string); !text {
			if b, err := json.Marshal(v); err == nil {
				v = string(b)
			}
		}
		rest = append(rest, fmt.Sprintf("%s=%v", k, v))
	}
	out.Message = strings.TrimSpace(out.Message + "  " + strings.Join(rest, " "))
	return out
}

// shown reports whether people get to see a line.
func (l *logLine) shown(o logsOptions) bool {
	if o.errors {
		return l.Level == "ERROR" || l.Level == "WARN"
	}
	return !l.noise
}

func (e *env) showLogs(lines []logLine, o logsOptions) error {
	people := !e.format().Machine()
	cols := render.Columns("time", "function", "level", "message", "line")
	if people {
		cols = render.Columns("time", "function", "level", "message")
	}
	n := 0
	err := e.answer(cols, func(p render.Printer) error {
		for i := range lines {
			l := &lines[i]
			if (people || o.errors) && !l.shown(o) {
				continue
			}
			n++
			row := []any{l.At, l.Function, l.Level, l.Message, l.Line}
			if err := p.Row(row[:len(cols)]); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && n == 0 {
		e.note("no line; --since 1d looks back further")
	}
	return err
}

// followLog prints one line at once.
func (e *env) followLog(l *logLine, o logsOptions) error {
	people := !e.format().Machine()
	if (people || o.errors) && !l.shown(o) {
		return nil
	}
	text := ""
	if people {
		text = fmt.Sprintf("%s  %-8s  %-5s  %s", l.At.In(e.config.Zone).Format("2006-01-02 15:04:05"), l.Function, l.Level, l.Message)
	} else {
		b, err := json.Marshal(l)
		if err != nil {
			return err
		}
		text = string(render.EscapeJSON(b))
	}
	if people {
		text = render.Text(text)
	}
	_, err := fmt.Fprintln(e.stdout, text)
	return err
}
