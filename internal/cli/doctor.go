package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/render"
	"github.com/iamtrack/iamtrack/internal/source"
)

// checkState is the outcome of a check.
type checkState string

const (
	checkOK      checkState = "ok"
	checkWarning checkState = "warning" // worth knowing; it works all the same
	checkFailed  checkState = "failed"
)

// check is one thing that doctor looked at, and an element of what
// `doctor --format json` prints.
type check struct {
	Check     string // what was looked at; a permission by its name
	State     checkState
	AccountID string // empty: of no account
	Detail    string
	Hint      string // what to do; empty when there is nothing
}

// doctor gathers checks.
type doctor struct {
	*env
	checks []check
}

func (d *doctor) add(name string, state checkState, account, detail, hint string) {
	d.checks = append(d.checks, check{name, state, account, detail, d.typed(hint)})
}

func (d *doctor) ok(name, detail string)         { d.add(name, checkOK, "", detail, "") }
func (d *doctor) warning(name, detail, h string) { d.add(name, checkWarning, "", detail, h) }
func (d *doctor) failed(name, detail, h string)  { d.add(name, checkFailed, "", detail, h) }

// failure notes an error, of AWS's as what is wrong and what to do.
func (d *doctor) failure(name string, state checkState, account string, err error) {
	var e *awsapi.Error
	if !errors.As(err, &e) {
		d.add(name, state, account, err.Error(), "")
		return
	}
	d.add(name, state, account, awsDetail(e), e.Hint())
}

// alsoDo adds to the last check's hint.
func (d *doctor) alsoDo(hint string) {
	c := &d.checks[len(d.checks)-1]
	c.Hint = strings.TrimPrefix(c.Hint+"; "+hint, "; ")
}

// awsDetail is what went wrong, with the words that AWS had for it.
func awsDetail(e *awsapi.Error) string {
	detail := e.Reason()
	switch {
	case e.Kind == awsapi.Denied:
		detail += ": " + strings.TrimSpace(e.Action+" "+e.Resource)
	case e.Kind == awsapi.NoCredentials || e.Kind == awsapi.Network: // what the system says tells more
		detail = strings.TrimSuffix(e.Error(), ": "+e.Hint())
	case e.Kind != awsapi.Other && e.Message != "":
		detail += " (" + e.Message + ")"
	}
	return detail
}

func newDoctorCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor [s3://BUCKET/PREFIX]",
		Short: "Check that everything is there for collecting: folder, credentials, permissions, clock",
		Long: `Check the settings, the data directory, the channels of alerts and when was last
collected; then, with AWS, the credentials, each permission that collecting needs
in each region, the clock, and whether others use up CloudTrail's quota. With
--organization or --accounts the other accounts' roles are checked, too, with
s3://BUCKET/PREFIX the trail there. Nothing is changed and no message is sent; it
takes some seconds, and without credentials says what can be said without.

JSON is an array of objects with check, state (ok, warning, failed), account_id,
detail, hint (what to do). The exit code is 3 when a check failed, 1 when the data
directory can't be used and nothing can be read from AWS, either.`,
		Example: "  iamtrack doctor\n  iamtrack doctor --organization --format json",
		Args:    argCount(0, 1, "at most one place of a trail, s3://BUCKET/PREFIX"),
		RunE: func(cmd *cobra.Command, args []string) error {
			trail := ""
			if len(args) > 0 {
				trail = args[0]
			}
			return runDoctor(cmd.Context(), e, trail)
		},
	}
	awsFlags(cmd, awsFlagNames...)
	return cmd
}

// doctorTime bounds what AWS is asked.
const doctorTime = 13 * time.Second

var errDoctorTime = fmt.Errorf("no answer within %s", doctorTime)

func runDoctor(ctx context.Context, e *env, trail string) error {
	bucket, prefix, ok := source.ParseS3(trail)
	if trail != "" && (!ok || bucket == "") {
		return withHint(usagef("%q is no place in S3", trail), "use s3://BUCKET/PREFIX")
	}
	d := &doctor{env: e}
	usable := d.local(ctx)
	asking, cancel := context.WithTimeoutCause(ctx, doctorTime, errDoctorTime)
	defer cancel()
	readable := d.aws(asking, bucket, prefix)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := d.print(); err != nil {
		return err
	}
	failed := 0
	for _, c := range d.checks {
		if c.State == checkFailed {
			failed++
		}
	}
	switch {
	case failed == 0:
		return nil
	case !usable && !readable:
		return errors.New("doctor: nothing works yet")
	}
	return &partError{"doctor: " + count(failed, "check") + " failed"}
}

func (d *doctor) print() error {
	if d.format() != render.Table {
		return d.answer(render.Columns("check", "state", "account_id", "detail", "hint"), func(p render.Printer) error {
			for _, c := range d.checks {
				if err := p.Row([]any{c.Check, string(c.State), orNull(c.AccountID), c.Detail, orNull(c.Hint)}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return d.document(func(w io.Writer) error {
		_, err := io.WriteString(w, d.text())
		return err
	})
}

// text has a line for each check, and one for what to do.
func (d *doctor) text() string {
	colours := map[checkState]render.Colour{checkOK: render.NoColour, checkWarning: render.Yellow, checkFailed: render.Red}
	width := 0
	for _, c := range d.checks {
		width = max(width, len(c.Check))
	}
	var b strings.Builder
	for _, c := range d.checks {
		detail := c.Detail
		if c.AccountID != "" {
			detail = c.AccountID + ": " + detail
		}
		fmt.Fprintf(&b, "%s  %s  %s\n", d.paint(colours[c.State], fmt.Sprintf("%-7s", c.State)), render.Text(fmt.Sprintf("%-*s", width, c.Check)), render.Text(detail))
		if c.Hint != "" {
			fmt.Fprintf(&b, "%*s%s\n", 7+2+width+2, "", d.paint(render.Dim, "-> "+render.Text(c.Hint)))
		}
	}
	return b.String()
}

// listed is names in a sentence, not too many.
func listed(names []string) string {
	const most = 6
	names = slices.Sorted(slices.Values(names))
	if len(names) > most {
		return strings.Join(names[:most-1], ", ") + fmt.Sprintf(" and %d more", len(names)-most+1)
	}
	return strings.Join(names, ", ")
}
