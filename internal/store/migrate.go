package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// applicationID marks a database as ours in its header: "iamt".
const applicationID = 0x69616d74

// migrations are the schema's steps: the first makes version 1 of an empty
// database, and so on.
var migrations = mustMigrations(migrationFiles)

// mustMigrations reads the steps, which are numbered without a gap from 1. The
// files are part of the program: a fault in them is a fault of the build.
func mustMigrations(files fs.FS) []string {
	names, err := fs.Glob(files, "migrations/*.sql")
	if err != nil {
		panic(err)
	}
	steps := make([]string, 0, len(names))
	for i, name := range names { // Glob sorts
		number, _, _ := strings.Cut(strings.TrimPrefix(name, "migrations/"), "_")
		if n, err := strconv.Atoi(number); err != nil || n != i+1 {
			panic("migration out of order: " + name)
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			panic(err)
		}
		steps = append(steps, string(text))
	}
	return steps
}

// schemaVersion reads how many migrations the database has seen; 0 for an empty
// one. It refuses what is not ours, and what a newer program made.
func (s *sqlite) schemaVersion(ctx context.Context, q querier) (int, error) {
	var version, app, tables int
	// One statement sees one state: another process may be making the schema.
	if err := q.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM sqlite_schema), v.user_version, a.application_id
FROM pragma_user_version v, pragma_application_id a`).Scan(&tables, &version, &app); err != nil {
		return 0, err
	}
	switch {
	case app != applicationID && (app != 0 || version != 0 || tables != 0):
		return 0, fmt.Errorf("%w: it belongs to another program", ErrDamaged)
	case version > len(migrations):
		return 0, fmt.Errorf("%w: its schema is %d, this version knows up to %d: update the program",
			ErrNewer, version, len(migrations))
	}
	return version, nil
}

// migrate brings the schema up to date, each step in a transaction of its own.
// Several processes may do so at once: each looks again once it may write.
func (s *sqlite) migrate(ctx context.Context) error {
	for range len(migrations) + 1 {
		var version int
		if err := s.retry(ctx, func() (err error) {
			version, err = s.schemaVersion(ctx, s.conn)
			return err
		}); err != nil {
			return err
		}
		if version == len(migrations) {
			return nil
		}
		if err := s.transaction(ctx, func(tx *writer) (err error) {
			if version, err = s.schemaVersion(ctx, tx.conn); err != nil || version == len(migrations) {
				return err
			}
			if err := tx.script(migrations[version]); err != nil {
				return fmt.Errorf("schema %d: %w", version+1, err)
			}
			return tx.script(fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, version+1))
		}); err != nil {
			return err
		}
	}
	return errors.New("the schema does not change")
}
