package simulate

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// script tells one story: it acts, and declares the truth as it acts.
type script struct {
	w     *World
	r     rng
	at    int64 // its clock, Unix seconds
	night bool  // what it does now is declared off hours
	story *Story
}

// offHoursGroup collects what is declared off hours of one actor in one night.
type offHoursGroup struct {
	plans    []*plan
	severity int
}

var severities = []string{"info", "low", "medium", "high", "critical"}

// tell runs all scripts and puts the alerts in order.
func (w *World) tell() {
	for _, r := range routines {
		for n := int64(0); ; n++ {
			day := (w.start/86400 + 1 + r.first + n*r.every) * 86400
			for weekday(day)%6 == 0 {
				day += 86400
			}
			if day+r.days*86400 > w.end {
				break
			}
			s := &script{w: w, r: seeded(w.cfg.Seed, label("story"), label(r.title), uint64(n)), at: day, story: &Story{Title: r.title}}
			w.stories = append(w.stories, s.story)
			r.tell(s, int(n))
			if r.every == 0 {
				break
			}
		}
	}
	w.tellAttack()
	w.stories = slices.DeleteFunc(w.stories, func(s *Story) bool { return len(s.Steps) == 0 })
	for _, st := range w.stories {
		slices.SortStableFunc(st.Steps, func(a, b Step) int { return a.Time.Compare(b.Time) })
	}
	w.settleOffHours()
	slices.SortFunc(w.alerts, func(a, b ExpectedAlert) int {
		return cmp.Or(a.Time.Compare(b.Time), strings.Compare(a.EventID, b.EventID), strings.Compare(a.Rule, b.Rule))
	})
	slices.SortStableFunc(w.stories, func(a, b *Story) int {
		if a.Attack != b.Attack {
			return map[bool]int{true: 1, false: -1}[a.Attack]
		}
		return a.Steps[0].Time.Compare(b.Steps[0].Time)
	})
	w.offHours = nil
}

// settleOffHours makes one alert of each actor's night.
func (w *World) settleOffHours() {
	for _, g := range w.offHours {
		slices.SortFunc(g.plans, byTime)
		first := g.plans[0]
		a := ExpectedAlert{Rule: "off-hours-access", Account: w.accounts[first.acct].id, EventID: first.id.String(), Time: time.Unix(first.at, 0).UTC(), Severity: severities[g.severity]}
		for _, p := range g.plans {
			a.Events = append(a.Events, p.id.String())
		}
		w.alerts = append(w.alerts, a)
	}
}

// clock sets the time of day, on the script's first day or days later.
func (s *script) clock(day int64, hhmmss string) {
	t, err := time.Parse(time.TimeOnly, hhmmss)
	if err != nil {
		panic("simulate: " + err.Error())
	}
	s.at = day + int64(t.Hour())*3600 + int64(t.Minute())*60 + int64(t.Second())
}

// wait moves the clock on by up to most seconds.
func (s *script) wait(most int) { s.at += int64(s.r.between(2, max(2, most))) }

// step begins the next step of the story.
func (s *script) step(format string, args ...any) {
	s.story.Steps = append(s.story.Steps, Step{Time: time.Unix(s.at, 0).UTC(), Sentence: fmt.Sprintf(format, args...)})
}

// do plans one event, now, and lets a moment pass.
func (s *script) do(who *session, k *call, region uint8) *plan {
	if k.global {
		region = s.w.global
	}
	p := &plan{at: s.at, id: s.r.newUUID(), req: s.r.next(), call: k, sess: who, acct: who.acct, region: region}
	s.put(p)
	s.wait(8)
	return p
}

func (s *script) put(p *plan) {
	if len(s.story.Steps) == 0 {
		s.step("%s.", s.story.Title)
	}
	p.story = s.story
	st := &s.story.Steps[len(s.story.Steps)-1]
	if len(st.Events) == 0 {
		st.Time, st.Account = time.Unix(p.at, 0).UTC(), s.w.accounts[p.acct].id
	}
	st.Events = append(st.Events, p.id.String())
	s.w.scripted[p.at/3600] = append(s.w.scripted[p.at/3600], p)
}

