// Package callstest has the list of the calls to AWS that what runs in AWS makes
// (calls.txt), and holds runs of tests to it: a call that isn't in the list fails the
// test, and so does a line that no call needed. The policies of the stack are made of
// the list.
package callstest

import (
	_ "embed"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/iamtrack/iamtrack/internal/awsapi"
)

// Line is a permission that somebody needs.
type Line struct {
	// Who is a function of package function, or Store, Large or Ingest.
	Who string
	// Action is as IAM names it.
	Action string
	// Resource is table, table/index/NAME, bucket, bucket/FOLDER/*, topic, parameter,
	// secret, role (in other accounts), or * where the action takes none.
	Resource string
}

// What several functions do alike. Which actions a call of the store, or of the pipeline,
// needs depends on sizes, on what is there, and on who else is at work: who uses it at
// all needs all of them, whichever function met a case in the tests.
const (
	Store  = "store"  // the table, for all functions
	Large  = "large"  // values that are too large for the table, for all functions
	Ingest = "ingest" // records that are taken in, for tracker and realtime
)

func (l Line) String() string { return l.Who + " " + l.Action + " " + l.Resource }

//go:embed calls.txt
var text string

// Lines is the list, sorted.
func Lines() []Line {
	var list []Line
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		if len(f) != 3 {
			panic(fmt.Sprintf("calls.txt: the line %q hasn't three words", line))
		}
		list = append(list, Line{f[0], f[1], f[2]})
	}
	return list
}

// Of are the lines that a function needs.
func Of(who string) []Line {
	return slices.DeleteFunc(Lines(), func(l Line) bool {
		return l.Who != who && l.Who != Store && l.Who != Large && (l.Who != Ingest || who != "tracker" && who != "realtime")
	})
}

// rare are the permissions that come with one of the list, and that only some runs need.
// An object is looked at whose writing had no answer. One of some MB, in whatever folder,
// is read by its version, and written in parts, which are given up when one fails.
func rare(l Line) []Line {
	var list []Line
	add := func(action string) { list = append(list, Line{l.Who, action, l.Resource}) }
	if l.Action == "s3:PutObject" {
		add("s3:GetObject")
	}
	if strings.HasPrefix(l.Resource, "bucket/") {
		switch l.Action {
		case "s3:GetObject":
			add("s3:GetObjectVersion")
		case "s3:PutObject":
			add("s3:AbortMultipartUpload")
		}
	}
	return list
}

// Needs are what a function must be permitted, by action and resource: Of, and what
// only some runs need. Lines have no Who.
func Needs(who string) []Line {
	var list []Line
	for _, l := range Of(who) {
		l.Who = ""
		list = append(append(list, l), rare(l)...)
	}
	slices.SortFunc(list, compare)
	return slices.Compact(list)
}

func compare(a, b Line) int { return strings.Compare(a.String(), b.String()) }

// Recorder notes calls. Its methods are safe for concurrent use.
type Recorder struct {
	// Names says what to call a resource: an ARN, or the start of one, is replaced.
	Names map[string]string

	mu    sync.Mutex
	lines map[Line]bool
}

// As returns what notes the calls that somebody makes, for awsapi.Config.
func (r *Recorder) As(who string) func(awsapi.Call) {
	return func(c awsapi.Call) {
		if l, ok := r.Line(who, c); ok {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.lines == nil {
				r.lines = map[Line]bool{}
			}
			r.lines[l] = true
		}
	}
}

// Line is the line that permits a call; false for what needs no permission (AWS STS
// API Reference, "GetCallerIdentity").
func (r *Recorder) Line(who string, c awsapi.Call) (Line, bool) {
	resource := c.Resource
	for arn, name := range r.Names {
		if rest, ok := strings.CutPrefix(resource, arn); ok && (rest == "" || rest[0] == '/') {
			resource = name + rest
		}
	}
	if rest, ok := strings.CutPrefix(resource, "bucket/"); ok {
		folder, _, in := strings.Cut(rest, "/")
		if resource = "bucket/" + folder; in {
			resource += "/*"
		}
	}
	switch service, _, _ := strings.Cut(c.Action, ":"); service {
	case "dynamodb":
		if resource == "table" {
			who = Store
		}
	case "s3":
		switch {
		case resource == "bucket/large/*":
			who = Large
		case who == "tracker" || who == "realtime":
			who = Ingest
		}
	case "sts":
		resource = "role"
	case "sns", "ssm", "secretsmanager":
	default: // none of their actions that are used takes a resource
		resource = "*"
	}
	return Line{who, c.Action, resource}, c.Action != "sts:GetCallerIdentity"
}

// Recorded are the lines that were noted, sorted.
func (r *Recorder) Recorded() []Line {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.SortedFunc(maps.Keys(r.lines), compare)
}

var update = flag.Bool("update-calls", false, "write the calls that were made into the list")

// Check compares what was noted of some (Line.Who) with the list, both ways; of others
// it must be in the list, no more.
func (r *Recorder) Check(tb testing.TB, whose ...string) {
	tb.Helper()
	did := r.Recorded()
	if *update {
		if err := write(did, whose); err != nil {
			tb.Fatal(err)
		}
		return
	}
	list := Lines()
	permitted := slices.Clone(list)
	for _, l := range list {
		permitted = append(permitted, rare(l)...)
	}
	for _, l := range did {
		if !slices.Contains(permitted, l) {
			tb.Errorf("the call %v isn't in calls.txt: add it with -update-calls, and see that the template permits it", l)
		}
	}
	for _, l := range list {
		if slices.Contains(whose, l.Who) && !slices.Contains(did, l) {
			tb.Errorf("nobody needed %v of calls.txt", l)
		}
	}
}

// write puts lines in the place of those of the same whose.
func write(did []Line, whose []string) error {
	_, here, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(here) {
		return fmt.Errorf("the list's folder is not known: run the test without -trimpath")
	}
	name := filepath.Join(filepath.Dir(here), "calls.txt")
	old, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var out strings.Builder
	var lines []string
	for line := range strings.Lines(string(old)) {
		who, _, _ := strings.Cut(line, " ")
		switch {
		case strings.HasPrefix(line, "#"):
			out.WriteString(line)
		case strings.TrimSpace(line) != "" && !slices.Contains(whose, who):
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	for _, l := range did {
		if slices.Contains(whose, l.Who) {
			lines = append(lines, l.String())
		}
	}
	slices.Sort(lines)
	for _, l := range slices.Compact(lines) {
		out.WriteString(l + "\n")
	}
	return os.WriteFile(name, []byte(out.String()), 0o644) //nolint:gosec // a file of the repository
}
