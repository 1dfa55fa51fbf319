package server

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Faults is what goes wrong. The zero value: nothing. A share is 0 to 1.
type Faults struct {
	Throttle   float64 // share of LookupEvents requests that are throttled whatever the rate
	QuotaShare float64 // how much of the LookupEvents quota others use

	TokenExpiry       time.Duration // how long page tokens are good; 0: an hour
	CredentialsExpire time.Duration // how long keys that begin with ASIA are good; 0: as long as asked for
	UnknownKeys       []string      // access keys that nobody knows
	Deny              []Denial
	Errors            []ForcedError
	Error500          float64       // share of requests that end with an internal error
	Latency           time.Duration // before each answer
	RegionLatency     map[string]time.Duration
	Reset             float64 // share of requests whose connection breaks, half of them after they were carried out
	ClockSkew         time.Duration
	Late              time.Duration // how late the LateShare of events is delivered
	LateShare         float64
	Duplicates        float64 // share of events that come again on the next page
	EmptyPage         float64 // share of pages that are empty, with a token
	Hide              []Hidden
	KMSDenied         bool // trail files can be listed, but not read
	Burst, DenseHour  int  // see simulate.Config, which must be told
}

// Denial refuses requests. Empty fields match all.
type Denial struct{ Account, Region, Service, Operation string }

// ForcedError answers matching requests with an error code. Empty fields match
// all.
type ForcedError struct{ Code, Region, Operation string }

// Hidden is a stretch of time, [From, To), of whose events nothing is told: a
// silent loss.
type Hidden struct {
	Region   string
	From, To time.Time
}

// FaultHelp describes the fault specifications that ParseFaults reads, one a line.
const FaultHelp = `throttle=SHARE                 throttle that share of LookupEvents requests
quota-share=SHARE              others use that share of the LookupEvents quota
token-expiry=DURATION          page tokens are good for so long (1h)
credentials-expire=DURATION    keys that begin with ASIA are good for so long
unknown-key=KEY                nobody knows this access key
deny=[ACCOUNT/]REGION[:SERVICE[:OPERATION]]
                               access denied there; an asterisk stands for any
error=CODE[:REGION[:OPERATION]]
                               answer with that error code
error500=SHARE                 internal errors
latency=[REGION:]DURATION      before each answer
reset=SHARE                    broken connections, half of them after the request was carried out
clock-skew=DURATION            how far the account's clock is ahead
late=DURATION[:SHARE]          deliver a share of the events (0.01) so late
duplicates=SHARE               events that come again on the next page
empty-page=SHARE               empty pages that have a token
hide=REGION:FROM/TO            tell nothing of a stretch of time (RFC 3339)
kms-denied                     trail files can be listed, but not decrypted
burst[=N]                      N (300) events within one second
dense-hour[=N]                 N (1100) events within one hour of one region`

// ParseFaults reads fault specifications, each NAME or NAME=VALUE: see FaultHelp.
// Of a name that is given twice, lists grow and other values are replaced.
func ParseFaults(specs ...string) (Faults, error) {
	var f Faults
	for _, spec := range specs {
		name, value, given := strings.Cut(spec, "=")
		parse := parsers[name]
		if parse == nil {
			return Faults{}, fmt.Errorf("fault %q: unknown; faults are %s", name, strings.Join(faultNames(), ", "))
		}
		if !given && !slices.Contains([]string{"kms-denied", "burst", "dense-hour"}, name) {
			return Faults{}, fmt.Errorf("fault %s: a value is missing: %s=…", name, name)
		}
		if err := parse(&f, value); err != nil {
			return Faults{}, fmt.Errorf("fault %s: %w", spec, err)
		}
	}
	return f, nil
}

