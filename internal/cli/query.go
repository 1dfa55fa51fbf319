package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/query"
	"github.com/iamtrack/iamtrack/internal/render"
)

type queryOptions struct {
	params []string
	file   string
}

func newQueryCmd(e *env) *cobra.Command {
	var o queryOptions
	cmd := taking(coverageFlag(e, &cobra.Command{
		Use:     "query NAME",
		Aliases: []string{"run-query"}, // the earlier tool's word
		Short:   "Answer a question of the query pack",
		Long: `Answer a question of the query pack by its name; "query list" lists them, "query
show NAME" explains one. --since and --until replace the query's own look-back,
--tz is the zone of its days and hours. Your own queries (*.sql in --queries
DIR) are found by name too.

A table has the columns that people want; JSON (an array of objects), CSV and
Parquet have all, and all rows unless --limit is given. Time, rows and bytes
read are told on standard error.`,
		Example: `  iamtrack query root_usage
  iamtrack query permission_changes --since 30d --tz Europe/Berlin
  iamtrack query failed_auth --format parquet -o failed.parquet`,
		Args: argCount(1, 1, "the name of a query (`iamtrack query list` lists them)"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return queryNames(e), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runQuery(cmd.Context(), e, o, args[0]) },
	}), takesRange, takesLimit, takesParquet)
	f := cmd.Flags()
	f.StringArrayVar(&o.params, "param", nil, "a parameter of the query, as name=value (may be repeated)")
	f.StringVarP(&o.file, "output", "o", "", "write to that file instead of standard output")
	cmd.AddCommand(
		&cobra.Command{
			Use:     "list",
			Aliases: []string{"ls"},
			Short:   "List the queries",
			Long: `List the queries. JSON is an array of objects with name, title, group,
description, look_back_days, limit, params, table.`,
			Example: "  iamtrack query list",
			Args:    noArgs,
			RunE:    func(*cobra.Command, []string) error { return runQueryList(e) },
		},
		&cobra.Command{
			Use:     "show NAME",
			Short:   "Explain a query, with its parameters and its SQL",
			Example: "  iamtrack query show root_usage",
			Args:    argCount(1, 1, "the name of a query"),
			RunE:    func(_ *cobra.Command, args []string) error { return runQueryShow(e, args[0]) },
		},
		newQueryExportCmd(e),
	)
	return engineFlag(e, freshFlag(e, cmd))
}

func newQueryExportCmd(e *env) *cobra.Command {
	var o queryOptions
	var athena bool
	cmd := taking(&cobra.Command{
		Use:   "export [NAME…]",
		Short: "Print queries as SQL to paste into the Athena console",
		Long: `Print queries as SQL to paste into the Athena console: the same text that this
program runs, with the time range and zone filled in; without --since and
--until the range moves with the day on which the query is run. Without names all
are printed, after the definitions of the tables.`,
		Example: "  iamtrack query export --athena > queries.sql",
		Args:    cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			if !athena {
				return withHint(usagef("query export needs --athena"), "`iamtrack query export --athena`")
			}
			return runQueryExport(e, o, args)
		},
	}, takesRange, takesLimit)
	cmd.Flags().BoolVar(&athena, "athena", false, "for Athena (engine 3); the only target so far")
	cmd.Flags().StringArrayVar(&o.params, "param", nil, "a parameter, as name=value (may be repeated)")
	return cmd
}

func (e *env) catalogue() (*query.Catalogue, error) {
	c, err := query.LoadCatalogue(e.config.QueriesDir)
	if err != nil {
		return nil, err
	}
	for _, n := range c.Notes() {
		e.note("%s", n)
	}
	return c, nil
}

// findQuery reads the catalogue and the query of that name.
func (e *env) findQuery(name string) (query.Query, error) {
	c, err := e.catalogue()
	if err != nil {
		return query.Query{}, err
	}
	q, err := c.Get(name)
	if err != nil {
		return q, usagef("%v", err)
	}
	return q, nil
}

func queryNames(e *env) []string {
	c, err := query.LoadCatalogue(e.config.QueriesDir)
	if err != nil {
		return nil // the command itself says what is wrong
	}
	var names []string
	for _, q := range c.List() {
		names = append(names, q.Name)
	}
	return names
}

// queryParams are the answers to a query's placeholders. limit as in
// query.Params.
func (e *env) queryParams(o queryOptions, limit int) (query.Params, error) {
	start, end := e.config.OffHours()
	p := query.Params{
		Since: e.since, Until: e.until, TZ: e.config.Zone, OffStart: start, OffEnd: end,
		Limit: limit, Values: map[string]string{}, Now: e.now(),
	}
	for _, kv := range o.params {
		name, value, ok := strings.Cut(kv, "=")
		if !ok || name == "" {
			return p, withHint(usagef("--param %q is not name=value", kv), "for example --param user=alice")
		}
		if _, twice := p.Values[name]; twice {
			return p, usagef("--param %s is given twice", name)
		}
		p.Values[name] = value
	}
	return p, nil
}

