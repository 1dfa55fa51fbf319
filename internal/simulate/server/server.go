package server

import (
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/iamtrack/iamtrack/internal/simulate"
)

// Options say what a Server serves.
type Options struct {
	// World is what has happened and will happen. Required.
	World *simulate.World
	// Clock is the time; nil means Real.
	Clock Clock
	// StrictTime refuses requests that were signed more than five minutes away
	// from the account's time, as AWS does. Leave it out when the clients sign by
	// another clock than Clock.
	StrictTime bool
	// Delivery is how long after its time an event becomes visible.
	Delivery time.Duration
	// Faults is what goes wrong from the start; see Server.SetFaults.
	Faults Faults
	// Seed chooses what the faults hit; 0 means the world's.
	Seed uint64
	// Regions are those that the accounts have enabled; nil means the 17 that
	// every account has, and the world's.
	Regions []string
	// Roles may be assumed in every account; nil means DefaultRoles.
	Roles []Role
	// Rate is how many LookupEvents requests a second an account may make in a
	// region; 0 means 2.
	Rate float64
	// Bucket holds trail files; the zero value means that there is no trail.
	Bucket Bucket
	// KeepServed remembers how often each event was given out: see Server.Served.
	KeepServed bool
	// HistoryLimit is the number of events kept planned; see simulate.History.
	HistoryLimit int
}

// Role is a role that can be assumed, in every account of the organization.
type Role struct {
	Name string // without path
	// ExternalID must be given, if it is set.
	ExternalID string
}

// DefaultRoles are the roles that can be assumed unless Options say otherwise.
var DefaultRoles = []Role{{Name: "OrganizationAccountAccessRole"}, {Name: "iamtrack-read"}}

// Bucket is an S3 bucket whose objects are the files of a folder, as
// simulate.WriteTrail leaves them.
type Bucket struct {
	Name string // "" means simulate.TrailBucket
	Dir  string
}

// Server answers AWS's APIs. It is an http.Handler; all methods are safe for
// concurrent use.
type Server struct {
	world   *simulate.World
	history *simulate.History
	clock   Clock
	seed    uint64
	o       Options
	enabled []string

	mu       sync.Mutex // guards what follows; held for moments only
	faults   Faults
	buckets  map[place]*tokenBucket
	numbers  map[sequence]int
	counts   map[countKey]*Count
	served   map[simulate.Stream]map[[16]byte]int
	firstUse map[string]time.Time // of keys that begin with ASIA and were not issued here
	messages []Message
}

// place is an account's region.
type place struct{ account, region string }

// sequence numbers the requests that a fault chooses from.
type sequence struct {
	place
	operation string
}

// New returns a server of a world.
func New(o Options) (*Server, error) {
	if o.World == nil {
		return nil, errors.New("simulated account: Options.World is missing")
	}
	if o.Clock == nil {
		o.Clock = Real{}
	}
	if o.Seed == 0 {
		o.Seed = o.World.Config().Seed
	}
	if o.Rate == 0 {
		o.Rate = 2
	}
	if o.Roles == nil {
		o.Roles = DefaultRoles
	}
	if o.Bucket.Name == "" {
		o.Bucket.Name = simulate.TrailBucket
	}
	s := &Server{
		world: o.World, history: o.World.History(o.HistoryLimit), clock: o.Clock, seed: o.Seed, o: o, faults: o.Faults,
		buckets: map[place]*tokenBucket{}, numbers: map[sequence]int{}, counts: map[countKey]*Count{},
		served: map[simulate.Stream]map[[16]byte]int{}, firstUse: map[string]time.Time{},
	}
	s.enabled = slices.Clone(o.Regions)
	if s.enabled == nil {
		s.enabled = append(slices.Clone(standardRegions), o.World.Regions()...)
	}
	slices.Sort(s.enabled)
	s.enabled = slices.Compact(s.enabled)
	return s, nil
}

// SetFaults replaces what goes wrong, from the next request on.
func (s *Server) SetFaults(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
}

// Faults returns what goes wrong now.
func (s *Server) Faults() Faults {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults
}

// Regions returns the regions that the accounts have enabled, sorted.
func (s *Server) Regions() []string { return slices.Clone(s.enabled) }

// now is the account's time: the clock's, and its skew.
func (s *Server) now() time.Time { return s.clock.Now().Add(s.Faults().ClockSkew).UTC() }

// number counts the requests of a sequence, from 0.
func (s *Server) number(q sequence) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.numbers[q]
	s.numbers[q]++
	return n
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q, fail := s.read(r)
	reply, broken := s.carryOut(q, fail)
	if broken {
		breakConnection(w)
		return
	}
	if r.Context().Err() != nil {
		return // nobody listens
	}
	s.write(w, q, reply)
}

// carryOut answers a request, or breaks its connection.
func (s *Server) carryOut(q *request, fail *apiError) (reply reply, broken bool) {
	f := s.Faults()
	n := s.number(sequence{place{q.account, q.region}, q.service + ":" + q.operation})
	if s.chance(f.Reset/2, "reset before", q.account, q.region, q.operation, n) {
		s.note(q, outcomeReset)
		return reply, true
	}
	if fail == nil {
		fail = s.admit(q, &f, n)
	}
	if fail != nil {
		s.note(q, outcomeOf(fail))
		return failure(q, fail), false
	}
	if err := s.clock.Sleep(q.http.Context(), f.latency(q.region)); err != nil {
		s.note(q, outcomeReset)
		return reply, true
	}
	reply, fail = operations[q.service](s, q)
	if fail != nil {
		s.note(q, outcomeOf(fail))
		return failure(q, fail), false
	}
	if s.chance(f.Reset/2, "reset after", q.account, q.region, q.operation, n) {
		s.note(q, outcomeReset)
		return reply, true
	}
	s.note(q, outcomeDone)
	return reply, false
}

// operations are the services, by the name in the signature's scope.
var operations = map[string]func(*Server, *request) (reply, *apiError){
	"cloudtrail":    (*Server).cloudTrail,
	"sts":           (*Server).sts,
	"ec2":           (*Server).ec2,
	"iam":           (*Server).iam,
	"sns":           (*Server).sns,
	"account":       (*Server).accountAPI,
	"organizations": (*Server).organizations,
	"sso":           (*Server).sso,
	"identitystore": (*Server).identityStore,
	"s3":            (*Server).s3,
}
