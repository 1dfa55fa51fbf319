package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/render"
	"github.com/iamtrack/iamtrack/internal/store"
)

func newExportCmd(e *env) *cobra.Command {
	var rebuild bool
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Bring the lake (Parquet files) up to date",
		Long: `Bring the lake up to date: Parquet files, one a day, in the folder lake of the
data directory, for any reader. Answers do so by themselves; this is for other
programs that read the lake. With nothing new it writes nothing.

JSON is one object: days (looked at), written, pruned, removed, and coverage (what
the lake lacks since collection began).`,
		Example: "  iamtrack export\n  iamtrack export --rebuild",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runExport(cmd.Context(), e, rebuild) },
	}
	cmd.Flags().BoolVar(&rebuild, "rebuild", false, "write every day anew, from its own rows")
	return cmd
}

// exportView is what `export --format json` prints.
type exportView struct {
	collect.ExportResult
	RolledUp    int             `json:"rolled_up"`
	NotRolledUp string          `json:"not_rolled_up,omitempty"`
	Coverage    *answerCoverage `json:"coverage"`
}

// rollUpNote says why the lake's files by month could not be made; empty for
// that they could.
func (e *env) rollUpNote(reason string) {
	if reason != "" {
		e.warn("the lake's files by month are not up to date: %s. Answers are right without them, and slower; `iamtrack export` tries again", reason)
	}
}

func runExport(ctx context.Context, e *env, rebuild bool) error {
	return e.changing(ctx, "export", func(a *app.App) error {
		c, err := e.readCovered(ctx, a)
		if err != nil {
			return err
		}
		bar := e.newProgress()
		o := collect.ExportOptions{Rebuild: rebuild, Progress: bar.exporting}
		res, err := a.Pipeline.Export(ctx, o)
		var held *store.HeldError
		if errors.As(err, &held) {
			e.note("waiting: %v", held)
			o.Wait = true
			res, err = a.Pipeline.Export(ctx, o)
		}
		bar.done()
		if err != nil {
			return fmt.Errorf("export: %w", err)
		}
		for _, u := range res.Unreadable {
			e.warn("an object of the inbox could not be merged: %s: %s", u.Object, u.Reason)
		}
		view := exportView{ExportResult: res, Coverage: c.answer(e, question{})}
		bar = e.newProgress()
		view.RolledUp, err = a.Pipeline.RollUp(ctx, bar.rollingUp)
		bar.done()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			view.NotRolledUp = err.Error()
		}
		e.rollUpNote(view.NotRolledUp)
		return e.object(view, func() string {
			text := "nothing new"
			if res.Days > 0 {
				text = fmt.Sprintf("%s of %s written", number(res.Written), count(res.Days, "day"))
			}
			if res.Removed > 0 {
				text += fmt.Sprintf(", %s removed (lake_days)", count(res.Removed, "old day"))
			}
			if view.RolledUp > 0 {
				text += fmt.Sprintf(", %s rolled up", count(view.RolledUp, "month"))
			}
			return fmt.Sprintf("%s; the lake is %s\n", text, render.Text(a.LakeDir())) + e.missingText(view.Coverage)
		})
	})
}
