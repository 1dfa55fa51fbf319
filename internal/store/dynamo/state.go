package dynamo

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/coverage"
	"github.com/iamtrack/iamtrack/internal/store"
)

// A file of an import: pk "job" and the job's name, sk the path; of all imports: pk
// "imported" and the path, sk "file". P the path, Z size, M modification time (s and
// ns since 1970), E ETag, S selection. A job that has begun has an item with sk "!".

func jobPK(name string) string { return join("job", safe(name)) }

func fileItem(k key, f *store.FileState) item {
	it := k.item()
	it["P"], it["Z"], it["M"], it["N"] = bin(f.Path), num(f.Size), num(f.ModTime.Unix()), num(int64(f.ModTime.Nanosecond()))
	it["E"], it["S"] = bin(f.ETag), bin(f.Selection)
	return it
}

func fileOf(it item) store.FileState {
	return store.FileState{Path: getString(it, "P"), Size: getNumber(it, "Z"), ModTime: time.Unix(getNumber(it, "M"), getNumber(it, "N")).UTC(),
		ETag: getString(it, "E"), Selection: getString(it, "S")}
}

func importedKey(path string) key { return key{join("imported", safe(path)), "file"} }

// Job implements store.Store.
func (s *Store) Job(ctx context.Context, name string) (files map[string]store.FileState, err error) {
	err = s.write(ctx, "job", func(ctx context.Context) error {
		files = map[string]store.FileState{}
		begun := false
		for it, err := range s.query(ctx, jobPK(name), between{}) {
			if err != nil {
				return err
			}
			if getString(it, "sk") == "!" {
				begun = true
				continue
			}
			f := fileOf(it)
			files[f.Path] = f
		}
		if begun {
			return nil
		}
		_, _, err := s.put(ctx, key{jobPK(name), "!"}.item(), condition{})
		return err
	})
	return files, err
}

// FileDone implements store.Store.
func (s *Store) FileDone(ctx context.Context, job string, files []store.FileState) error {
	return s.write(ctx, "filedone", func(ctx context.Context) error {
		last := map[string]store.FileState{}
		for _, f := range files {
			last[f.Path] = f
		}
		items := []item{key{jobPK(job), "!"}.item()}
		for path, f := range last {
			items = append(items, fileItem(key{jobPK(job), "=" + safe(path)}, &f), fileItem(importedKey(path), &f))
		}
		return s.writeAll(ctx, items, nil)
	})
}

// EndJob implements store.Store.
func (s *Store) EndJob(ctx context.Context, job string) error {
	return s.write(ctx, "endjob", func(ctx context.Context) error {
		var keys []key
		for it, err := range s.query(ctx, jobPK(job), between{}) {
			if err != nil {
				return err
			}
			keys = append(keys, keyOf(it))
		}
		return s.writeAll(ctx, nil, keys)
	})
}

// Imported implements store.Store.
func (s *Store) Imported(ctx context.Context, paths []string) (map[string]store.FileState, error) {
	files := map[string]store.FileState{}
	err := s.read(ctx, func(ctx context.Context) error {
		keys := make([]key, len(paths))
		for i, p := range paths {
			keys[i] = importedKey(p)
		}
		found, err := s.get(ctx, keys)
		for _, it := range found {
			f := fileOf(it)
			files[f.Path] = f
		}
		return err
	})
	return files, err
}

// A setting: pk "meta", sk its key; b the value.
func metaKey(name string) key { return key{"meta", "=" + safe(name)} }

// Meta implements store.Store.
func (s *Store) Meta(ctx context.Context, name string) (value string, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		found, err := s.get(ctx, []key{metaKey(name)})
		it := found[metaKey(name)]
		if err != nil || it == nil {
			return err
		}
		plain, err := s.unpacked(ctx, it)
		value = string(plain)
		return err
	})
	return value, err
}

// SetMeta implements store.Store.
func (s *Store) SetMeta(ctx context.Context, name, value string) error {
	return s.write(ctx, "setmeta", func(ctx context.Context) error {
		it := metaKey(name).item()
		if err := s.store(ctx, "setting", it, compress([]byte(value))); err != nil {
			return err
		}
		_, _, err := s.put(ctx, it, condition{})
		return err
	})
}

// A ledger: pk "stream"; sk a digest of the stream; A R S account, region, source; v
// changes with every update; b the ledger.
const streamPK = "stream"

func streamKey(t coverage.Stream) key {
	return key{streamPK, digest(t.AccountID, t.Region, t.Source)}
}

// Streams implements store.Store.
func (s *Store) Streams(ctx context.Context) (ledgers []*coverage.Ledger, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		ledgers = nil
		for it, err := range s.query(ctx, streamPK, between{}) {
			if err != nil {
				return err
			}
			plain, err := s.unpacked(ctx, it)
			if err != nil {
				return err
			}
			l, err := coverage.Decode(coverage.Stream{AccountID: getString(it, "A"), Region: getString(it, "R"), Source: getString(it, "S")}, plain)
			if err != nil {
				return s.damaged(keyOf(it), err.Error())
			}
			ledgers = append(ledgers, l)
		}
		slices.SortFunc(ledgers, func(a, b *coverage.Ledger) int { return a.Stream.Compare(b.Stream) })
		return nil
	})
	return ledgers, err
}

