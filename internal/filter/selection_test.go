package filter_test

import (
	"testing"

	"github.com/iamtrack/iamtrack/internal/filter"
)

func TestSelection(t *testing.T) {
	of := func(management bool, sources ...string) filter.Selection {
		t.Helper()
		f, err := filter.New(filter.Config{Sources: sources, ManagementOnly: management})
		if err != nil {
			t.Fatal(err)
		}
		return f.Selection()
	}
	for _, c := range []struct {
		s        filter.Selection
		want     string
		iam, sts bool
	}{
		{of(false), "", true, true},
		{of(true), "management", true, true},
		{of(false, "sts,IAM", "iam.amazonaws.com"), "iam.amazonaws.com,sts.amazonaws.com", true, true},
		{of(true, "iam"), "iam.amazonaws.com,management", true, false},
		{of(false, "s*"), "s*.amazonaws.com", false, true},
	} {
		if string(c.s) != c.want || c.s.Management("iam.amazonaws.com") != c.iam || c.s.Management("sts.amazonaws.com") != c.sts {
			t.Errorf("%q, want %q", c.s, c.want)
		}
		if !of(false).Includes(c.s) || !c.s.Includes(c.s) || c.s.Includes("other.amazonaws.com") != (c.s == "") {
			t.Errorf("%q includes wrongly", c.s)
		}
	}
}
