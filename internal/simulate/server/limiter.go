package server

import "time"

// tokenBucket is how AWS limits a rate: tokens come at the rate and are kept up to
// one second's worth.
type tokenBucket struct {
	tokens float64
	at     time.Time
}

// take takes a LookupEvents request out of the quota of an account's region. What
// others use of it comes out of the rate.
func (s *Server) take(p place, f *Faults) bool {
	now := s.now()
	rate := s.o.Rate * (1 - f.QuotaShare)
	most := max(1, rate)
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[p]
	if b == nil {
		b = &tokenBucket{tokens: most, at: now}
		s.buckets[p] = b
	}
	if passed := now.Sub(b.at); passed > 0 {
		b.tokens += rate * passed.Seconds()
		b.at = now
	}
	b.tokens = min(b.tokens, most)
	// A request that comes as its token does, to the nanosecond, is on time.
	const slack = 1e-6
	if b.tokens < 1-slack {
		return false
	}
	b.tokens--
	return true
}
