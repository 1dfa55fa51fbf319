package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/render"
)

func newVerifyCmd(e *env) *cobra.Command {
	var o trailOptions
	cmd := taking(&cobra.Command{
		Use:   "verify",
		Short: "Check that the lake is whole; with --trail, that a trail's files are CloudTrail's own",
		Long: `Read every file of the lake, and check that it is whole, in order, unchanged
since it was written, and holds what the store says it holds; files by month
must hold what their days do. A problem makes the exit code 1. A data directory
that can't be written, such as a copy on a read-only disk, is checked as it is.

JSON is one object: days, events, filtered, months, stale_months (files by month
whose days have changed since, so that no answer is read from them), problems
(an array of where, what).

With --trail PATH, a folder or s3://BUCKET/PREFIX, the log files there are checked
with the trail's digest files instead: that none is missing, changed, added or
renamed, and that no digest is missing, altered or out of order. Copies on disk
can be checked without AWS, given the public keys; the newest digest, whose
signature only S3 has, then needs it in a file with .signature after its name.
--since and --until bound the time of delivery. What speaks against the files
makes the exit code 1; what could not be read, and an account and region with log
files and no digest at all, 3.

JSON is one object then: trail, digests, proven, logs, uncovered (log files that no
digest tells of), foreign, faults, findings (an array of kind, path, detail,
account_id, aws_region), verified (account_id, aws_region, from, to: when all that
was delivered is there, unchanged).

What is proven, and was imported from there, is noted in the coverage of the data
directory, if there is one: level verified. JSON has it in coverage: streams,
not_imported (log files), unclear (streams that the trail may leave events out of).`,
		Example: "  iamtrack verify\n  iamtrack verify --trail ~/cloudtrail --public-keys keys.json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.path != "" {
				return runVerifyTrail(cmd.Context(), e, o)
			}
			if o.keys != "" || !e.since.IsZero() || !e.until.IsZero() {
				return usagef("--public-keys, --since and --until go with --trail")
			}
			return runVerify(cmd.Context(), e)
		},
	}, takesRange)
	f := cmd.Flags()
	f.StringVar(&o.path, "trail", "", "check a trail's log files instead: a folder, or s3://BUCKET/PREFIX")
	f.StringVar(&o.keys, "public-keys", "", "file with what aws cloudtrail list-public-keys printed; without, the keys are fetched once")
	awsFlags(cmd, "profile", "endpoint-url")
	cmd.Annotations[withoutStack] = "profile endpoint-url"
	return onStack(cmd)
}

// verifyReport is what `verify --format json` prints.
type verifyReport struct {
	Days     int               `json:"days"`
	Events   int64             `json:"events"`
	Filtered int64             `json:"filtered"`
	Months   int               `json:"months"`
	Stale    int               `json:"stale_months"`
	Problems []collect.Problem `json:"problems"`
}

func runVerify(ctx context.Context, e *env) error {
	return e.with(ctx, "verify", false, func(a *app.App) error {
		if a.ReadOnly {
			e.note("the data directory is read-only: should another program write to it meanwhile, a day may be reported wrongly")
		}
		problems := []collect.Problem{}
		res, err := a.Pipeline.Verify(ctx, func(p collect.Problem) { problems = append(problems, p) })
		if err != nil {
			return fmt.Errorf("verify: %w", err)
		}
		if res.Stale > 0 {
			e.note("%s of the lake out of date: answers are read from the days instead; `iamtrack export` renews them", count(res.Stale, "file by month|files by month"))
		}
		switch {
		case e.format() == render.JSON:
			err = e.document(func(w io.Writer) error {
				return render.WriteJSON(w, verifyReport{res.Days, res.Events, res.Filtered, res.Months, res.Stale, problems})
			})
		case len(problems) == 0 && e.format() == render.Table:
			err = e.document(func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s, %s, %s: store and lake agree\n",
					count(res.Days, "day"), count(res.Events, "event"), count(res.Filtered, "filtered event"))
				return err
			})
		default:
			cols := []render.Column{{Name: "where"}, {Name: "problem", Whole: true}}
			err = e.answer(cols, func(p render.Printer) error {
				for _, pr := range problems {
					if err := p.Row([]any{pr.Where, pr.What}); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err != nil {
			return err
		}
		if len(problems) > 0 {
			return withHint(fmt.Errorf("verify: %s in %s", count(len(problems), "problem"), count(res.Days, "day")),
				"a damaged day is written anew by importing its trail files again; `iamtrack export --rebuild` renews what the store knows of the lake")
		}
		return nil
	})
}
