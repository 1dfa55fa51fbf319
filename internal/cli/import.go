package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/render"
)

type importOptions struct {
	paths   []string
	onlyNew bool
}

func newImportCmd(e *env) *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:   "import PATH…",
		Short: "Read CloudTrail files into the store",
		Long: `Read CloudTrail files: folders (with all below them), files, patterns such as
'logs/*.json.gz', or "-" for standard input. Any form is accepted: trail files,
JSON lines, arrays, LookupEvents output, EventBridge envelopes; plain, gzip or
zstd. Other files are passed over.

Importing is safe to repeat: what is stored already counts as a duplicate. An
import that was interrupted goes on where it was. Secrets are removed before
anything is written.

JSON is one object: files, records, stored, duplicates, conflicts,
filtered {service, role}, rejected, alerts, seconds, and more; stored +
duplicates + conflicts + filtered + rejected = records. A file that can't be
read to its end makes the exit code 3; the others are imported all the same.`,
		Example: `  iamtrack import ~/cloudtrail-logs
  aws s3 cp s3://bucket/file.json.gz - | iamtrack import -
  iamtrack import logs --sources iam,sts,signin,sso --format json`,
		Args: argCount(1, -1, "a file, a folder, a pattern, or - for standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.paths = args
			return runImport(cmd.Context(), e, o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.onlyNew, "new", false, "pass over files that were imported before and haven't changed")
	f.String("sources", "", "keep only events of these services: iam, sts, signin, sso, or as in eventSource (setting sources)")
	f.Bool("management-only", false, "leave out data events (setting management_only)")
	return cmd
}

func runImport(ctx context.Context, e *env, o importOptions) error {
	return e.with(ctx, "import", true, func(a *app.App) error {
		bar := e.newProgress()
		sum, err := a.Pipeline.Import(ctx, collect.ImportOptions{
			Paths: o.paths, Stdin: e.stdin, OnlyNew: o.onlyNew, Progress: bar.importing(),
		})
		bar.end()
		if err != nil {
			return fmt.Errorf("import: %w", err)
		}
		if err := e.object(sum, func() string { return e.importText(&sum) }); err != nil {
			return err
		}
		return e.importOutcome(&sum)
	})
}

// importText is the summary for people.
func (e *env) importText(s *collect.Summary) string {
	t := e.newPage()
	t.line(e.paint(render.Bold, count(s.Records, "record")) + " in " + count(s.Files, "file") + ", " + bytesText(s.Bytes) + ", " +
		secondsText(time.Duration(s.Seconds*float64(time.Second))))
	t.field("stored", number(s.Stored)+breakdown(s.Categories))
	t.field("duplicates", number(s.Duplicates))
	if n := s.Filtered.Service + s.Filtered.Role; n > 0 {
		t.field("filtered", fmt.Sprintf("%s (AWS services %s, roles %s)", number(n), number(s.Filtered.Service), number(s.Filtered.Role)))
	}
	for _, f := range []struct {
		name string
		n    int64
		what string
	}{
		{"conflicts", s.Conflicts, "known ids with other content, kept apart"},
		{"rejected", s.Rejected, "no CloudTrail records, kept with the reason"},
		{"left out", s.NotSelected, "not of the chosen sources"},
		{"kept", s.Kept, "stored although filtered, because of a critical alert"},
	} {
		if f.n > 0 {
			t.field(f.name, number(f.n)+" ("+f.what+")")
		}
	}
	if s.ResumedFiles > 0 {
		t.field("resumed", count(s.ResumedFiles, "file")+" had been finished before")
	}
	if s.SkippedFiles > 0 {
		t.field("passed over", count(s.SkippedFiles, "other file"))
	}
	if s.FirstEvent != nil && s.LastEvent != nil {
		t.field("from", e.timeText(s.FirstEvent.UnixMilli()))
		t.field("to", e.timeText(s.LastEvent.UnixMilli()))
	}
	t.field("new alerts", number(s.Alerts))
	return t.String()
}

// breakdown lists counts by name in brackets, the greatest first.
func breakdown(counts map[string]int64) string {
	var names []string
	for n, c := range counts {
		if c > 0 {
			names = append(names, n)
		}
	}
	if len(names) == 0 {
		return ""
	}
	slices.SortFunc(names, func(a, b string) int {
		if counts[a] != counts[b] {
			return int(min(max(counts[b]-counts[a], -1), 1))
		}
		return strings.Compare(a, b)
	})
	for i, n := range names {
		names[i] = n + " " + number(counts[n])
	}
	return " (" + strings.Join(names, ", ") + ")"
}

// importOutcome tells what is missing, and what to do next.
func (e *env) importOutcome(s *collect.Summary) error {
	const most = 10
	var unread int
	for i, f := range s.FailedFiles {
		if !f.Foreign {
			unread++
		}
		if i < most {
			e.warn("%s: %s", f.Path, f.Error)
		}
	}
	if n := len(s.FailedFiles); n > most {
		e.warn("and %s; --format json lists all", count(n-most, "more file"))
	}
	if s.Rejected > 0 {
		e.warn("%s could not be parsed; `iamtrack status --rejected` tells which", count(s.Rejected, "record"))
	}
	if s.Alerts > 0 {
		e.note("next: `iamtrack alerts list`")
	}
	if s.Incomplete() {
		return &partError{fmt.Sprintf("import: %s could not be read to the end", count(unread, "file"))}
	}
	return nil
}
