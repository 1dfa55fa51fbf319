package coverage

// Slice pages through a span, newest first, and says after each page what was
// read to its end. Its bounds never change while it is paged, since a page token
// is good for the same request only.
type Slice struct {
	// Span is what is asked for, and Need the part, at its end, that must be
	// read: what a page holds beyond is welcome, but no page is asked for it.
	Span, Need Span
	floor      int64 // all from here to Span.To was read
}

// NewSlice returns a slice to be read from its top. need is cut to the end of
// span: it always reaches span.To.
func NewSlice(span, need Span) *Slice {
	return &Slice{Span: span, Need: Span{max(need.From, span.From), span.To}, floor: span.To}
}

// Page takes note of a page: oldest is the time of its oldest event, or 0 when it
// held none; more tells that there is a token for another. It returns what the
// page read to its end, possibly nothing, to be marked once the page's events are
// stored.
//
// Events come newest first, so all seconds after the oldest one seen are
// complete; that one itself may go on in the next page. The last page completes
// everything. An empty page with a token says nothing.
func (s *Slice) Page(oldest int64, more bool) Span {
	down := s.floor
	switch {
	case !more:
		down = s.Span.From
	case oldest != 0:
		down = min(max(oldest+1, s.Span.From), s.floor)
	}
	got := Span{down, s.floor}
	s.floor = down
	return got
}

// Done reports whether all that is needed was read: no further page is wanted.
func (s *Slice) Done() bool { return s.floor <= s.Need.From }

// Rest is the slice that remains, to start anew when its page token is no longer
// accepted or the run was interrupted: it ends with the oldest second seen, which
// was perhaps not complete. It is nil when nothing that is needed remains.
func (s *Slice) Rest() *Slice {
	if s.Done() {
		return nil
	}
	return NewSlice(Span{s.Span.From, s.floor}, s.Need)
}
