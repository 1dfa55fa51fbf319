package deploy_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/deploy"
	"github.com/iamtrack/iamtrack/internal/query"
)

var update = flag.Bool("update", false, "rewrite the generated parts of template.yaml")

// asIs is text in which Fn::Sub finds nothing.
var asIs = strings.NewReplacer("${", "${!")

// tables are the lake's tables as resources.
func tables() string {
	const bucket = "BUCKET"
	var b strings.Builder
	for _, t := range query.LakeTables("s3://" + bucket) {
		sub := func(text string) string {
			if !strings.Contains(text, bucket) {
				return quote(text)
			}
			return "!Sub " + quote(strings.Replace(asIs.Replace(text), bucket, "${Bucket}", 1))
		}
		fmt.Fprintf(&b, "  %sTable:\n    Type: AWS::Glue::Table\n    Condition: Analytics\n    Properties:\n", strings.ToUpper(t.Name[:1])+t.Name[1:])
		fmt.Fprintf(&b, "      CatalogId: !Ref AWS::AccountId\n      DatabaseName: !Ref Database\n      TableInput:\n        Name: %s\n        TableType: %s\n        Parameters:\n", t.Name, t.TableType)
		for _, k := range slices.Sorted(maps.Keys(t.Parameters)) {
			fmt.Fprintf(&b, "          %s: %s\n", k, sub(t.Parameters[k]))
		}
		b.WriteString("        PartitionKeys:\n" + columns(t.PartitionKeys, "          "))
		s := t.StorageDescriptor
		fmt.Fprintf(&b, "        StorageDescriptor:\n          Location: %s\n          InputFormat: %s\n          OutputFormat: %s\n", sub(s.Location), s.InputFormat, s.OutputFormat)
		fmt.Fprintf(&b, "          SerdeInfo: {SerializationLibrary: %s}\n          Columns:\n%s", s.SerdeInfo.SerializationLibrary, columns(s.Columns, "            "))
	}
	return b.String()
}

func columns(list []query.TableColumn, indent string) string {
	var b strings.Builder
	for _, c := range list {
		fmt.Fprintf(&b, "%s- {Name: %s, Type: %s}\n", indent, c.Name, c.Type)
	}
	return b.String()
}

func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// queries are the query packs as resources.
func queries(t *testing.T) string {
	c, err := query.LoadCatalogue("")
	if err != nil {
		t.Fatal(err)
	}
	// The ranges move, so no text depends on when it is made.
	saved, err := c.Saved(query.Params{Now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, q := range saved {
		id := ""
		for word := range strings.SplitSeq(q.Name, "_") {
			id += strings.ToUpper(word[:1]) + word[1:]
		}
		fmt.Fprintf(&b, "  %sQuery:\n    Type: AWS::Athena::NamedQuery\n    Condition: Analytics\n    Properties:\n", id)
		fmt.Fprintf(&b, "      Name: %s\n      Description: %s\n      Database: !Ref Database\n      WorkGroup: !Ref Workgroup\n      QueryString: |-\n", q.Name, quote(q.Title))
		for line := range strings.SplitSeq(q.SQL, "\n") {
			if line = strings.TrimRight(line, " "); line != "" {
				line = "        " + line
			}
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// replace puts text between the marks of a part.
func replace(t *testing.T, template, part, text string) string {
	t.Helper()
	begin, end := strings.Index(template, "# BEGIN "+part+":"), strings.Index(template, "# END "+part+"\n")
	if begin < 0 || end < begin {
		t.Fatalf("template.yaml hasn't the marks of the part %s", part)
	}
	begin += strings.Index(template[begin:], "\n") + 1
	return template[:begin] + text + template[end:]
}

// What the program decides is in the template as the program decides it: the lake's
// tables, the query packs.
func TestGenerated(t *testing.T) {
	want := replace(t, deploy.Template, "tables", tables())
	want = replace(t, want, "queries", queries(t))
	if want == deploy.Template {
		return
	}
	if *update {
		if err := os.WriteFile("template.yaml", []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("template.yaml is not what the program makes (-have +want); `make template` rewrites it:\n%s", cmp.Diff(deploy.Template, want))
}
