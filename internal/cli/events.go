package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/query"
	"github.com/iamtrack/iamtrack/internal/render"
)

func newEventsCmd(e *env) *cobra.Command {
	var f query.EventFilter
	cmd := taking(coverageFlag(e, &cobra.Command{
		Use:     "events [EVENT_ID]",
		Aliases: []string{"event"},
		Short:   "List events, or show one whole record",
		Long: `List events, newest first; all filters must match, and of one filter's several
values (commas, or the flag again) one must. In names * stands for any text, and
case is ignored. With an event id, or the first characters of one (at least
eight), the whole record is shown, credentials removed.

JSON is an array of objects with all columns (docs/data-model.md lists them);
--columns chooses others. With an id it is one object, which has the record as
CloudTrail wrote it under "record".`,
		Example: `  iamtrack events --actor alice --since 7d
  iamtrack events --event-name 'Create*,Attach*' --outcome denied
  iamtrack events --ip '198.51.100.*' --columns event_time,actor,event_name --format csv
  iamtrack events 0f5c7b1e-7d1a-4a43-9a3a-7a3f8b1f9c01`,
		Args: argCount(0, 1, "at most one event id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if name := emptyList(cmd); name != "" {
				// As a script's unset variable makes it; it would match everything.
				return withHint(usagef("--%s has an empty value", name), "leave it out, or name what is looked for")
			}
			if len(args) == 0 {
				return runEvents(cmd.Context(), e, f)
			}
			var with string
			cmd.Flags().Visit(func(fl *pflag.Flag) {
				own := cmd.LocalNonPersistentFlags().Lookup(fl.Name) != nil && fl.Name != "fresh" && !slices.Contains(stackFlagNames, fl.Name)
				if own || strings.Contains(takesRange+" "+takesLimit, fl.Name) {
					with = fl.Name
				}
			})
			if with != "" {
				return withHint(usagef("--%s does not go with an event id", with), "give filters, or an id")
			}
			return runEvent(cmd.Context(), e, args[0])
		},
	}), takesRange, takesLimit)
	filterFlags(cmd, &f)
	cmd.Flags().StringSliceVar(&f.Columns, "columns", nil, "columns to show, in order")
	var names []string
	for _, c := range query.EventColumns() {
		names = append(names, c.Name)
	}
	complete(cmd, "columns", names...)
	return freshFlag(e, cmd)
}

// emptyList returns the name of a given flag of several values that has none, or
// an empty one among them.
func emptyList(cmd *cobra.Command) (name string) {
	cmd.LocalNonPersistentFlags().VisitAll(func(fl *pflag.Flag) {
		if list, ok := fl.Value.(pflag.SliceValue); ok && fl.Changed {
			if values := list.GetSlice(); len(values) == 0 || slices.Contains(values, "") {
				name = fl.Name
			}
		}
	})
	return name
}

// filterFlags gives a command the filters of events.
func filterFlags(cmd *cobra.Command, f *query.EventFilter) {
	l := cmd.Flags()
	l.StringSliceVar(&f.Actors, "actor", nil, "who acted: name or ARN")
	l.StringSliceVar(&f.Users, "user", nil, "IAM user who called")
	l.StringSliceVar(&f.Roles, "role", nil, "role that called")
	l.StringSliceVar(&f.Keys, "key", nil, "access key id, used or issued")
	l.StringSliceVar(&f.IPs, "ip", nil, "source address")
	l.StringSliceVar(&f.EventNames, "event-name", nil, "action, such as CreateUser")
	l.StringSliceVar(&f.EventSources, "event-source", nil, "service, such as iam or iam.amazonaws.com")
	l.StringSliceVar(&f.Targets, "target", nil, "what was acted on: name or ARN")
	l.StringSliceVar(&f.Accounts, "account", nil, "account id")
	l.StringSliceVar(&f.Regions, "region", nil, "region")
	l.StringSliceVar(&f.Outcomes, "outcome", nil, "ok, denied or failed")
	l.StringSliceVar(&f.Errors, "error", nil, "error code")
	l.StringSliceVar(&f.Categories, "category", nil, "iam, sts, signin, sso or other")
	l.StringArrayVar(&f.Grep, "grep", nil, "text anywhere in names, requests, answers (all, when given several times)")
	complete(cmd, "outcome", "ok", "denied", "failed")
	complete(cmd, "category", "iam", "sts", "signin", "sso", "other")
}

// eventColumns are what people scan, in a table of that width (0: any).
func eventColumns(width int) []string {
	cols := []string{"event_time", "event_name", "outcome", "actor", "source_ip", "target_name", "account_id", "aws_region", "event_id"}
	switch {
	case width > 0 && width < 100:
		return []string{"event_time", "event_name", "outcome", "actor", "event_id"}
	case width > 0 && width < 150:
		return []string{"event_time", "event_name", "outcome", "actor", "source_ip", "target_name", "event_id"}
	}
	return cols
}

func runEvents(ctx context.Context, e *env, f query.EventFilter) error {
	if err := e.checkCoverage(); err != nil {
		return err
	}
	f.Since, f.Until = e.since, e.until
	if len(f.Columns) == 0 && !e.format().Machine() {
		width, _ := render.Terminal(e.stdout)
		f.Columns = eventColumns(width)
	}
	limit := e.limit(50)
	if limit > 0 {
		f.Limit = limit + 1 // one more tells whether there are more
	}
	text, err := query.EventsSQL(f)
	if err != nil {
		hint := "`iamtrack events --help` lists the filters"
		if strings.Contains(err.Error(), "column") {
			hint += "; columns are " + strings.Join(allEventColumns(), ", ")
		}
		return withHint(usagef("events: %v", err), hint)
	}
	e.debug("SQL: %s", text)
	return e.asking(ctx, "events", func(_ *app.App, engine query.RangeEngine, c *covered) error {
		rows, err := query.Events(ctx, engine, f)
		if err != nil {
			return fmt.Errorf("events: %w", err)
		}
		return e.printRows(rows, rowsOptions{
			limit: limit, style: eventStyle, names: c.names,
			coverage: c.answer(e, question{since: e.since, until: e.until, streams: eventStreams(&f)}),
		})
	})
}

func allEventColumns() []string {
	var names []string
	for _, c := range query.EventColumns() {
		names = append(names, c.Name)
	}
	return names
}

// eventStyle lets ids be shortened: their first eight characters are enough for
// `events EVENT_ID`.
func eventStyle(name string) render.Column {
	c := columnStyle(name)
	c.Whole = false
	return c
}
