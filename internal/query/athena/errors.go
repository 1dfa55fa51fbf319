package athena

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/query"
)

// refusal is a failure in a sentence, with the kind that callers branch on.
type refusal struct {
	text string
	kind error // of package awsapi; may be nil
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.kind }

func refuse(kind error, format string, args ...any) error {
	return &refusal{"query: " + fmt.Sprintf(format, args...), kind}
}

// explainStart says what a person can do about a query that wasn't started. Athena
// has one code for all that is wrong with a request, so its words decide.
func (e *Engine) explainStart(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("query: %w", context.Cause(ctx))
	}
	var a *awsapi.Error
	if !errors.As(err, &a) || a.Kind != awsapi.Other {
		return fmt.Errorf("query: %w", err)
	}
	o, in := e.options, e.api.Region()
	text := strings.ToLower(a.Message)
	switch {
	case strings.Contains(text, "workgroup") && strings.Contains(text, "not found"):
		return refuse(awsapi.ErrNotFound, "there is no Athena workgroup %s in %s: check the stack's name, the region (setting aws_region) and the account", o.Workgroup, in)
	case strings.Contains(text, "workgroup") && strings.Contains(text, "disabled"):
		return refuse(nil, "the Athena workgroup %s in %s is disabled: turn it on (UpdateWorkGroup, State ENABLED)", o.Workgroup, in)
	case strings.Contains(text, "no output location"):
		return refuse(nil, "the Athena workgroup %s in %s doesn't say where results are written: set its query result location to a folder in a bucket of that region", o.Workgroup, in)
	case strings.Contains(text, "output bucket") || strings.Contains(text, "save your query results") || strings.Contains(text, "outputlocation"):
		return refuse(nil, "Athena can't write results where the workgroup %s says%s: the bucket must exist in %s, and s3:GetBucketLocation, s3:ListBucket, s3:PutObject, s3:GetObject and s3:AbortMultipartUpload on it be permitted to the caller (%s)",
			o.Workgroup, or(o.Output, " (%s)"), in, a.Message)
	}
	return fmt.Errorf("query: %w", err)
}

// or is a format with its value, nothing for an empty value.
func or(value, format string) string {
	if value == "" {
		return ""
	}
	return fmt.Sprintf(format, value)
}

// The words in which Athena (engine 3) reports failures; those in front of a colon are
// its codes, as Trino names them.
var (
	perform     = regexp.MustCompile(`not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)(?: on resource: ([^\s,]+))?`)
	pathForm    = regexp.MustCompile(`s3[an]?://[^\s,)]+`)
	regionForm  = regexp.MustCompile(`(?i)(?:bucket is in this region|expecting|region):? '?([a-z]{2}(?:-[a-z]+)+-\d)`)
	codeForm    = regexp.MustCompile(`^[A-Z][A-Z_]+(?:: |$)`)
	missingForm = regexp.MustCompile(`(?i)(table|schema|database|column) '?"?([^\s'":]+)`)
)

// changing are the codes that a file replaced or removed while it was read can have:
// the reader finds other bytes than the listing and the footer promised.
var changing = []string{"HIVE_CURSOR_ERROR", "HIVE_CANNOT_OPEN_SPLIT", "HIVE_BAD_DATA", "HIVE_FILESYSTEM_ERROR", "HIVE_FILE_NOT_FOUND"}

// passing tells whether the same query, run again, may do better: a file changed
// under it, S3 was busy, or Athena itself says so.
func passing(s awsapi.AthenaState) bool {
	text := s.Reason
	if denied(text) {
		return false
	}
	for _, w := range []string{"NoSuchKey", "specified key does not exist", "PreconditionFailed", "pre-conditions you specified did not hold", "InvalidRange", "SlowDown", "Slow Down"} {
		if strings.Contains(text, w) {
			return true
		}
	}
	return s.Retryable || slices.Contains(changing, code(text))
}

// code is what is in front of a reason's first colon.
func code(reason string) string {
	return strings.TrimSuffix(codeForm.FindString(reason), ": ")
}

func denied(text string) bool {
	low := strings.ToLower(text)
	return strings.Contains(low, "access denied") || strings.Contains(low, "accessdenied") || strings.Contains(low, "permission denied") ||
		strings.Contains(low, "not authorized to") || strings.Contains(low, "status code: 403") || strings.Contains(low, "lake formation permission")
}

