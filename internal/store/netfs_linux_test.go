package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNetworkFSLocal(t *testing.T) {
	name, err := networkFS(t.TempDir())
	if err != nil || name != "" {
		t.Fatalf("the temporary folder is on %q, error %v", name, err)
	}
	if _, err := networkFS(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("got %v", err)
	}
}

func TestParseMount(t *testing.T) {
	for line, want := range map[string][2]string{
		`36 35 98:0 / /mnt rw,noatime master:1 - ext3 /dev/root rw`:                  {"/mnt", "ext3"},
		`99 35 0:50 / /home/a/my\040files rw - fuse.sshfs user@host:/x rw,user_id=0`: {"/home/a/my files", "fuse.sshfs"},
		`99 35 0:50 / /a\134b rw shared:1 propagate_from:2 - fuse.rclone remote: rw`: {`/a\b`, "fuse.rclone"},
		`short - x`: {"", ""},
		``:          {"", ""},
	} {
		at, kind := parseMount(line)
		if at != want[0] || kind != want[1] {
			t.Errorf("%s: %q %q, want %q", line, at, kind, want)
		}
	}
	for _, c := range []struct {
		path, folder string
		want         bool
	}{{"/a/b", "/a", true}, {"/a/b", "/a/b", true}, {"/ab", "/a", false}, {"/a", "/", true}, {"/a", "", false}} {
		if got := under(c.path, c.folder); got != c.want {
			t.Errorf("under(%s, %s) = %v", c.path, c.folder, got)
		}
	}
}

func TestMountType(t *testing.T) {
	const mounts = `1 0 8:1 / / rw - ext4 /dev/sda rw
2 1 0:1 / /home/me rw - fuse.gocryptfs x rw
3 2 0:2 / /home/me/remote rw - fuse.sshfs host: rw
4 2 0:3 / /home/me/remote rw - fuse.rclone host: rw
5 1 0:4 / /home/men rw - nfs4 host: rw
`
	for path, want := range map[string]string{
		"/etc": "ext4", "/home/me/x": "fuse.gocryptfs", "/home/me/remote": "fuse.rclone", "/home/me/remotely": "fuse.gocryptfs", "/home/men/a": "nfs4",
	} {
		if got := mountType(mounts, path); got != want {
			t.Errorf("%s is on %q, want %q", path, got, want)
		}
	}
	if name := networkFUSEType(t.TempDir()); name != "" {
		t.Errorf("the temporary folder is on %s", name)
	}
}

// A store on a network file system is refused before anything is made there.
func TestNetworkFSRefused(t *testing.T) {
	dir := t.TempDir()
	name, err := networkFS(dir)
	if err != nil || name != "" {
		t.Fatal(name, err)
	}
	magic, err := statfsMagic(dir)
	if err != nil {
		t.Fatal(err)
	}
	networkMagic[magic] = "a network file system for tests"
	t.Cleanup(func() { delete(networkMagic, magic) })
	path := filepath.Join(dir, "iamtrack.db")
	for _, ro := range []bool{false, true} {
		_, err = OpenSQLite(t.Context(), path, SQLiteOptions{ReadOnly: ro})
		if !errors.Is(err, ErrNetworkFS) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "for tests") {
			t.Fatalf("got %v", err)
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Fatalf("left behind: %v, error %v", files, err)
	}
}
