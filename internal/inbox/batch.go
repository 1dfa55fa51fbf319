package inbox

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lake"
)

const (
	// batchBytes is how much of a day's objects is held at once, compressed; what is
	// more is merged afterwards. Batches are few: a day of a million events, merged
	// at once, is some 300 MB.
	batchBytes = 64 << 20
	// openBytes bounds the blocks that are read side by side, uncompressed.
	openBytes = 48 << 20
	// batchObjects bounds the ids in a day file's footer.
	batchObjects = 4096
	readAtOnce   = 8
)

// Day is what the inbox has of a day.
type Day struct {
	Date    event.Date
	in      *Inbox
	report  func(Problem)
	objects []name // not yet merged
	known   bool   // what the lake has already is gone from objects
}

// Batch is a part of a day's objects, merged.
type Batch struct {
	// IDs and rows are for lake.Input.
	IDs      []string
	Events   iter.Seq2[event.Event, error]
	Filtered iter.Seq2[event.Filtered, error]
	// Last: nothing is left of what was listed.
	Last bool

	in      *Inbox
	objects []name
}

// Empty reports whether there is nothing to merge.
func (b *Batch) Empty() bool { return len(b.objects) == 0 }

// Done removes the objects, which are in the lake now.
func (b *Batch) Done(ctx context.Context) error {
	return removeAll(ctx, b.in, b.objects)
}

func removeAll(ctx context.Context, in *Inbox, objects []name) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readAtOnce)
	for _, n := range objects {
		g.Go(func() error { return in.delete(ctx, n.key()) })
	}
	return g.Wait()
}

// Next reads the next objects. Those that the day's files in l name are removed
// without being read: the exporter that merged them didn't come to that. Objects that
// can't be read are set aside. The last batch may be empty; there is none after it.
func (d *Day) Next(ctx context.Context, l *lake.Lake) (*Batch, error) {
	if !d.known {
		if err := d.removeMerged(ctx, l); err != nil {
			return nil, err
		}
		d.known = true
	}
	var read []*content
	held := 0
	for len(d.objects) > 0 && held < batchBytes && len(read) < batchObjects {
		// As many as surely have room; at least one.
		n, bytes := 0, 0
		for n < len(d.objects) && n < readAtOnce*8 && (n == 0 || held+bytes+int(d.objects[n].object.Size) <= batchBytes) {
			bytes += int(min(d.objects[n].object.Size, maxObject))
			n++
		}
		if held > 0 && held+bytes > batchBytes {
			break
		}
		got, err := d.readAll(ctx, d.objects[:n])
		if err != nil {
			return nil, err
		}
		for _, c := range got {
			held += c.size
		}
		read, d.objects = append(read, got...), d.objects[n:]
	}
	// Objects whose rows lie side by side are open at once: not more than fit.
	for len(read) > 1 && openAtOnce(read) > openBytes {
		keep := max(1, int(float64(len(read))*min(0.9, float64(openBytes)/float64(openAtOnce(read)))))
		for _, c := range read[keep:] {
			d.objects = append(d.objects, c.name)
		}
		read = read[:keep]
	}
	b := &Batch{in: d.in, Last: len(d.objects) == 0}
	var events, filtered []*block
	for _, c := range read {
		b.objects = append(b.objects, c.name)
		b.IDs = append(b.IDs, c.name.id)
		events, filtered = append(events, c.events...), append(filtered, c.filtered...)
	}
	slices.Sort(b.IDs)
	if len(events) > 0 {
		b.Events = merged[event.Event](events)
	}
	if len(filtered) > 0 {
		b.Filtered = merged[event.Filtered](filtered)
	}
	return b, nil
}

func (d *Day) removeMerged(ctx context.Context, l *lake.Lake) error {
	events, filtered, err := l.Sources(ctx, d.Date)
	if err != nil {
		return err
	}
	inEvents, inFiltered := set(events), set(filtered)
	var known []name
	d.objects = slices.DeleteFunc(d.objects, func(n name) bool {
		done := (n.events == 0 || inEvents[n.id]) && (n.filtered == 0 || inFiltered[n.id])
		if done {
			known = append(known, n)
		}
		return done
	})
	return removeAll(ctx, d.in, known)
}

func set(ids []string) map[string]bool {
	m := make(map[string]bool, len(ids))
	for _, id := range ids {
		m[id] = true
	}
	return m
}