func runQuery(ctx context.Context, e *env, o queryOptions, name string) error {
	if err := errors.Join(e.checkOutput(o.file), e.checkCoverage()); err != nil {
		return err
	}
	q, err := e.findQuery(name)
	if err != nil {
		return err
	}
	// One more row than is shown tells whether there are more.
	limit := e.limit(q.Limit)
	if e.parquet() && e.flags.limit < 0 {
		limit = 0
	}
	ask := -1
	if limit > 0 {
		ask = limit + 1
	}
	p, err := e.queryParams(o, ask)
	if err != nil {
		return err
	}
	text, err := q.Render(p)
	if err != nil {
		return withHint(usagef("%v", err), "`iamtrack query show "+q.Name+"` explains the query")
	}
	e.debug("SQL: %s", text)
	about, err := e.queryTimes(q, p)
	if err != nil {
		return usagef("%v", err)
	}
	ifNone := ""
	if e.since.IsZero() {
		ifNone = fmt.Sprintf("this query looks back %s: --since asks for more, such as --since 2020-01-01", count(q.LookBackDays, "day"))
	}
	return e.askingSQL(ctx, "query", func(_ *app.App, engine query.Engine, c *covered) error {
		rows, err := q.Run(ctx, engine, p)
		if err != nil {
			return fmt.Errorf("query %s: %w", q.Name, err)
		}
		return e.printRows(rows, rowsOptions{
			columns: q.Table, limit: limit, file: o.file, ifNone: ifNone, names: c.names, coverage: c.answer(e, about),
		})
	})
}

// queryTimes is the time that a query looks at.
func (e *env) queryTimes(q query.Query, p query.Params) (question, error) {
	back, _, bounded, err := q.Times(p)
	if err != nil || !bounded {
		return question{}, err
	}
	return question{since: e.since, until: e.until, back: back}, nil
}

// checkOutput checks --format against -o before any work is done.
func (e *env) checkOutput(file string) error {
	if e.parquet() && file == "" {
		return withHint(usagef("--format parquet needs a file"), "add -o FILE.parquet")
	}
	return nil
}

func runQueryList(e *env) error {
	c, err := e.catalogue()
	if err != nil {
		return err
	}
	queries := c.List()
	if e.format().Machine() {
		cols := render.Columns("name", "title", "group", "description", "look_back_days", "limit", "params", "table", "file")
		return e.answer(cols, func(p render.Printer) error {
			for _, q := range queries {
				params := make([]any, len(q.Params))
				for i := range q.Params {
					params[i] = q.Params[i]
				}
				if err := p.Row([]any{q.Name, q.Title, q.Group, q.Description, q.LookBackDays, q.Limit, params, list(q.Table), orNull(q.File)}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	slices.SortStableFunc(queries, func(a, b query.Query) int { return strings.Compare(a.Group, b.Group) })
	err = e.answer([]render.Column{{Name: "group"}, {Name: "query", Whole: true}, {Name: "title"}, {Name: "days"}, {Name: "parameters"}}, func(p render.Printer) error {
		for _, q := range queries {
			params := make([]string, len(q.Params))
			for i, o := range q.Params {
				params[i] = o.Name
			}
			if err := p.Row([]any{q.Group, q.Name, q.Title, q.LookBackDays, params}); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		e.note("%s; `iamtrack query NAME` answers one, `iamtrack query show NAME` explains it", count(len(queries), "query|queries"))
	}
	return err
}

// queryView is what `query show --format json` prints.
type queryView struct {
	query.Query
	SQL string `json:"sql"`
}

func runQueryShow(e *env, name string) error {
	q, err := e.findQuery(name)
	if err != nil {
		return err
	}
	return e.object(queryView{q, q.SQL()}, func() string {
		t := e.newPage()
		t.line(e.paint(render.Bold, render.Text(q.Title)))
		t.paragraph(render.Text(q.Description))
		t.blank()
		t.field("query", q.Name)
		t.field("group", q.Group)
		t.field("look-back", count(q.LookBackDays, "day"))
		if q.BaselineDays > 0 {
			t.field("baseline", count(q.BaselineDays, "day")+" before that")
		}
		if q.Limit > 0 {
			t.field("rows", "at most "+number(q.Limit)+" in a table")
		}
		t.field("file", q.File)
		if len(q.Params) > 0 {
			t.heading("Parameters")
			for _, p := range q.Params {
				rest := "default " + p.Default
				if p.Required {
					rest = "required"
				}
				t.line("  --param " + render.Text(p.Name+"=…  ("+p.Type+", "+rest+")  "+p.Description))
			}
		}
		t.heading("SQL")
		for line := range strings.Lines(q.SQL()) {
			t.line("  " + render.Text(strings.TrimRight(line, "\n")))
		}
		return t.String()
	})
}

func runQueryExport(e *env, o queryOptions, names []string) error {
	c, err := e.catalogue()
	if err != nil {
		return err
	}
	limit := e.flags.limit
	switch limit {
	case -1:
		limit = 0 // the query's own
	case 0:
		limit = -1
	}
	p, err := e.queryParams(o, limit)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		if len(p.Values) > 0 {
			return withHint(usagef("--param goes with the name of a query"), "`iamtrack query export --athena NAME --param …`")
		}
		return e.document(func(w io.Writer) error { return c.ExportAthena(w, p) })
	}
	p.Moving = p.Since.IsZero() && p.Until.IsZero()
	texts := make([]string, len(names))
	for i, name := range names {
		q, err := c.Get(name)
		if err != nil {
			return usagef("%v", err)
		}
		text, err := q.Render(p)
		if err != nil {
			return usagef("%v", err)
		}
		texts[i] = fmt.Sprintf("-- %s: %s\n%s;\n", q.Name, render.Text(q.Title), strings.TrimRight(text, "\n"))
	}
	return e.document(func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Join(texts, "\n"))
		return err
	})
}
