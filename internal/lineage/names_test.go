package lineage_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/lineage"
)

func TestReadNames(t *testing.T) {
	name := func(store, user, name string) lineage.Name {
		return lineage.Name{Node: lineage.UserNode(store, user), Name: name, Source: lineage.Given}
	}
	for _, c := range []struct {
		name, text string
		want       []lineage.Name
		err        string
	}{
		{"CSV", "\ufeffname,User_ID,identity_store_id,team\r\n\"Adams, Alice\",u1,d-1,x\n Bob ,u2,arn:aws:identitystore::111122223333:identitystore/d-2,\n",
			[]lineage.Name{name("d-1", "u1", "Adams, Alice"), name("d-2", "u2", "Bob")}, ""},
		{"list-users", `{"Users":[{"UserName":"alice","UserId":"u1","DisplayName":"Alice","IdentityStoreId":"d-1","Emails":[{"Value":"x"}]},{"DisplayName":"Bob","UserId":"u2","IdentityStoreId":"d-1"}]}`,
			[]lineage.Name{name("d-1", "u1", "alice"), name("d-1", "u2", "Bob")}, ""},
		{"a list", ` [{"UserName":"alice","UserId":"u1","IdentityStoreId":"d-1"}]`, []lineage.Name{name("d-1", "u1", "alice")}, ""},
		{"a map", `{"d-1":{"u1":"alice"}}`, []lineage.Name{name("d-1", "u1", "alice")}, ""},
		{"no store", "user_id,name\nu1,alice\n", nil, "names.txt: line 1: no column identity_store_id"},
		{"an empty cell", "identity_store_id,user_id,name\nd-1,u1,alice\nd-1,,bob\n", nil, "line 3: the user's id is missing"},
		{"a broken line", "identity_store_id,user_id,name\nd-1,u1\n", nil, "wrong number of fields"},
		{"JSON without the store", `{"Users":[{"UserName":"alice","UserId":"u1"}]}`, nil, "user 1: the id of the identity store (d-…) is missing"},
		{"other JSON", `{"u1":"alice"}`, nil, "aws identitystore list-users"},
		{"broken JSON", `{"Users":`, nil, "unexpected end"},
		{"nothing", "", nil, "it has no names"},
		{"no users", `{"Users":[]}`, nil, "it has no names"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "names.txt")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := lineage.ReadNames(path)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), path) {
					t.Errorf("error %v, want %q and the file in it", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	if _, err := lineage.ReadNames(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that isn't there")
	}
}

// A name that is changed, or no longer given, is so at once and for all times.
func TestGivenNamesAreReplaced(t *testing.T) {
	list := func(names ...string) (out []lineage.Name) {
		for i, n := range names {
			if n != "" {
				out = append(out, lineage.Name{Node: lineage.UserNode("d-1", string(rune('a'+i))), Name: n, Source: lineage.Given})
			}
		}
		return out
	}
	src := newMemory()
	steps := [][]lineage.Name{nil, list("Alice", "Bob"), list("Alice B", "Bob"), list("", "Bob"), list("Alice", "Bob")}
	for i, want := range []string{"", "Alice", "Alice B", "a", "Alice"} {
		if i == 0 {
			continue
		}
		changed := lineage.Replace(steps[i-1], steps[i], int64(1000*i))
		if len(changed) > 2 {
			t.Errorf("step %d records %+v", i, changed)
		}
		src.add(lineage.Batch{Names: changed})
		e := portal(t, "1", 0, "arn:aws:identitystore::111122223333:identitystore/d-1", "a")
		r, err := lineage.NewResolver(src).Resolve(t.Context(), &e)
		if err != nil || r.Actor != want {
			t.Errorf("step %d: %q, %v, want %q", i, r.Actor, err, want)
		}
	}
	if again := lineage.Replace(steps[4], steps[4], 9000); !slices.Equal(again, nil) {
		t.Errorf("nothing new records %+v", again)
	}
}
