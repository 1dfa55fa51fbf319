package lake

import "errors"

// Options configures a Lake.
type Options struct {
	// ProgramVersion goes into the footer of every file written; empty is "dev".
	ProgramVersion string
}

// Lake is the day files and the key index of one bucket. Its methods may be
// called concurrently. Whoever calls Merge, Remove or Rebuild should hold the
// store's lease "lake": without it two writers of one day do twice the work
// before one of them wins, and a day that one empties while the other fills it
// is not protected (Bucket.Delete has no condition).
type Lake struct {
	bucket  Bucket
	version string
	keys    keyIndex
}

// New returns the lake in b. Nothing is read yet.
func New(b Bucket, opt Options) *Lake {
	if opt.ProgramVersion == "" {
		opt.ProgramVersion = "dev"
	}
	l := &Lake{bucket: b, version: opt.ProgramVersion}
	l.keys.lake = l
	return l
}

// Close lets go of the open files of the key index. The Lake must not be used
// afterwards; the bucket is the caller's.
func (l *Lake) Close() error {
	l.keys.mu.Lock()
	defer l.keys.mu.Unlock()
	var errs []error
	for name, r := range l.keys.runs {
		errs = append(errs, r.close())
		delete(l.keys.runs, name)
	}
	return errors.Join(errs...)
}
