package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/legacy"
	"github.com/iamtrack/iamtrack/internal/render"
	"github.com/iamtrack/iamtrack/internal/source"
)

type importOptions struct {
	paths   []string
	onlyNew bool
	table   string // of the earlier tool; empty: paths are read
	account string
	units   float64
}

func newImportCmd(e *env) *cobra.Command {
	var o importOptions
	cmd := taking(&cobra.Command{
		Use:   "import PATH… | --from-legacy-table TABLE",
		Short: "Read CloudTrail files into the store and the lake",
		Long: `Read CloudTrail files into the store and the lake. PATH is a file, a folder
(with all below it), a pattern such as 'trail/**/*.json.gz', - for standard
input, or s3://BUCKET/PREFIX for a trail's bucket, of one account or of an
organization, whatever its layout. Accepted are trail log files ({"Records": […]}), JSON lines, single
records and arrays of them, LookupEvents output, EventBridge envelopes, and
Logstash lines; plain, gzip or zstd, told by content. Digest, Insight and
network-activity files of a trail are passed over.

Session tokens and other credentials are removed before anything is written.
Importing the same files again, in any order, changes nothing. An import that
was interrupted goes on where it was when it is run again.

From S3, --since and --until bound the days whose folders are read. With
--only-new every folder of a day is compared file by file, because CloudTrail may
deliver for 30 days; folders that were older than 35 days when an import of the
same PATH ended are taken for complete, unless --since reaches further back.
Needed are s3:ListBucket, s3:GetObject, and kms:Decrypt for an encrypted trail.

With --from-legacy-table the table of events of the earlier IAM Activity Tracker, the
one written in Python, is read instead. Its rows don't say who called but for a name, and
have no MFA, so their events are marked, and give way to CloudTrail's own record of the
same event, whichever comes first. --since and --until bound the events then. Needed are
dynamodb:DescribeTable and dynamodb:Scan.

JSON is one object: files, records, stored, duplicates, conflicts,
filtered {service, role}, rejected, alerts, seconds, with stored + duplicates +
conflicts + filtered + rejected = records; and failed_files, first_event,
last_event, categories and more; of a table legacy {table, account_id, missing,
unreadable}. A file that can't be read to its end, and a
folder below PATH that can't be read at all, make the exit code 3; all the
others are imported all the same.`,
		Example: `  iamtrack import ~/cloudtrail/AWSLogs
  aws cloudtrail lookup-events --output json | iamtrack import -
  iamtrack import logs --sources iam,sts,signin,sso --format json
  iamtrack import s3://my-trail/AWSLogs/ --since 30d --only-new
  iamtrack import --from-legacy-table iam-activity-tracker-events --aws-region us-east-1`,
		Args: func(cmd *cobra.Command, args []string) error {
			if o.table != "" {
				return noArgs(cmd, args)
			}
			return argCount(1, -1, "what to import: a file, a folder, a pattern, s3://BUCKET/PREFIX, or - for standard input")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.paths = args
			if o.table == "" {
				for _, name := range []string{"account", "read-units", "aws-region"} {
					if cmd.Flags().Changed(name) {
						return withHint(usagef("--%s goes with --from-legacy-table", name), "`iamtrack import --help` shows how")
					}
				}
			} else if o.onlyNew {
				return usagef("--only-new is about files: a table is read from where the last import of it was interrupted")
			}
			return runImport(cmd.Context(), e, o)
		},
	}, takesRange)
	f := cmd.Flags()
	f.BoolVar(&o.onlyNew, "only-new", false, "pass over files that an earlier import has finished and that did not change since")
	// These two are settings: prepare reads them.
	f.StringSlice("sources", nil, "keep only events of these services, such as iam,sts,signin,sso (setting sources)")
	f.Bool("management-only", false, "leave data events out (setting management_only)")
	f.StringVar(&o.table, "from-legacy-table", "", "read the earlier tool's table of events in DynamoDB")
	f.StringVar(&o.account, "account", "", "account whose events the table has (default: the table's own)")
	f.Float64Var(&o.units, "read-units", 200, "read units a second that reading the table may take; 0: any number")
	awsFlags(cmd, "profile", "endpoint-url", "aws-region")
	f.Lookup("aws-region").Usage = "AWS region of the table (setting aws_region; default the profile's)"
	return cmd
}

// legacyView is what `import --format json` tells of a legacy table.
type legacyView struct {
	Table     string   `json:"table"`
	AccountID string   `json:"account_id"`
	Missing   []string `json:"missing"` // what no row has
	// Unreadable are rows of which a part could not be read, and was left out.
	Unreadable int64 `json:"unreadable"`
}

// importView is what `import --format json` prints.
type importView struct {
	collect.Summary
	Legacy *legacyView `json:"legacy,omitempty"`
}