func faultNames() []string {
	var names []string
	for n := range parsers {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

type faultParser func(f *Faults, value string) error

var parsers = map[string]faultParser{
	"throttle":           share(func(f *Faults) *float64 { return &f.Throttle }),
	"quota-share":        share(func(f *Faults) *float64 { return &f.QuotaShare }),
	"error500":           share(func(f *Faults) *float64 { return &f.Error500 }),
	"reset":              share(func(f *Faults) *float64 { return &f.Reset }),
	"duplicates":         share(func(f *Faults) *float64 { return &f.Duplicates }),
	"empty-page":         share(func(f *Faults) *float64 { return &f.EmptyPage }),
	"token-expiry":       span(func(f *Faults) *time.Duration { return &f.TokenExpiry }),
	"credentials-expire": span(func(f *Faults) *time.Duration { return &f.CredentialsExpire }),
	"clock-skew":         span(func(f *Faults) *time.Duration { return &f.ClockSkew }),
	"burst":              number(300, func(f *Faults) *int { return &f.Burst }),
	"dense-hour":         number(1100, func(f *Faults) *int { return &f.DenseHour }),
	"kms-denied": func(f *Faults, value string) error {
		f.KMSDenied = true
		if value != "" {
			return fmt.Errorf("takes no value")
		}
		return nil
	},
	"unknown-key": func(f *Faults, value string) error {
		f.UnknownKeys = append(f.UnknownKeys, value)
		return nil
	},
	"deny":    parseDeny,
	"error":   parseError,
	"latency": parseLatency,
	"late":    parseLate,
	"hide":    parseHide,
}

func share(field func(*Faults) *float64) faultParser {
	return func(f *Faults, value string) error {
		v, err := parseShare(value)
		*field(f) = v
		return err
	}
}

func parseShare(text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0 && v <= 1) {
		return 0, fmt.Errorf("%q is no share: use a number from 0 to 1", text)
	}
	return v, nil
}

func span(field func(*Faults) *time.Duration) faultParser {
	return func(f *Faults, value string) error {
		v, err := time.ParseDuration(value)
		if err != nil {
			return fmt.Errorf("%q is no duration: use one such as 30s or 2h", value)
		}
		*field(f) = v
		return nil
	}
}

func number(usual int, field func(*Faults) *int) faultParser {
	return func(f *Faults, value string) error {
		v := usual
		if value != "" {
			var err error
			if v, err = strconv.Atoi(value); err != nil || v < 0 {
				return fmt.Errorf("%q is no number", value)
			}
		}
		*field(f) = v
		return nil
	}
}

// wild turns the wildcard into what matches all.
func wild(s string) string {
	if s == "*" {
		return ""
	}
	return s
}

func parseDeny(f *Faults, value string) error {
	account, rest, ok := strings.Cut(value, "/")
	if !ok {
		account, rest = "", value
	}
	parts := strings.Split(rest, ":")
	if len(parts) > 3 || parts[0] == "" {
		return fmt.Errorf("want [ACCOUNT/]REGION[:SERVICE[:OPERATION]]")
	}
	parts = append(parts, "", "")
	f.Deny = append(f.Deny, Denial{wild(account), wild(parts[0]), wild(parts[1]), wild(parts[2])})
	return nil
}

func parseError(f *Faults, value string) error {
	parts := strings.Split(value, ":")
	if len(parts) > 3 || parts[0] == "" {
		return fmt.Errorf("want CODE[:REGION[:OPERATION]]")
	}
	parts = append(parts, "", "")
	f.Errors = append(f.Errors, ForcedError{parts[0], wild(parts[1]), wild(parts[2])})
	return nil
}

func parseLatency(f *Faults, value string) error {
	region, text, ok := strings.Cut(value, ":")
	if !ok {
		return span(func(f *Faults) *time.Duration { return &f.Latency })(f, value)
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q is no duration: use one such as 4s", text)
	}
	if f.RegionLatency == nil {
		f.RegionLatency = map[string]time.Duration{}
	}
	f.RegionLatency[region] = d
	return nil
}

func parseLate(f *Faults, value string) error {
	text, part, ok := strings.Cut(value, ":")
	f.LateShare = 0.01
	if ok {
		var err error
		if f.LateShare, err = parseShare(part); err != nil {
			return err
		}
	}
	return span(func(f *Faults) *time.Duration { return &f.Late })(f, text)
}

func parseHide(f *Faults, value string) error {
	region, rest, ok := strings.Cut(value, ":")
	from, to, both := strings.Cut(rest, "/")
	if !ok || !both {
		return fmt.Errorf("want REGION:FROM/TO")
	}
	h := Hidden{Region: wild(region)}
	var err error
	if h.From, err = time.Parse(time.RFC3339, from); err != nil {
		return fmt.Errorf("%q is no time: use one such as 2026-11-01T10:00:00Z", from)
	}
	if h.To, err = time.Parse(time.RFC3339, to); err != nil {
		return fmt.Errorf("%q is no time: use one such as 2026-11-01T11:00:00Z", to)
	}
	f.Hide = append(f.Hide, h)
	return nil
}

func matches(pattern, s string) bool { return pattern == "" || strings.EqualFold(pattern, s) }

// denied tells whether a request is refused.
func (f *Faults) denied(c *caller, service, operation string) bool {
	return slices.ContainsFunc(f.Deny, func(d Denial) bool {
		return matches(d.Account, c.account) && matches(d.Region, c.region) && matches(d.Service, service) && matches(d.Operation, operation)
	})
}

// forced returns the error code that a request is answered with, if any.
func (f *Faults) forced(c *caller, operation string) string {
	for _, e := range f.Errors {
		if matches(e.Region, c.region) && matches(e.Operation, operation) {
			return e.Code
		}
	}
	return ""
}

func (f *Faults) latency(region string) time.Duration {
	if d, ok := f.RegionLatency[region]; ok {
		return d
	}
	return f.Latency
}
