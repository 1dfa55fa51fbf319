package server

import (
	"cmp"
	"slices"

	"github.com/iamtrack/iamtrack/internal/simulate"
)

// Count says how often an operation was asked for in an account's region.
type Count struct {
	Account, Region string
	Operation       string // such as cloudtrail:LookupEvents
	Requests        int    // all
	Throttled       int    // refused by the rate limit, or by Faults.Throttle
	Refused         int    // answered with another error
	Broken          int    // whose connection was broken
}

type countKey struct{ account, region, operation string }

type outcome int

const (
	outcomeDone outcome = iota
	outcomeThrottled
	outcomeRefused
	outcomeReset
)

func outcomeOf(e *apiError) outcome {
	if e.code == "ThrottlingException" {
		return outcomeThrottled
	}
	return outcomeRefused
}

func (s *Server) note(q *request, o outcome) {
	k := countKey{q.account, q.region, q.service + ":" + q.operation}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts[k]
	if c == nil {
		c = &Count{Account: k.account, Region: k.region, Operation: k.operation}
		s.counts[k] = c
	}
	c.Requests++
	switch o {
	case outcomeThrottled:
		c.Throttled++
	case outcomeRefused:
		c.Refused++
	case outcomeReset:
		c.Broken++
	case outcomeDone:
	}
}

// Counts returns all that was asked for so far, by account, region and operation.
func (s *Server) Counts() []Count {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Count
	for _, c := range s.counts {
		all = append(all, *c)
	}
	slices.SortFunc(all, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Region, b.Region), cmp.Compare(a.Operation, b.Operation))
	})
	return all
}

// Total adds up the counts of one operation, such as cloudtrail:LookupEvents.
func (s *Server) Total(operation string) Count {
	t := Count{Operation: operation}
	for _, c := range s.Counts() {
		if c.Operation == operation {
			t.Requests += c.Requests
			t.Throttled += c.Throttled
			t.Refused += c.Refused
			t.Broken += c.Broken
		}
	}
	return t
}

// ResetCounts forgets all counts, and which events were served.
func (s *Server) ResetCounts() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.counts)
	clear(s.served)
}

// Served returns how often each event was given out by LookupEvents, by stream and
// id, broken answers included, if Options.KeepServed is set.
func (s *Server) Served() map[simulate.Stream]map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[simulate.Stream]map[string]int, len(s.served))
	for k, m := range s.served {
		all[k] = make(map[string]int, len(m))
		for id, n := range m {
			all[k][uuidText(id)] = n
		}
	}
	return all
}

func (s *Server) noteServed(page []simulate.Entry) {
	if !s.o.KeepServed {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range page {
		k := e.Stream()
		if s.served[k] == nil {
			s.served[k] = map[[16]byte]int{}
		}
		s.served[k][e.ID()]++
	}
}
