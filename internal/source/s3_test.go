package source_test

import (
	stdcmp "cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/source"
)

// bucket is S3 in memory, with pages of three keys.
type bucket struct {
	objects map[string]string
	mu      sync.Mutex
	lists   []awsapi.ListInput
	gets    int
	broken  string // a key that can't be read
}

func (b *bucket) Name() string { return "b" }

func (b *bucket) List(_ context.Context, in awsapi.ListInput) (awsapi.Listing, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lists = append(b.lists, in)
	keys := make([]string, 0, len(b.objects))
	for k := range b.objects {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var l awsapi.Listing
	most := 3
	if in.Max > 0 {
		most = min(most, in.Max)
	}
	last := max(in.After, in.Token)
	for _, k := range keys {
		if !strings.HasPrefix(k, in.Prefix) || k <= last {
			continue
		}
		rest := k[len(in.Prefix):]
		if i := strings.Index(rest, in.Delimiter); in.Delimiter != "" && i >= 0 {
			p := in.Prefix + rest[:i+1]
			if strings.HasPrefix(last, p) || slices.Contains(l.Prefixes, p) {
				continue
			}
			if len(l.Prefixes)+len(l.Objects) == most {
				l.Token = last
				return l, nil
			}
			l.Prefixes, last = append(l.Prefixes, p), p+"\xff"
			continue
		}
		if len(l.Prefixes)+len(l.Objects) == most {
			l.Token = last
			return l, nil
		}
		l.Objects = append(l.Objects, awsapi.Object{Key: k, Size: int64(len(b.objects[k])), Modified: time.Unix(1, 0), Archived: strings.Contains(k, "cold")})
		last = k
	}
	return l, nil
}

func (b *bucket) Get(_ context.Context, key string) (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gets++
	if key == b.broken {
		return nil, errors.New("access denied")
	}
	return io.NopCloser(strings.NewReader(b.objects[key])), nil
}

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func logName(account, region, day string, n int) string {
	return fmt.Sprintf("%s_CloudTrail_%s_%sT1200Z_%04d.json.gz", account, region, strings.ReplaceAll(day, "/", ""), n)
}

func list(t *testing.T, b *bucket, prefix string, o source.S3Options) (keys []string, skipped source.Skipped, batches []source.Batch) {
	t.Helper()
	o.Now = now
	err := source.ListS3(t.Context(), b, prefix, o, func(batch source.Batch) error {
		for _, f := range batch.Files {
			keys = append(keys, strings.TrimPrefix(f.Path, "s3://b/"))
		}
		skipped.Digest += batch.Skipped.Digest
		skipped.Insight += batch.Skipped.Insight
		skipped.Other += batch.Skipped.Other
		batches = append(batches, batch)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys, skipped, batches
}

func day(t *testing.T, s string) event.Date {
	t.Helper()
	d, err := event.ParseDate(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Whatever lies above the folders of regions, each event file is listed once, in
// order of its day.
func TestListS3AnyLayout(t *testing.T) {
	for _, prefix := range []string{"", "AWSLogs/", "AWSLogs/o-abc/", "o-abc/AWSLogs/o-abc/", "my/own/prefix/AWSLogs/"} {
		t.Run(prefix, func(t *testing.T) {
			b := &bucket{objects: map[string]string{}}
			var want []string
			for _, d := range []string{"2026/10/30", "2026/10/31", "2026/11/01", "2026/11/21"} {
				for _, account := range []string{"111122223333", "444455556666"} {
					for _, region := range []string{"eu-west-3", "us-east-1"} {
						for n := range 4 {
							k := prefix + account + "/CloudTrail/" + region + "/" + d + "/" + logName(account, region, d, n)
							b.objects[k] = "{}"
							want = append(want, k)
						}
						b.objects[prefix+account+"/CloudTrail-Digest/"+region+"/"+d+"/x.json.gz"] = "{}"
					}
				}
			}
			b.objects[prefix+"111122223333/readme.txt"] = "x"
			b.objects[prefix+"111122223333/CloudTrail/"] = ""
			slices.SortFunc(want, func(x, y string) int {
				_, dx, _ := strings.Cut(x, "/2026/")
				_, dy, _ := strings.Cut(y, "/2026/")
				return stdcmp.Or(strings.Compare(dx[:5], dy[:5]), strings.Compare(x, y))
			})
			got, skipped, batches := list(t, b, "", source.S3Options{})
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("files (-want +got):\n%s", d)
			}
			if skipped.Digest != 2 || skipped.Other != 1 {
				t.Errorf("skipped %+v", skipped)
			}
			for i, batch := range batches[:len(batches)-1] {
				if batch.From >= batch.To || i > 0 && batch.From != batches[i-1].To {
					t.Errorf("batch %d is of %s to %s", i, batch.From, batch.To)
				}
			}
			some, _, _ := list(t, b, strings.TrimSuffix(prefix, "/"), source.S3Options{Since: day(t, "2026-10-31"), Until: day(t, "2026-11-01")})
			if d := cmp.Diff(want[16:48], some); d != "" {
				t.Errorf("files of two days (-want +got):\n%s", d)
			}
			one, _, _ := list(t, b, prefix+"444455556666/CloudTrail/us-east-1/2026/11", source.S3Options{})
			if len(one) != 8 {
				t.Errorf("files of a month: %q", one)
			}
			exact, _, _ := list(t, b, want[0], source.S3Options{})
			if d := cmp.Diff(want[:1], exact); d != "" {
				t.Errorf("one object: %s", d)
			}
		})
	}
}

func TestListS3OtherFolders(t *testing.T) {
	b := &bucket{objects: map[string]string{
		"logs/2026/1/5/a.json":     "{}", // no zero: the order of names isn't that of days
		"logs/2026/11/5/b.json":    "{}",
		"logs/2026/11/5/x.parquet": "",
		"flat/" + logName("111122223333", "us-east-1", "2026/11/02", 1):                      "{}",
		"flat/" + logName("111122223333", "us-east-1", "2026/11/03", 1):                      "{}",
		"flat/111122223333_CloudTrail-Digest_us-east-1_t_us-east-1_20261103T120000Z.json.gz": "{}",
		"cold/1.json": "{}",
		// A file where folders of days are expected, and one of the future.
		"AWSLogs/1/CloudTrail/us-east-1/0.json":            "{}",
		"AWSLogs/1/CloudTrail/us-east-1/2026/11/02/1.json": "{}",
		"AWSLogs/1/CloudTrail/us-east-1/2031/01/01/2.json": "{}",
		"AWSLogs/1/CloudTrail/us-east-1/zzz.json":          "{}",
	}}
	got, skipped, batches := list(t, b, "", source.S3Options{})
	if len(got) != 9 || skipped.Other != 1 || skipped.Digest != 1 {
		t.Errorf("%q, %+v", got, skipped)
	}
	found := false
	for _, batch := range batches {
		for _, f := range batch.Files {
			if strings.Contains(f.Path, "cold") {
				found = f.Err != nil && strings.Contains(f.Err.Error(), "restore")
			}
		}
	}
	if !found {
		t.Error("an archived object has no error")
	}
	got, _, _ = list(t, b, "flat", source.S3Options{Since: day(t, "2026-11-03")})
	if len(got) != 1 {
		t.Errorf("bounded by the day in the name: %q", got)
	}
	for prefix, says := range map[string]string{"none": "nothing lies there", "lo*": "patterns"} {
		err := source.ListS3(t.Context(), b, prefix, source.S3Options{Now: now}, func(source.Batch) error { return nil })
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", prefix, err)
		}
	}
}

// What is fetched ahead is what reading one after the other gives, within the
// memory that was granted.
func TestAhead(t *testing.T) {
	b := &bucket{objects: map[string]string{}}
	for n := range 200 {
		b.objects[fmt.Sprintf("f/%03d.json", n)] = fmt.Sprintf(`{"n":%d,%q:1}`, n, strings.Repeat("x", n%50))
	}
	b.objects["f/large.json"] = strings.Repeat(" ", 4000)
	b.broken = "f/100.json"
	var files []source.File
	err := source.ListS3(t.Context(), b, "f/", source.S3Options{Now: now}, func(batch source.Batch) error {
		files = append(files, batch.Files...)
		return nil
	})
	if err != nil || len(files) != 201 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	source.Ahead(t.Context(), files, 800)
	for _, f := range files {
		r, err := source.Open(t.Context(), f, nil)
		key := strings.TrimPrefix(f.Path, "s3://b/")
		if key == b.broken {
			if err == nil {
				t.Error("what can't be fetched can be opened")
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || string(got) != b.objects[key] {
			t.Errorf("%s: %q, %v", key, got, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if b.gets != 201 {
		t.Errorf("%d requests", b.gets)
	}
}