// issue is do for a call that hands out the credentials of child.
func (s *script) issue(who *session, k *call, region uint8, child *session) *plan {
	at := s.at
	p := s.do(who, k, region)
	p.child = child
	if child.acct != who.acct {
		other := *p
		other.id, other.at = s.r.newUUID(), at
		other.acct, other.copied = child.acct, true
		p.shared, other.shared = true, true
		s.put(&other)
	}
	return p
}

// all does calls one after the other.
func (s *script) all(who *session, region uint8, calls ...*call) {
	for _, k := range calls {
		s.do(who, k, region)
		s.wait(40)
	}
}

// alert declares that a rule's alert is due for p.
func (s *script) alert(p *plan, rule, severity string) *plan {
	s.w.alerts = append(s.w.alerts, ExpectedAlert{Rule: rule, Account: s.w.accounts[p.acct].id, EventID: p.id.String(), Time: time.Unix(p.at, 0).UTC(), Severity: severity})
	return p
}

// offHours declares that p counts as off-hours access of its actor: a sign-in is
// low, a write medium, and what is an alert of its own high.
func (s *script) offHours(p *plan, severity string) *plan {
	// 22:00 to 06:00 is one night, named by the day it begins on.
	key := fmt.Sprint(p.sess.actor, " ", (p.at-6*3600)/86400)
	g := s.w.offHours[key]
	if g == nil {
		g = &offHoursGroup{}
		s.w.offHours[key] = g
	}
	g.plans = append(g.plans, p)
	g.severity = max(g.severity, slices.Index(severities, severity))
	return p
}

// js is a JSON object or list for a request or a response.
func js(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("simulate: " + err.Error()) // made of strings, numbers and maps only
	}
	return strings.TrimSpace(b.String())
}

type obj = map[string]any

// change is a write with the given parameters; nil is null.
func change(source, name string, rp, re any) *call {
	k := &call{source: source, name: name, write: true, version: versions[label(source+name)%4]}
	k.global = source == "iam" || source == "organizations"
	if rp != nil {
		k.rp = compile(js(rp))
	}
	if re != nil {
		k.re = compile(js(re))
	}
	return k
}

// ask is a read with the given parameters.
func ask(source, name string, rp any) *call {
	k := change(source, name, rp, nil)
	k.write = false
	return k
}

// failing returns k as it is recorded when it ends in an error.
func (k *call) failing(code, message string, keepRequest bool) *call {
	f := *k
	f.errCode, f.errMsg, f.re = code, literal(strings.Trim(quote(message), `"`)), nil
	if !keepRequest {
		f.rp = nil
	}
	return &f
}

// refused is a call that a policy forbids; its parameters are not recorded.
func (k *call) refused(who *session, resource string) *call {
	return k.failing("AccessDenied", fmt.Sprintf("User: %s is not authorized to perform: %s:%s on resource: %s because no identity-based policy allows the %s:%s action",
		who.arn, k.source, k.name, resource, k.source, k.name), false)
}

// enter signs a person in and on to an account: the whole way through Identity
// Center. It returns the session in that account.
func (s *script) enter(who *person, acct uint8, set string, console bool) *session {
	w := s.w
	ip := who.ipOn(s.at)
	agent := who.cli
	if console {
		agent = who.browser
	}
	portal := w.portalSession(who, ip, who.browser)
	s.all(portal, w.home, callCredentialPassword, callCredentialTOTP)
	p := s.do(portal, callUserAuthentication, w.home)
	if s.night {
		s.offHours(p, "low")
	}
	s.do(portal, callListAccounts, w.home)
	g := grant{acct, w.set(set)}
	first, _ := w.enter(&s.r, who, g, s.at, ip, agent, console)
	s.do(portal, callGetRoleCredentials, w.home).child = first
	s.do(w.samlSession(acct, "gZq3Jc0vQmY1d8rTnS5wXk2aBfE=", who.email, personRoot(who), "sso.amazonaws.com", "sso.amazonaws.com"), callAssumePortal, w.home).child = first
	if console {
		p = s.do(w.loginIdentity(first), callLoginPortal, w.global)
		if s.night {
			s.offHours(p, "low")
		}
	}
	s.wait(60)
	return first
}