// importLegacy imports a table of the earlier tool.
func (e *env) importLegacy(ctx context.Context, a *app.App, o importOptions) (collect.Summary, *legacyView, error) {
	if o.units < 0 {
		return collect.Summary{}, nil, usagef("--read-units %v: use a positive number, or 0 for any", o.units)
	}
	session, err := e.aws(ctx)()
	if err != nil {
		return collect.Summary{}, nil, awsHint(err)
	}
	r, err := legacy.Open(ctx, session.Table(o.table), legacy.Options{AccountID: o.account, Since: e.since, Until: e.until, Units: o.units})
	if errors.Is(err, legacy.ErrNoAccount) {
		return collect.Summary{}, nil, withHint(fmt.Errorf("import: %w", err), "--account ID says whose they are: 12 digits")
	}
	if err != nil {
		return collect.Summary{}, nil, awsHint(fmt.Errorf("import: %w", err))
	}
	e.note("table %s: about %s, of account %s", render.Text(r.Info().Name), count(r.Info().Items, "row"), r.AccountID())
	p := e.newProgress()
	defer p.done()
	defer e.spendMemory()()
	name := fmt.Sprintf("%s %s %s %d %d", session.Region(), r.Info().Name, r.AccountID(), unixOf(e.since), unixOf(e.until))
	sum, err := a.ImportLegacy(ctx, r, name, collect.ImportOptions{MemoryBytes: e.config.MemoryLimit / 8, Progress: p.importing})
	p.done()
	if err != nil {
		return sum, nil, withHint(awsHint(err), "what was read is stored: give the command again, and it goes on")
	}
	return sum, &legacyView{Table: r.Info().Name, AccountID: r.AccountID(), Missing: legacy.Missing(), Unreadable: r.Unreadable}, e.rememberImport(ctx, a, sum)
}

// unixOf is a bound in a name; 0 for none.
func unixOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func runImport(ctx context.Context, e *env, o importOptions) error {
	return e.with(ctx, "import", true, func(a *app.App) error {
		var sum collect.Summary
		var old *legacyView
		var err error
		if o.table != "" {
			sum, old, err = e.importLegacy(ctx, a, o)
		} else {
			sum, err = e.importInto(ctx, a, o)
		}
		if err != nil {
			return err
		}
		if err := e.object(importView{sum, old}, func() string { return e.importText(sum) }); err != nil {
			return err
		}
		if old != nil {
			e.note("the table's rows have no %s: their events are marked (%s in the column rest), and CloudTrail's own records take their place when they come",
				strings.Join(old.Missing, ", "), legacy.Mark)
			if old.Unreadable > 0 {
				e.warn("%s a part that is no JSON, which was left out", count(old.Unreadable, "row has|rows have"))
			}
		}
		e.importNotes(sum)
		e.tell(ctx, a)
		if sum.Incomplete() {
			n := 0
			for _, f := range sum.FailedFiles {
				if !f.Foreign {
					n++
				}
			}
			return withHint(&partError{fmt.Sprintf("import: %s could not be read to the end; everything else is stored", count(n, "file"))},
				"the lines above name the files; import them again once they are mended")
		}
		return nil
	})
}

// importInto imports with progress.
func (e *env) importInto(ctx context.Context, a *app.App, o importOptions) (collect.Summary, error) {
	var here, buckets []string
	for _, path := range o.paths {
		if _, _, ok := source.ParseS3(path); ok {
			buckets = append(buckets, path)
		} else {
			here = append(here, path)
		}
	}
	if len(here) > 0 && (!e.since.IsZero() || !e.until.IsZero()) {
		return collect.Summary{}, usagef("--since and --until bound the days that are read from S3: they don't apply to %s", here[0])
	}
	p := e.newProgress()
	defer p.done()
	defer e.spendMemory()()
	options := collect.ImportOptions{
		Paths: here, Stdin: e.stdin, OnlyNew: o.onlyNew, Progress: p.importing, MemoryBytes: e.config.MemoryLimit / 8,
	}
	var sum collect.Summary
	if len(here) > 0 {
		var err error
		if sum, err = a.Pipeline.Import(ctx, options); err != nil {
			return sum, fmt.Errorf("import: %w", err)
		}
	}
	session := e.aws(ctx)
	for _, path := range buckets {
		part, err := e.importBucket(ctx, a, session, path, options)
		sum = collect.Join(sum, part)
		if err != nil {
			return sum, awsHint(fmt.Errorf("import: %w", err))
		}
	}
	p.done()
	return sum, e.rememberImport(ctx, a, sum)
}

// importBucket imports what s3://… names.
func (e *env) importBucket(ctx context.Context, a *app.App, session func() (*awsapi.Session, error), path string, o collect.ImportOptions) (collect.Summary, error) {
	s, err := session()
	if err != nil {
		return collect.Summary{}, err
	}
	bound := source.S3Options{Since: app.DayOf(e.since), Until: app.DayOf(e.until), Now: e.now()}
	name := fmt.Sprintf("%s %d %d", path, bound.Since, bound.Until)
	return a.Pipeline.ImportListed(ctx, o, name, func(ctx context.Context, since event.Date, yield func(source.Batch) error) error {
		bounded := bound
		if bounded.Since == 0 {
			bounded.Since = since
		}
		return app.ListS3(ctx, s, path, bounded, yield)
	})
}

