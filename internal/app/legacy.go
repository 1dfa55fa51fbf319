package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/legacy"
	"github.com/iamtrack/iamtrack/internal/source"
)

// legacyChunk is how much of a legacy table is read before it is stored, and how far is
// noted.
const legacyChunk = 16 << 20

// ImportLegacy imports a table of the earlier tool. name is the table's, with the
// bounds; interrupted, the next import of the same name goes on where it was.
func (a *App) ImportLegacy(ctx context.Context, r *legacy.Reader, name string, o collect.ImportOptions) (collect.Summary, error) {
	return a.importLegacy(ctx, r, name, legacyChunk, o)
}

func (a *App) importLegacy(ctx context.Context, r *legacy.Reader, name string, chunk int, o collect.ImportOptions) (collect.Summary, error) {
	note := "import_legacy:" + name
	from, err := a.Store.Meta(ctx, note)
	if err != nil {
		return collect.Summary{}, err
	}
	sum, err := a.Pipeline.ImportListed(ctx, o, note, func(ctx context.Context, _ event.Date, yield func(source.Batch) error) error {
		for {
			lines, next, err := r.Chunk(ctx, from, chunk)
			if err != nil {
				return err
			}
			hash := sha256.Sum256(lines)
			if len(lines) > 0 {
				file := source.InMemory("dynamodb://"+r.Info().Name, hex.EncodeToString(hash[:8]), lines)
				if err := yield(source.Batch{Files: []source.File{file}}); err != nil {
					return err
				}
			}
			// What was read is stored by now.
			if err := a.Store.SetMeta(ctx, note, next); err != nil {
				return err
			}
			if next == "" {
				return nil
			}
			from = next
		}
	})
	if err != nil {
		return sum, fmt.Errorf("import table %s: %w", r.Info().Name, err)
	}
	return sum, nil
}