// UpdateStream implements store.Store.
func (s *Store) UpdateStream(ctx context.Context, stream coverage.Stream, change func(*coverage.Ledger) error) error {
	return s.write(ctx, "updatestream", func(ctx context.Context) error {
		k := streamKey(stream)
		return s.again(ctx, "write coverage", func(ctx context.Context) (bool, error) {
			found, err := s.get(ctx, []key{k})
			if err != nil {
				return false, err
			}
			var old []byte
			c := absent
			if it := found[k]; it != nil {
				if old, err = s.unpacked(ctx, it); err != nil {
					return false, err
				}
				c = condition{"v = :was", item{":was": it["v"]}}
			}
			now, err := store.ChangeLedger(stream, old, change)
			if err != nil || now == nil {
				return err == nil, err
			}
			it, me := k.item(), randomID()
			it["A"], it["R"], it["S"], it["v"] = bin(stream.AccountID), bin(stream.Region), bin(stream.Source), str(me)
			if err := s.store(ctx, "ledger", it, compress(now)); err != nil {
				return false, err
			}
			done, there, err := s.put(ctx, it, c)
			return done || getString(there, "v") == me, err
		})
	})
}

// The name of an account: pk "account", sk the id; A N S id, name, source; t when it
// was seen, ms since 1970.
const accountPK = "account"

func accountOf(it item) store.AccountName {
	return store.AccountName{AccountID: getString(it, "A"), Name: getString(it, "N"), Source: getString(it, "S"), Seen: time.UnixMilli(getNumber(it, "T")).UTC()}
}

// AccountNames implements store.Store.
func (s *Store) AccountNames(ctx context.Context) (names []store.AccountName, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		names = nil
		for it, err := range s.query(ctx, accountPK, between{}) {
			if err != nil {
				return err
			}
			names = append(names, accountOf(it))
		}
		slices.SortFunc(names, func(a, b store.AccountName) int { return strings.Compare(a.AccountID, b.AccountID) })
		return nil
	})
	return names, err
}

// PutAccountNames implements store.Store.
func (s *Store) PutAccountNames(ctx context.Context, names []store.AccountName) error {
	return s.write(ctx, "putaccountnames", func(ctx context.Context) error {
		latest := map[string]store.AccountName{}
		for _, a := range names {
			a.Seen = store.CanonicalTime(a.Seen)
			if have, ok := latest[a.AccountID]; !ok || a.Newer(&have) {
				latest[a.AccountID] = a
			}
		}
		for id, a := range latest {
			k := key{accountPK, "=" + safe(id)}
			if err := s.again(ctx, "write account names", func(ctx context.Context) (bool, error) {
				found, err := s.get(ctx, []key{k})
				if err != nil {
					return false, err
				}
				c := absent
				if it := found[k]; it != nil {
					if have := accountOf(it); !a.Newer(&have) {
						return true, nil
					}
					c = condition{"T = :t AND N = :n AND S = :s", item{":t": it["T"], ":n": it["N"], ":s": it["S"]}}
				}
				it := k.item()
				it["A"], it["N"], it["S"], it["T"] = bin(id), bin(a.Name), bin(a.Source), num(a.Seen.UnixMilli())
				done, _, err := s.put(ctx, it, c)
				return done, err
			}); err != nil {
				return err
			}
		}
		return nil
	})
}

// Counts implements store.Store.
func (s *Store) Counts(ctx context.Context) (c store.Counts, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		c, err = s.count(ctx)
		return err
	})
	return c, err
}

func (s *Store) count(ctx context.Context) (c store.Counts, err error) {
	c.Alerts = map[string]map[string]int64{}
	days, err := s.days(ctx)
	if err != nil {
		return c, err
	}
	for _, d := range days {
		n, err := s.countDay(ctx, &d)
		if err != nil {
			return c, err
		}
		c.HotEvents += n.events
		c.HotFiltered += n.filtered
	}
	for pk, n := range map[string]*int64{rejectedPK: &c.Rejected, conflictPK: &c.Conflicts} {
		if *n, err = s.countItems(ctx, pk); err != nil {
			return c, err
		}
	}
	for it, err := range s.query(ctx, alertPK, between{}) {
		if err != nil {
			return c, err
		}
		if !made(it) {
			continue
		}
		a, err := s.alertOf(ctx, it)
		if err != nil {
			return c, err
		}
		c.AddAlerts(a.State, a.Severity, 1)
	}
	unrouted, err := s.unroutedAlerts(ctx)
	if err != nil {
		return c, err
	}
	c.Unrouted = int64(len(unrouted))
	list, err := s.messages(ctx, func(*store.Message) bool { return true })
	for i := range list {
		c.AddMessages(list[i].Channel, list[i].State, 1)
	}
	return c, err
}
