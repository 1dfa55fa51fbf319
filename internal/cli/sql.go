package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/query"
)

type sqlOptions struct {
	file   string // with the statement
	output string
}

// maxSQL bounds a statement read from a file, in bytes.
const maxSQL = 1 << 20

func newSQLCmd(e *env) *cobra.Command {
	var o sqlOptions
	cmd := taking(coverageFlag(e, &cobra.Command{
		Use:   "sql ['SELECT …' | -]",
		Short: "Ask in SQL (DuckDB's dialect) over the tables events and filtered",
		Long: `Ask in SQL (DuckDB's dialect) over the tables events and filtered. The statement
is the argument, or comes from --file FILE, or from standard input ("-", or when
that is no terminal); on a terminal without any there is a prompt, with history
and completion (Tab). Only reading is possible, and only of these tables.

Every row has event_date, the UTC day: naming a range of it reads only those
days' files. JSON is an array of objects, one per row; all rows are printed
except in a table, which ends after 1,000 unless --limit says more.`,
		Example: `  iamtrack sql "SELECT actor, count(*) AS n FROM events GROUP BY actor ORDER BY n DESC LIMIT 10"
  iamtrack sql --file question.sql --format csv
  iamtrack sql`,
		Args: argCount(0, 1, "one statement (in quotes)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text := ""
			if len(args) > 0 {
				text = args[0]
			}
			return runSQL(cmd.Context(), e, o, text)
		},
	}), takesLimit, takesParquet)
	cmd.Flags().StringVar(&o.file, "file", "", "read the statement from that file")
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "write to that file instead of standard output")
	return engineFlag(e, freshFlag(e, cmd))
}

func runSQL(ctx context.Context, e *env, o sqlOptions, text string) error {
	if err := errors.Join(e.checkOutput(o.output), e.checkCoverage()); err != nil {
		return err
	}
	if text != "" && o.file != "" {
		return usagef("sql takes a statement or --file, not both")
	}
	stdin, terminal := e.stdin.(*os.File)
	terminal = terminal && term.IsTerminal(int(stdin.Fd()))
	var err error
	switch {
	case o.file != "":
		f, err := os.Open(o.file)
		if err != nil {
			return fmt.Errorf("read the statement: %w", err)
		}
		text, err = readStatement(f)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", o.file, err)
		}
	case text == "" && terminal:
		if o.output != "" {
			return usagef("-o goes with a statement")
		}
		return e.askingSQL(ctx, "sql", func(_ *app.App, engine query.Engine, c *covered) error {
			for _, line := range c.answer(e, question{}).lines { // once, not under each answer
				e.say("missing: " + line)
			}
			return e.prompt(ctx, stdin, engine)
		})
	case text == "" || text == "-":
		if text, err = readStatement(e.stdin); err != nil {
			return fmt.Errorf("read standard input: %w", err)
		}
	}
	if strings.TrimSpace(text) == "" {
		return withHint(usagef("there is no statement"), "for example: `iamtrack sql \"SELECT event_name, count(*) FROM events GROUP BY 1\"`")
	}
	return e.askingSQL(ctx, "sql", func(_ *app.App, engine query.Engine, c *covered) error {
		return e.ask(ctx, engine, c.answer(e, question{}), text, o.output)
	})
}

func readStatement(r io.Reader) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxSQL+1))
	if err != nil {
		return "", err
	}
	if len(b) > maxSQL {
		return "", fmt.Errorf("longer than %s", bytesText(maxSQL))
	}
	return string(b), nil
}

// ask runs one statement and prints its rows. v may be nil.
func (e *env) ask(ctx context.Context, engine query.Engine, v *answerCoverage, text, output string) error {
	limit := e.limit(1000)
	if output != "" && e.flags.limit < 0 {
		limit = 0
	}
	rows, err := engine.Query(ctx, text)
	if err != nil {
		return withHint(fmt.Errorf("sql: %w", err), "tables are events and filtered; `iamtrack sql \"DESCRIBE events\"` lists the columns")
	}
	return e.printRows(rows, rowsOptions{limit: limit, file: output, coverage: v})
}
