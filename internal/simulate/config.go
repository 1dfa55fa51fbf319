package simulate

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

// Config describes a world. The same Config gives the same world, byte for byte.
type Config struct {
	// Seed makes the world; any value is good.
	Seed uint64
	// Start and End bound the event times: [Start, End), UTC, whole seconds.
	// End is required, and usually the caller's now truncated to the hour. A
	// zero Start means Days before End. The window is at least MinDays long.
	Start, End time.Time
	// Days is the length of the window when Start is zero; 0 means 90.
	Days int
	// Events is the least number of records, which is exceeded by a percent or
	// three; 0 means 24,000. The stories alone are a thousand in 90 days.
	Events int
	// Accounts is the number of accounts, 3 to 40; 0 means 3.
	Accounts int
	// Regions are where the organisation works; us-east-1, the home of global
	// events, is added when missing. The first other one is the region of
	// Identity Center. Empty means us-east-1, eu-west-1, eu-central-1.
	Regions []string
	// Noise is the share of service noise, 0.5 to 0.95; 0 means 0.82.
	Noise float64
	// Burst adds that many events within one second, and DenseHour that many
	// within one hour, to one account and region: a scanner that reads IAM. 0
	// adds none.
	Burst, DenseHour int
}

// MinDays is the shortest window, in days: the attack and what leads to it need
// that long.
const MinDays = 7

// Defaults of Config.
const (
	defaultDays   = 90
	defaultEvents = 24_000
	defaultNoise  = 0.82
)

const globalRegion = "us-east-1"

// signinRegions take console sign-ins through the global endpoint besides
// us-east-1, whatever regions an organisation works in (AWS Sign-In User Guide,
// "Sign-in events").
var signinRegions = []string{"us-east-2", "eu-north-1", "ap-southeast-2"}

func (c *Config) complete() error {
	if c.End.IsZero() {
		return errors.New("simulate: End is missing: set it to the end of the window, for example the current hour")
	}
	if c.Days == 0 {
		c.Days = defaultDays
	}
	c.End = c.End.UTC().Truncate(time.Second)
	if c.Start.IsZero() {
		c.Start = c.End.AddDate(0, 0, -c.Days)
	}
	c.Start = c.Start.UTC().Truncate(time.Second)
	if c.End.Sub(c.Start) < MinDays*24*time.Hour {
		return fmt.Errorf("simulate: window %s to %s is shorter than %d days", c.Start.Format(time.RFC3339), c.End.Format(time.RFC3339), MinDays)
	}
	if c.Events == 0 {
		c.Events = defaultEvents
	}
	if c.Events < 0 {
		return fmt.Errorf("simulate: Events is %d: use a positive number", c.Events)
	}
	if c.Accounts == 0 {
		c.Accounts = 3
	}
	if c.Accounts < 3 || c.Accounts > 40 {
		return fmt.Errorf("simulate: Accounts is %d: use 3 to 40", c.Accounts)
	}
	if c.Noise == 0 {
		c.Noise = defaultNoise
	}
	if math.IsNaN(c.Noise) || c.Noise < 0.5 || c.Noise > 0.95 {
		return fmt.Errorf("simulate: Noise is %v: use 0.5 to 0.95", c.Noise)
	}
	if c.Burst < 0 || c.DenseHour < 0 {
		return fmt.Errorf("simulate: Burst %d, DenseHour %d: use 0 or more", c.Burst, c.DenseHour)
	}
	if len(c.Regions) == 0 {
		c.Regions = []string{globalRegion, "eu-west-1", "eu-central-1"}
	}
	c.Regions = slices.Clone(c.Regions)
	if !slices.Contains(c.Regions, globalRegion) {
		c.Regions = append(c.Regions, globalRegion)
	}
	if len(c.Regions) > 40 {
		return fmt.Errorf("simulate: %d regions: use at most 40", len(c.Regions))
	}
	return nil
}

// World is a simulated organisation and all that happens in it. What it tells never
// changes after New; it is safe for concurrent use.
type World struct {
	cfg        Config
	start, end int64 // Unix seconds

	regions   []string // Config.Regions, then those that see sign-ins only
	active    []uint8  // indexes of Config.Regions
	global    uint8    // index of us-east-1
	home      uint8    // index of the region of Identity Center
	orgID     string
	accounts  []*account
	sets      []*permissionSet
	people    []*person
	directory directory
	scanner   *scanner

	calendar calendar
	budget   [classes]budget

	scripted map[int64][]*plan // by Unix hour
	stories  []*Story
	alerts   []ExpectedAlert
	offHours map[string]*offHoursGroup

	keysMu sync.Mutex
	keys   map[string]*DigestKey // by region

	truthOnce sync.Once
	counts    Counts
}

// New makes the world of cfg, with all stories told; the background is planned
// as it is asked for.
func New(cfg Config) (*World, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	w := &World{
		cfg: cfg, start: cfg.Start.Unix(), end: cfg.End.Unix(),
		scripted: map[int64][]*plan{}, offHours: map[string]*offHoursGroup{},
	}
	w.settleRegions()
	w.found()
	w.tell()
	w.crowd()
	w.calendar = newCalendar(w.start, w.end)
	w.setBudgets()
	return w, nil
}

func (w *World) settleRegions() {
	w.regions = slices.Clone(w.cfg.Regions)
	for i, r := range w.regions {
		w.active = append(w.active, uint8(i))
		if r == globalRegion {
			w.global = uint8(i)
		}
	}
	w.home = w.global
	for i, r := range w.regions {
		if r != globalRegion {
			w.home = uint8(i)
			break
		}
	}
	for _, r := range signinRegions {
		if !slices.Contains(w.regions, r) {
			w.regions = append(w.regions, r)
		}
	}
}

func (w *World) region(name string) uint8 {
	return uint8(slices.Index(w.regions, name))
}

// Config returns the world's configuration with all defaults filled in.
func (w *World) Config() Config {
	c := w.cfg
	c.Regions = slices.Clone(c.Regions)
	return c
}

// Accounts returns the account ids, the management account first.
func (w *World) Accounts() []string {
	ids := make([]string, len(w.accounts))
	for i, a := range w.accounts {
		ids[i] = a.id
	}
	return ids
}

// Regions returns every region in which something may be recorded, those that
// see nothing but console sign-ins included.
func (w *World) Regions() []string { return slices.Clone(w.regions) }

// OrganizationID returns the organization's id, such as o-a1b2c3d4e5.
func (w *World) OrganizationID() string { return w.orgID }

// AccountNames returns the accounts' names, in the order of Accounts.
func (w *World) AccountNames() []string {
	names := make([]string, len(w.accounts))
	for i, a := range w.accounts {
		names[i] = a.name
	}
	return names
}

// Directory is the organization's IAM Identity Center instance.
type Directory struct{ InstanceARN, StoreID, Region string }

// IdentityCenter returns where people come from.
func (w *World) IdentityCenter() Directory {
	return Directory{w.directory.instanceARN, w.directory.storeID, w.regions[w.home]}
}