// explain says why a query ended without an answer.
func (e *Engine) explain(id string, s awsapi.AthenaState) error {
	o, in, text := e.options, e.api.Region(), s.Reason
	low := strings.ToLower(text)
	path := pathForm.FindString(text)
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(low, w) })
	}
	switch {
	case s.State == "CANCELLED" && has("bytes scanned limit", "scan limit", "data limit", "cutoff"):
		return refuse(nil, "the Athena workgroup %s permits no query to read that much (stopped after %s): narrow the range (--since, event_date), or raise the workgroup's limit (BytesScannedCutoffPerQuery)",
			o.Workgroup, megabytes(s.BytesScanned))
	case s.State == "CANCELLED":
		return refuse(nil, "Athena's query %s was stopped by somebody else%s", id, or(text, " (%s)"))
	// Before what is about rights: the words leave open which of both it is.
	case code(text) == "COLUMN_NOT_FOUND", has("column ") && has("cannot be resolved"):
		column := lastOf(missingForm.FindStringSubmatch(text))
		if slices.ContainsFunc(query.EventColumns(), func(c query.SchemaColumn) bool { return c.Name == column }) {
			return refuse(nil, "the table in database %s has no column %s: its definition is older than this program; update the stack, or make the table anew (`iamtrack query export --athena`)", o.Database, column)
		}
		return refuse(nil, "%s", text)
	case perform.MatchString(text):
		m := perform.FindStringSubmatch(text)
		return refuse(awsapi.ErrDenied, "access denied: %s%s: permit it to the caller", m[1], or(strings.Trim(m[2], "."), " on %s"))
	case has("lake formation permission"):
		return refuse(awsapi.ErrDenied, "access denied: Lake Formation keeps the database %s from the caller: grant SELECT and DESCRIBE on its tables there (%s)", o.Database, text)
	case denied(text) && has("writing output", "query results", "output location"):
		return refuse(awsapi.ErrDenied, "access denied: s3:PutObject on %s, where the workgroup %s writes results: permit it to the caller, and kms:GenerateDataKey on the key if results are encrypted", path, o.Workgroup)
	case denied(text) && path != "":
		return refuse(awsapi.ErrDenied, "access denied: s3:GetObject or s3:ListBucket on %s: permit both to the caller, and kms:Decrypt on the key that encrypts it", path)
	case denied(text):
		return refuse(awsapi.ErrDenied, "access denied: %s", text)
	case has("permanentredirect", "authorizationheadermalformed", "bucket is in this region", "must be addressed using the specified endpoint"):
		return refuse(nil, "the lake's bucket isn't in %s%s: ask the Athena of the bucket's region (setting aws_region)", in, or(lastOf(regionForm.FindStringSubmatch(text)), ", but in %s"))
	case has("nosuchbucket", "specified bucket does not exist"):
		return refuse(awsapi.ErrNotFound, "a bucket is missing%s: the lake's, which the table's location names, or that of the workgroup's results", or(path, ", that of %s"))
	case code(text) == "TABLE_NOT_FOUND", has("table ") && has("does not exist"):
		return refuse(awsapi.ErrNotFound, "Athena has no table %s in %s: make the tables (`iamtrack query export --athena` prints their definitions), or check the stack's name and the region",
			lastOf(missingForm.FindStringSubmatch(text)), in)
	case code(text) == "SCHEMA_NOT_FOUND", code(text) == "CATALOG_NOT_FOUND", has("schema ", "database ") && has("does not exist", "not found"):
		return refuse(awsapi.ErrNotFound, "Athena has no database %s in %s: check the stack's name, the region (setting aws_region) and the account (%s)", o.Database, in, text)
	case has("exhausted resources"):
		return refuse(nil, "Athena ran out of resources: narrow the range (--since, event_date) or ask for less (%s)", text)
	case has("query timeout", "exceeded time limit", "timed out"):
		return refuse(nil, "Athena stopped the query at its limit of time: narrow the range (--since, event_date) (%s)", text)
	case passing(s) && path != "":
		return refuse(nil, "the lake's file %s can't be read, also at a second try: if the exporter isn't at work, make it anew (`iamtrack export --rebuild`) (%s)", path, text)
	}
	return refuse(nil, "Athena: %s", or(text, "%s")+orIf(text == "", "the query "+id+" failed without a reason"))
}

func orIf(b bool, text string) string {
	if b {
		return text
	}
	return ""
}

// lastOf is the last group of a match, empty without one.
func lastOf(m []string) string {
	if len(m) == 0 {
		return ""
	}
	return strings.Trim(m[len(m)-1], ".'\"")
}

func megabytes(n int64) string { return fmt.Sprintf("%d MB", (n+bytesPerMB-1)/bytesPerMB) }
