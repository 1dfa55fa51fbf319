package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// File systems that reach another machine, by the magic number of statfs(2). On
// them locks and shared memory, on which SQLite's log rests, hold only within
// one machine, if at all.
var networkMagic = map[int64]string{
	0x6969:     "NFS",
	0x517b:     "SMB",
	0xff534d42: "CIFS",
	0xfe534d42: "SMB2",
	0x564c:     "NCP",
	0x5346414f: "AFS",
	0x6b414653: "AFS",
	0x73757245: "Coda",
	0x00c36400: "Ceph",
	0x01021997: "9P",
	0x0bd00bd0: "Lustre",
	0x19830326: "BeeGFS",
	0x7461636f: "OCFS2",
	0x01161970: "GFS2",
	0x47504653: "GPFS",
}

const fuseMagic = 0x65735546

// networkFUSE are the FUSE file systems (the type's part after "fuse.") that
// reach another machine. Others are local: encryption, NTFS, overlays.
var networkFUSE = map[string]bool{
	"sshfs": true, "s3fs": true, "rclone": true, "gcsfuse": true, "goofys": true, "geesefs": true,
	"mount-s3": true, "mountpoint-s3": true, "davfs": true, "davfs2": true, "glusterfs": true,
	"curlftpfs": true, "juicefs": true, "JuiceFS": true, "blobfuse": true, "blobfuse2": true,
	"smbnetfs": true, "gvfsd-fuse": true, "google-drive-ocamlfuse": true, "onedriver": true,
	"seaweedfs": true, "moosefs": true, "mfs": true, "cephfs": true, "ceph-fuse": true, "vmhgfs-fuse": true,
}

// networkFS returns the name of the network file system that a folder lies on,
// "" when it lies on a local one.
func networkFS(folder string) (string, error) {
	magic, err := statfsMagic(folder)
	if err != nil {
		return "", err
	}
	if magic == fuseMagic {
		return networkFUSEType(folder), nil
	}
	return networkMagic[magic], nil
}

func statfsMagic(folder string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(folder, &st); err != nil {
		return 0, err
	}
	// The field's type and sign differ between architectures.
	return int64(st.Type) & 0xffffffff, nil
}

// networkFUSEType looks up a FUSE file system's type in the list of mounts.
// Without that list it's taken for a local one.
func networkFUSEType(folder string) string {
	resolved, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return ""
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	kind := strings.TrimPrefix(mountType(string(mounts), resolved), "fuse.")
	if networkFUSE[kind] {
		return kind
	}
	return ""
}

// mountType returns the type of what is mounted where a path lies.
func mountType(mounts, path string) string {
	var best, name string
	for line := range strings.Lines(mounts) {
		at, kind := parseMount(line)
		// Of two mounts on one folder the later one is seen.
		if under(path, at) && len(at) >= len(best) {
			best, name = at, kind
		}
	}
	return name
}

// parseMount reads where and what a line of mountinfo mounts.
// Source: proc_pid_mountinfo(5).
func parseMount(line string) (at, kind string) {
	left, right, _ := strings.Cut(line, " - ")
	fields, rest := strings.Fields(left), strings.Fields(right)
	if len(fields) < 5 || len(rest) < 1 {
		return "", ""
	}
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	return unescape.Replace(fields[4]), rest[0]
}

// under reports whether path is folder or lies below it.
func under(path, folder string) bool {
	return folder != "" && (path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/"))
}

const noLockVFS = "unix-none"

func isReadOnlyFS(err error) bool { return errors.Is(err, syscall.EROFS) }