// readAll reads objects; those that are gone, or no good, are left out.
func (d *Day) readAll(ctx context.Context, objects []name) ([]*content, error) {
	found := make([]*content, len(objects))
	wrong := make([]error, len(objects))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readAtOnce)
	for i, n := range objects {
		if n.object.Size > maxObject {
			wrong[i] = fmt.Errorf("it has %d bytes; at most %d are read", n.object.Size, maxObject)
			continue
		}
		g.Go(func() error {
			r, err := d.in.b.Open(gctx, n.key())
			if errors.Is(err, lake.ErrNotFound) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("read the inbox: %w", err)
			}
			if size := r.Object().Size; size > maxObject {
				wrong[i] = fmt.Errorf("it has %d bytes; at most %d are read", size, maxObject)
				return r.Close()
			}
			data, err := readAll(r)
			if err != nil {
				return fmt.Errorf("read %s: %w", n.key(), err)
			}
			found[i], wrong[i] = d.in.codec.parse(n, data)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for i, err := range wrong {
		switch {
		case errors.Is(err, lake.ErrNewer):
			d.report(Problem{Object: objects[i].key(), Reason: err.Error() + ": update the exporter"})
		case err != nil:
			if err := d.in.setAside(ctx, objects[i].key(), objects[i].object.Size, err, d.report); err != nil {
				return nil, err
			}
		}
	}
	return slices.DeleteFunc(found, func(c *content) bool { return c == nil }), nil
}

// openAtOnce is how many bytes of blocks are uncompressed at once, at most, when the
// objects are merged.
func openAtOnce(all []*content) int {
	var events, filtered []*block
	for _, c := range all {
		events, filtered = append(events, c.events...), append(filtered, c.filtered...)
	}
	return max(overlap(events), overlap(filtered))
}

func overlap(blocks []*block) int {
	type edge struct {
		at  position
		raw int
	}
	edges := make([]edge, 0, 2*len(blocks))
	for _, b := range blocks {
		edges = append(edges, edge{b.first, b.raw}, edge{b.last, -b.raw})
	}
	slices.SortFunc(edges, func(a, b edge) int {
		if c := a.at.compare(b.at); c != 0 {
			return c
		}
		return b.raw - a.raw // what opens before what closes
	})
	now, most := 0, 0
	for _, e := range edges {
		now += e.raw
		most = max(most, now)
	}
	return most
}

// merged yields the rows of blocks in one order. It may be iterated again. Rows of one
// position come in an order of their own, the same each time.
func merged[T row](blocks []*block) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		h := make(queue[T], 0, len(blocks))
		for i, b := range blocks {
			h = append(h, &cursor[T]{block: b, at: b.first, nth: i})
		}
		heap.Init(&h)
		for len(h) > 0 {
			c := h[0]
			if err := c.open(); err != nil {
				var none T
				yield(none, err)
				return
			}
			if !yield(c.row, nil) {
				return
			}
			more, err := c.next()
			switch {
			case err != nil:
				var none T
				yield(none, err)
				return
			case more:
				heap.Fix(&h, 0)
			default:
				heap.Pop(&h)
			}
		}
	}
}

// cursor is a block that is read, once its turn comes.
type cursor[T row] struct {
	block *block
	at    position // of the current row
	nth   int
	rest  string // rows after the current one
	left  int    // how many
	row   T
	read  bool // the block is uncompressed
}

func (c *cursor[T]) open() (err error) {
	if c.read {
		return nil
	}
	if c.rest, err = c.block.plain(); err != nil {
		return err
	}
	c.read, c.left = true, c.block.rows
	_, err = c.next()
	return err
}

func (c *cursor[T]) next() (more bool, err error) {
	if c.left == 0 {
		return false, nil
	}
	c.left--
	var r T
	if c.rest, err = readRow(c.rest, c.block.columns, &r); err != nil {
		return false, err
	}
	c.row, c.at = r, positionOf(&r)
	return true, nil
}

type queue[T row] []*cursor[T]

func (q queue[T]) Len() int { return len(q) }
func (q queue[T]) Less(i, j int) bool {
	if c := q[i].at.compare(q[j].at); c != 0 {
		return c < 0
	}
	return q[i].nth < q[j].nth
}
func (q queue[T]) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue[T]) Push(x any)   { *q = append(*q, x.(*cursor[T])) } //nolint:errcheck,forcetypeassert // only cursors are in it
func (q *queue[T]) Pop() any {
	old := *q
	c := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return c
}
