package stack

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"crypto/md5" //nolint:gosec // what S3 names an object's content by
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
)

// Processors of the functions, as the template's parameter Architecture names them.
const (
	ARM = "arm64"
	X86 = "x86_64"
)

var machines = map[string]elf.Machine{ARM: elf.EM_AARCH64, X86: elf.EM_X86_64}

// CheckProgram says what is wrong with a file that is to be the functions' program on
// an architecture.
func CheckProgram(program []byte, architecture string) error {
	want, ok := machines[architecture]
	if !ok {
		return fmt.Errorf("there is no architecture %q: use %s or %s", architecture, ARM, X86)
	}
	const build = ": `make lambda` builds it from the sources"
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		return errors.New("it is no program for Linux" + build)
	}
	if f.Machine != want {
		is := f.Machine.String()
		for name, m := range machines {
			if m == f.Machine {
				is = name
			}
		}
		return fmt.Errorf("it is built for %s, and the parameter Architecture is %s%s, or set Architecture", is, architecture, build)
	}
	if f.Class != elf.ELFCLASS64 || f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN {
		return errors.New("it is no executable program" + build)
	}
	if libraries, err := f.ImportedLibraries(); err != nil || len(libraries) > 0 {
		return errors.New("it needs libraries that AWS Lambda doesn't have (CGO_ENABLED=0 makes it static)" + build)
	}
	return nil
}

// Zip packs the program as AWS Lambda wants it. The same program gives the same bytes,
// so that a deployment without a change has none.
//
// Source: AWS Lambda Developer Guide, "Deploy Go Lambda functions with .zip file
// archives": an executable called bootstrap.
func Zip(program []byte) ([]byte, error) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	w.RegisterCompressor(zip.Deflate, func(out io.Writer) (io.WriteCloser, error) { return flate.NewWriter(out, flate.BestCompression) })
	h := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
	h.SetMode(0o755)
	f, err := w.CreateHeader(h)
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(program); err != nil {
		return nil, err
	}
	err = w.Close() // writes the directory
	return b.Bytes(), err
}

// ArtifactsBucket is the name of the bucket for code and templates, unless another one
// is given: one for each account and region.
func ArtifactsBucket(account, region string) string {
	return "iamtrack-artifacts-" + account + "-" + region
}

// openArtifacts opens the bucket for code and templates, and makes it when it is the
// program's own and not there. It must belong to the account: its name can be guessed.
func openArtifacts(ctx context.Context, s *awsapi.Session, name, account string) (*awsapi.Bucket, error) {
	own := name == ""
	if own {
		name = ArtifactsBucket(account, s.Region())
	}
	b, err := s.OwnBucket(ctx, name, account)
	switch {
	case err == nil && !own:
		return b, nil
	case err == nil || errors.Is(err, awsapi.ErrNotFound) && own:
		// Also when it is there: an earlier run may have left it half made.
		b, err = s.MakeBucket(ctx, name, account)
	case errors.Is(err, awsapi.ErrNotFound):
		return nil, fmt.Errorf("%w: make it, or leave out --artifacts-bucket", err)
	}
	if err != nil {
		return nil, fmt.Errorf("the bucket for the functions' program: %w; another one is taken by --artifacts-bucket NAME", err)
	}
	return b, nil
}

// put writes an object that is named for its content, unless it is there.
func put(ctx context.Context, b *awsapi.Bucket, data []byte, key string) error {
	sum := md5.Sum(data) //nolint:gosec // see above
	there, err := b.Head(ctx, key)
	var only awsapi.Condition
	switch {
	case err == nil && there.Size == int64(len(data)) && there.ETag == hex.EncodeToString(sum[:]):
		return nil
	case err == nil:
		only.ETag = there.ETag // not what it should be, or encrypted with a key
	case !errors.Is(err, awsapi.ErrNotFound) && !errors.Is(err, awsapi.ErrDenied): // S3 denies what isn't there to who may not list
		return err
	}
	if _, err = b.Put(ctx, key, data, nil, only); errors.Is(err, awsapi.ErrChanged) {
		return nil // somebody deploys the same at the same time
	}
	return err
}

// contentKey names an object for its content.
func contentKey(prefix string, data []byte, suffix string) string {
	sum := sha256.Sum256(data)
	return prefix + hex.EncodeToString(sum[:16]) + suffix
}
