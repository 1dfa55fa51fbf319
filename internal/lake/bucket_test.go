package lake_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/lake/laketest"
)

func openDisk(tb testing.TB) lake.Bucket {
	b, err := lake.OpenDisk(filepath.Join(tb.TempDir(), "lake"), false)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func openMem(testing.TB) lake.Bucket { return lake.OpenMem() }

func TestBucketDisk(t *testing.T) { laketest.Bucket(t, openDisk) }
func TestBucketMem(t *testing.T)  { laketest.Bucket(t, openMem) }
func TestLakeMem(t *testing.T)    { laketest.Lake(t, openMem) }

func TestLakeDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("the lake is the same as in TestLakeMem")
	}
	laketest.Lake(t, openDisk)
}

func TestMemReportsMisuse(t *testing.T) {
	ctx := context.Background()
	b := lake.OpenMem()
	laketest.Put(t, b, "a", []byte("x"), "")
	r, err := b.Open(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadAt(make([]byte, 1), 0); err == nil {
		t.Error("a read after close worked")
	}
	if err := r.Close(); err == nil {
		t.Error("a second close worked")
	}
	w, err := b.Create(ctx, "b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(""); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("a write after commit worked")
	}
	if _, err := w.Commit(""); err == nil {
		t.Error("a second commit worked")
	}
}

func TestDiskModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lake")
	b, err := lake.OpenDisk(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	laketest.Put(t, b, "a/b/c", []byte("x"), "")
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %v, want %v", path, got, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDiskReadOnly(t *testing.T) {
	dir := t.TempDir()
	if _, err := lake.OpenDisk(filepath.Join(dir, "none"), true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that isn't there: got %v", err)
	}
	b, err := lake.OpenDisk(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	laketest.Put(t, b, "a", []byte("x"), "")
	ro, err := lake.OpenDisk(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := laketest.Get(t, ro, "a"); string(got) != "x" {
		t.Errorf("got %q", got)
	}
	if _, err := ro.Create(context.Background(), "b"); !errors.Is(err, lake.ErrReadOnly) {
		t.Errorf("create: got %v, want ErrReadOnly", err)
	}
	if err := ro.Delete(context.Background(), "a"); !errors.Is(err, lake.ErrReadOnly) {
		t.Errorf("delete: got %v, want ErrReadOnly", err)
	}
}

func TestDiskCleansUp(t *testing.T) {
	dir := t.TempDir()
	b, err := lake.OpenDisk(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	live, err := b.Create(context.Background(), "a")
	if err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(dir, ".tmp", "1234")
	if err := os.WriteFile(dead, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-24 * time.Hour)
	if err := os.Chtimes(dead, long, long); err != nil {
		t.Fatal(err)
	}
	if _, err := lake.OpenDisk(dir, false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dead); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the dead writer's file is still there: %v", err)
	}
	if _, err := live.Commit(""); err != nil {
		t.Errorf("the live writer: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, ".tmp")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestDiskLeavesNoTemporaryFiles(t *testing.T) {
	dir := t.TempDir()
	b, err := lake.OpenDisk(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	laketest.Put(t, b, "a", []byte("x"), "")
	w, err := b.Create(context.Background(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(""); !errors.Is(err, lake.ErrChanged) {
		t.Fatalf("got %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, ".tmp")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