// spendMemory lets the garbage collector work less often as long as the memory
// limit is far: an import allocates a lot, and keeps little. GOGC and GOMEMLIMIT,
// when set, are the user's word. The returned function undoes it.
func (e *env) spendMemory() (undo func()) {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		if _, set := e.lookupEnv(name); set {
			return func() {}
		}
	}
	limit := debug.SetMemoryLimit(e.config.MemoryLimit * 6 / 10) // the rest is SQLite's, buffers and head-room
	percent := debug.SetGCPercent(300)
	return func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}
}

// metaLastImport is the store's key for what status tells of the last import.
const metaLastImport = "last_import"

// lastImport is what is kept of an import.
type lastImport struct {
	Ended       time.Time           `json:"ended"`
	Files       int                 `json:"files"`
	Records     int64               `json:"records"`
	FailedFiles []collect.FileError `json:"failed_files"` // the first of them
	Failed      int                 `json:"failed"`       // how many there were
}

func (e *env) rememberImport(ctx context.Context, a *app.App, s collect.Summary) error {
	const most = 100 // a folder of other files must not fill the store
	text, err := json.Marshal(lastImport{
		Ended: e.now().UTC(), Files: s.Files, Records: s.Records,
		FailedFiles: s.FailedFiles[:min(most, len(s.FailedFiles))], Failed: len(s.FailedFiles),
	})
	if err == nil {
		err = a.Store.SetMeta(ctx, metaLastImport, string(text))
	}
	if err != nil {
		return fmt.Errorf("note the import for status: %w", err)
	}
	return nil
}

// recallImport returns what is known of the last import; nil when there was none.
func recallImport(ctx context.Context, a *app.App) (*lastImport, error) {
	text, err := a.Store.Meta(ctx, metaLastImport)
	if err != nil || text == "" {
		return nil, err
	}
	var l lastImport
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		return nil, fmt.Errorf("read what was noted of the last import: %w", err)
	}
	return &l, nil
}

// importText is the summary for people.
func (e *env) importText(s collect.Summary) string {
	t := e.newPage()
	rate := ""
	if s.Seconds > 0 {
		rate = fmt.Sprintf(" (%s records/s)", number(int64(float64(s.Records)/s.Seconds)))
	}
	t.line(fmt.Sprintf("%s from %s, %s, in %s%s", e.paint(render.Bold, count(s.Records, "record")), count(s.Files, "file"), bytesText(s.Bytes),
		secondsText(time.Duration(s.Seconds*float64(time.Second))), rate))
	t.field("stored", number(s.Stored)+inBrackets(byCategory(s.Categories)))
	if s.FirstEvent != nil && s.LastEvent != nil {
		t.field("from", e.timeText(s.FirstEvent.UnixMilli())+" to "+e.timeText(s.LastEvent.UnixMilli()))
	}
	t.field("duplicates", number(s.Duplicates)+" (the same event again)")
	t.field("filtered", fmt.Sprintf("%s (%s by AWS services, %s by roles)", number(s.Filtered.Service+s.Filtered.Role),
		number(s.Filtered.Service), number(s.Filtered.Role)))
	optional := func(name string, n int64, what string) {
		if n > 0 {
			t.field(name, number(n)+" "+e.typed(what))
		}
	}
	optional("kept", s.Kept, "filtered events that are stored all the same: a critical rule fired")
	optional("conflicts", s.Conflicts, "(a known event id with other content, kept apart)")
	optional("rejected", s.Rejected, "(not readable as CloudTrail records: see `iamtrack status --rejected`)")
	optional("left out", s.NotSelected, "records outside what was asked for (sources, management_only)")
	optional("resumed", int64(s.ResumedFiles), "files were finished by the interrupted import before")
	optional("passed over", int64(s.SkippedFiles), "files that are no event files, or were imported before")
	t.field("alerts", number(s.Alerts)+" new")
	return t.String()
}

// byCategory says how a count divides; categories in a fixed order.
func byCategory(counts map[string]int64) string {
	var parts []string
	for _, c := range []string{"iam", "sts", "signin", "sso", "other"} {
		if n := counts[c]; n > 0 {
			parts = append(parts, number(n)+" "+c)
		}
	}
	return strings.Join(parts, ", ")
}

func inBrackets(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// importNotes names what could not be read, and what to do next.
func (e *env) importNotes(s collect.Summary) {
	const most = 10
	for _, kind := range []struct {
		foreign bool
		say     func(string, ...any)
	}{{false, e.fail}, {true, e.note}} {
		n := 0
		for _, f := range s.FailedFiles {
			if f.Foreign != kind.foreign {
				continue
			}
			if n++; n <= most {
				kind.say("%s: %s", f.Path, f.Error)
			}
		}
		if n > most {
			kind.say("and %s; --format json lists all", count(n-most, "more file"))
		}
	}
	if s.Rejected > 0 {
		e.warn("%s could not be parsed: `iamtrack status --rejected` tells which, and why", count(s.Rejected, "record"))
	}
	e.rollUpNote(s.NotRolledUp)
	if s.Alerts > 0 {
		e.note("next: `iamtrack alerts list`")
	}
}
