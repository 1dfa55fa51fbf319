package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/render"
	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

func newStatusCmd(e *env) *cobra.Command {
	var rejected bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what is stored, what was collected, and what is missing",
		Long: `Show what is stored: events by category, first and last day, what was filtered,
rejected or contradicted, alerts by severity, sizes, and days that the lake
still lacks. Messages by channel: pending, sent, given up. Of what is collected,
by account and region: what is covered, how surely, how long ago that was, what is
missing and why, the last errors, and what is no longer collected since when and why. With --rejected: the records that could not
be parsed.

JSON is one object: events, filtered, rejected, conflicts, late, alerts, messages (by
channel, then state), accounts, streams (an array of account_id, aws_region,
event_source, covered, gaps, lag_seconds, last_error and more), unread_accounts (that
collection was to read, and never has) and more; with
--rejected an array of objects with file, offset, length, sha256, reason, excerpt,
seen.`,
		Example: "  iamtrack status\n  iamtrack status --rejected",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if rejected {
				return runStatusRejected(cmd.Context(), e)
			}
			return runStatus(cmd.Context(), e)
		},
	}
	cmd.Flags().BoolVar(&rejected, "rejected", false, "list the records that could not be parsed")
	return freshFlag(e, cmd)
}

func runStatus(ctx context.Context, e *env) error {
	return e.with(ctx, "status", false, func(a *app.App) error {
		c, err := e.readCovered(ctx, a)
		if err != nil {
			return fmt.Errorf("status: %w", err)
		}
		if err := e.refresh(ctx, a); err != nil {
			return err
		}
		s, err := a.Status(ctx)
		if err != nil {
			return fmt.Errorf("status: %w", err)
		}
		if s.Events == 0 && s.Filtered == 0 && len(s.Streams) == 0 {
			if s.Stack == nil {
				e.note("no event yet: %s", noDataHint)
			} else {
				e.note("no event yet: the stack's tracker has not stored any")
			}
		}
		last, err := recallImport(ctx, a)
		if err != nil {
			return fmt.Errorf("status: %w", err)
		}
		return e.object(statusView{s, last, append([]string{}, c.unread...)}, func() string { return e.statusText(&s, c, last) })
	})
}

// statusView is what `status --format json` prints.
type statusView struct {
	app.Status
	LastImport *lastImport `json:"last_import"`
	// Unread are accounts that collection was to read, and never has.
	Unread []string `json:"unread_accounts"`
}

func (e *env) statusText(s *app.Status, c *covered, last *lastImport) string {
	t := e.newPage()
	t.line(e.paint(render.Bold, count(s.Events, "event")) + " in " + count(s.Days, "day") + dayRange(s))
	if b := byCategory(s.Categories); b != "" {
		t.field("by category", b)
	}
	t.field("filtered", number(s.Filtered))
	t.field("rejected", number(s.Rejected))
	t.field("conflicts", number(s.Conflicts))
	t.heading("Alerts")
	for _, state := range alertStates {
		bySeverity := s.Alerts[state]
		var total int64
		text := ""
		for sev := rule.Critical; sev >= rule.Info; sev-- {
			if n := bySeverity[sev.String()]; n > 0 {
				total += n
				if text != "" {
					text += ", "
				}
				text += number(n) + " " + sev.String()
			}
		}
		if total > 0 {
			t.field(state, text)
		} else if state == rule.StateFinding {
			t.field(state, "none")
		}
	}
	e.statusMessages(t, s)
	e.statusStreams(t, c)
	if last != nil {
		t.heading("Last import")
		t.field("ended", e.timeText(last.Ended.UnixMilli()))
		t.field("read", count(last.Records, "record")+" in "+count(last.Files, "file"))
		for i, f := range last.FailedFiles {
			if i == 10 {
				break
			}
			t.field("not read", f.Path+": "+f.Error)
		}
		if more := last.Failed - min(10, len(last.FailedFiles)); more > 0 {
			t.line("  and " + count(more, "more file"))
		}
	}
	t.heading("Storage")
	if s.Stack != nil {
		e.statusStack(t, s)
		return t.String()
	}
	t.field("data dir", s.DataDir)
	t.field("hot store", count(s.HotEvents, "event")+", "+bytesText(s.StoreBytes))
	t.field("lake", count(s.Events, "event")+", "+bytesText(s.LakeBytes))
	if s.DirtyDays > 0 {
		t.field("behind", count(s.DirtyDays, "day")+" of the lake: run "+e.command("export"))
	}
	return t.String()
}

// statusStack writes where a stack keeps its data.
func (e *env) statusStack(t *page, s *app.Status) {
	t.field("stack", render.Text(s.Stack.Name))
	t.field("table", render.Text(s.Stack.Table)+", "+count(s.HotEvents, "event"))
	if s.Stack.Bucket == "" {
		return
	}
	t.field("lake", render.Text("s3://"+s.Stack.Bucket)+", "+count(s.Events, "event")+", "+bytesText(s.LakeBytes))
	t.field("as of", e.timeText(s.Stack.AsOf.UnixMilli()))
	if s.Stack.Newer > 0 {
		t.field("waiting", count(s.Stack.Newer, "event")+" for the exporter: --fresh runs it")
	}
}

// statusMessages writes the part of status about what was sent, by channel;
// nothing when nothing was ever to be sent.
func (e *env) statusMessages(t *page, s *app.Status) {
	if len(s.Messages) == 0 {
		return
	}
	t.heading("Messages")
	for _, channel := range slices.Sorted(maps.Keys(s.Messages)) {
		var parts []string
		for _, state := range []string{store.MessagePending, store.MessageSent, store.MessageGaveUp, store.MessageDropped} {
			if n := s.Messages[channel][state]; n > 0 {
				parts = append(parts, number(n)+" "+state)
			}
		}
		t.field(render.Text(channel), strings.Join(parts, ", "))
	}
	if s.Unrouted > 0 {
		t.field("to come", "of "+count(s.Unrouted, "alert"))
	}
}

func dayRange(s *app.Status) string {
	if s.FirstDay == "" {
		return ""
	}
	return fmt.Sprintf(", %s to %s", s.FirstDay, s.LastDay)
}

func runStatusRejected(ctx context.Context, e *env) error {
	return e.with(ctx, "status", false, func(a *app.App) error {
		cols := render.Columns("file", "offset", "length", "sha256", "reason", "excerpt", "seen")
		people := !e.format().Machine()
		if people {
			cols = render.Columns("file", "offset", "reason", "excerpt")
		}
		return e.answer(cols, func(p render.Printer) error {
			for r, err := range a.Store.Rejected(ctx) {
				if err != nil {
					return fmt.Errorf("list rejected records: %w", err)
				}
				row := []any{r.File, r.Offset, r.Length, r.SHA256, r.Reason, r.Excerpt, r.Seen}
				if people {
					row = []any{r.File, r.Offset, r.Reason, r.Excerpt}
				}
				if err := p.Row(row); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
