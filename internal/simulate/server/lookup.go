package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/simulate"
)

const (
	pageMost    = 50
	keptDays    = 90 // AWS CloudTrail User Guide, "Working with CloudTrail event history"
	tokenExpiry = time.Hour
)

// lookupInput is LookupEventsRequest of the CloudTrail API Reference.
type lookupInput struct {
	EventCategory      *string
	LookupAttributes   []lookupAttribute
	StartTime, EndTime *float64 // seconds since 1970
	MaxResults         *int
	NextToken          *string
}

type lookupAttribute struct{ AttributeKey, AttributeValue string }

// lookupEvent is Event of the CloudTrail API Reference.
type lookupEvent struct {
	EventID         string `json:"EventId"`
	EventName       string
	ReadOnly        string
	AccessKeyID     string  `json:"AccessKeyId,omitempty"`
	EventTime       float64 // seconds since 1970
	EventSource     string
	Username        string `json:",omitempty"`
	Resources       []lookupResource
	CloudTrailEvent string
}

type lookupResource struct{ ResourceType, ResourceName string }

// lookup is a checked request.
type lookup struct {
	account, region string
	attribute       lookupAttribute // zero: none
	start, end      int64           // Unix seconds, inclusive
	max             int
	insights        bool
	from            *pageToken // nil on the first page
	digest          [16]byte   // of the parameters that a token is bound to
}

func (s *Server) lookupEvents(q *request) (reply, *apiError) {
	var in lookupInput
	if e := parse(q, &in); e != nil {
		return reply{}, e
	}
	l, e := s.check(q, &in)
	if e != nil {
		return reply{}, e
	}
	out := struct {
		Events    []lookupEvent
		NextToken string `json:",omitempty"`
	}{Events: []lookupEvent{}}
	page, next := s.page(l)
	for _, entry := range page {
		out.Events = append(out.Events, describe(entry))
	}
	if next != nil {
		out.NextToken = s.seal(next)
	}
	s.noteServed(page)
	return jsonReply(kindJSON11, out)
}

// check reads the parameters: CloudTrail API Reference, "LookupEvents".
func (s *Server) check(q *request, in *lookupInput) (*lookup, *apiError) {
	f := s.Faults()
	now := s.now()
	l := &lookup{account: q.account, region: q.region, max: pageMost}
	if in.EventCategory != nil {
		if *in.EventCategory != "insight" {
			return nil, bad("InvalidEventCategoryException", fmt.Sprintf("event category %q: the only one is insight", *in.EventCategory))
		}
		l.insights = true
	}
	switch len(in.LookupAttributes) {
	case 0:
	case 1:
		l.attribute = in.LookupAttributes[0]
		if e := checkAttribute(l.attribute, l.insights); e != nil {
			return nil, e
		}
	default:
		return nil, bad("InvalidLookupAttributesException", "You can specify only one lookup attribute")
	}
	if in.MaxResults != nil {
		if l.max = *in.MaxResults; l.max < 1 || l.max > pageMost {
			return nil, bad("InvalidMaxResultsException", fmt.Sprintf("MaxResults is %d: it is 1 to %d", l.max, pageMost))
		}
	}
	var e *apiError
	if l.digest, e = bound(q, in); e != nil {
		return nil, e
	}
	if in.NextToken != nil {
		expiry := f.TokenExpiry
		if expiry == 0 {
			expiry = tokenExpiry
		}
		t, ok := s.open(*in.NextToken)
		if !ok || t.Digest != l.digest || now.Sub(time.UnixMilli(t.Issued)) > expiry {
			return nil, bad("InvalidNextTokenException", "the token is not valid, has expired, or was given for other parameters")
		}
		l.from = t
	}
	switch {
	case in.EndTime != nil:
		if l.end, e = seconds(*in.EndTime); e != nil {
			return nil, e
		}
	case l.from != nil:
		l.end = l.from.End
	default:
		l.end = now.Unix()
	}
	if in.StartTime != nil {
		if l.start, e = seconds(*in.StartTime); e != nil {
			return nil, e
		}
	}
	if in.StartTime != nil && l.start > l.end {
		return nil, bad("InvalidTimeRangeException", "the start time is after the end time")
	}
	l.start = max(l.start, now.AddDate(0, 0, -keptDays).Unix())
	return l, nil
}

// bound is what a token is bound to: all parameters but itself, and who asks.
func bound(q *request, in *lookupInput) (digest [16]byte, e *apiError) {
	same := *in
	same.NextToken = nil
	b, err := json.Marshal(same)
	if err != nil {
		return digest, bad("SerializationException", err.Error())
	}
	sum := sha256.Sum256(append([]byte(q.account+" "+q.region+" "), b...))
	copy(digest[:], sum[:])
	return digest, nil
}

// seconds cuts a time to whole seconds. Times that no calendar has are errors.
func seconds(t float64) (int64, *apiError) {
	if !(t >= 0 && t < 253402300800) { // the year 10000
		return 0, bad("InvalidTimeRangeException", fmt.Sprintf("time %v is out of range", t))
	}
	return int64(t), nil
}

func checkAttribute(a lookupAttribute, insights bool) *apiError {
	wrong := func(why string) *apiError { return bad("InvalidLookupAttributesException", why) }
	switch a.AttributeKey {
	case "EventId", "EventName", "EventSource":
	case "ReadOnly", "Username", "ResourceType", "ResourceName", "AccessKeyId":
		if insights {
			return wrong("insights can't be looked up by " + a.AttributeKey)
		}
	default:
		return wrong(fmt.Sprintf("lookup attribute %q is not known", a.AttributeKey))
	}
	n := 0
	for _, r := range a.AttributeValue {
		n++
		if strings.ContainsRune("_ ,\n", r) {
			n++ // these count as two
		}
	}
	if n == 0 || n > 2000 {
		return wrong("the value of a lookup attribute has 1 to 2000 characters")
	}
	return nil
}

// page returns a page of a listing, and the token of the next one if there is one.
func (s *Server) page(l *lookup) ([]simulate.Entry, *pageToken) {
	if l.insights {
		return nil, nil // none are simulated
	}
	f := s.Faults()
	next := &pageToken{Digest: l.digest, Issued: s.now().UnixMilli(), End: l.end}
	var page []simulate.Entry
	to := l.end
	if l.from != nil {
		next.At, next.ID, next.Empty = l.from.At, l.from.ID, l.from.Empty
		if next.At != nil {
			to = min(to, *next.At)
		}
		page = s.again(l)
	}
	if s.chance(f.EmptyPage, "empty page", l.digest, next.ID, next.Empty) {
		next.Empty++
		if l.from != nil {
			next.Again = l.from.Again
		}
		return nil, next
	}
	next.Empty = 0
	for e := range s.listed(l, to) {
		if len(page) == l.max {
			return page, next
		}
		page = append(page, e)
		at := e.Unix()
		next.At, next.ID = &at, e.ID()
		if s.chance(f.Duplicates, "duplicate", e.ID()) {
			next.Again = append(next.Again, eventRef{at, e.ID()})
		}
	}
	return page, nil
}

// again finds the events that come a second time.
func (s *Server) again(l *lookup) (page []simulate.Entry) {
	for _, ref := range l.from.Again {
		for e := range s.history.Newest(l.account, l.region, "", ref.At, ref.At) {
			if e.ID() == ref.ID && len(page) < l.max {
				page = append(page, e)
			}
		}
	}
	return page
}

// listed yields what a listing has behind the point that its token names.
func (s *Server) listed(l *lookup, to int64) iter.Seq[simulate.Entry] {
	return func(yield func(simulate.Entry) bool) {
		f := s.Faults()
		now := s.now()
		source := ""
		if l.attribute.AttributeKey == "EventSource" {
			source = l.attribute.AttributeValue
		}
		for e := range s.history.Newest(l.account, l.region, source, l.start, to) {
			if t := l.from; t != nil && t.At != nil && e.Unix() == *t.At {
				if id := e.ID(); bytes.Compare(id[:], t.ID[:]) >= 0 {
					continue // given already
				}
			}
			if s.visible(e, now, &f) && l.attribute.match(e) && !yield(e) {
				return
			}
		}
	}
}

// visible tells whether an event has been delivered, and is not hidden.
func (s *Server) visible(e simulate.Entry, now time.Time, f *Faults) bool {
	at := time.Unix(e.Unix(), 0)
	for _, h := range f.Hide {
		if matches(h.Region, e.Stream().Region) && !at.Before(h.From) && at.Before(h.To) {
			return false
		}
	}
	delivered := at.Add(s.o.Delivery)
	if s.chance(f.LateShare, "late", e.ID()) {
		delivered = delivered.Add(f.Late)
	}
	return !now.Before(delivered)
}

// Visible returns the ids of all events that LookupEvents would give out now in a
// region that nothing is denied in, of the sources (none: simulate.CollectSources)
// and of [from, to), by stream, in time order.
func (s *Server) Visible(from, to time.Time, sources ...string) map[simulate.Stream][]string {
	if len(sources) == 0 {
		sources = simulate.CollectSources
	}
	wanted := map[string]bool{}
	for _, source := range sources {
		wanted[source] = true
	}
	f, now := s.Faults(), s.now()
	found := map[simulate.Stream][]string{}
	oldest := now.AddDate(0, 0, -keptDays).Unix()
	for e := range s.world.Recorded(from, to) {
		if wanted[e.Source()] && e.Unix() >= oldest && s.visible(e, now, &f) {
			found[e.Stream()] = append(found[e.Stream()], uuidText(e.ID()))
		}
	}
	return found
}

// match tells whether an event has the attribute.
func (a lookupAttribute) match(e simulate.Entry) bool {
	switch a.AttributeKey {
	case "EventId":
		return uuidText(e.ID()) == a.AttributeValue
	case "EventName":
		return e.Name() == a.AttributeValue
	case "ReadOnly":
		return fmt.Sprint(e.ReadOnly()) == a.AttributeValue
	case "Username":
		return e.Username() == a.AttributeValue
	case "AccessKeyId":
		return e.AccessKeyID() == a.AttributeValue
	case "ResourceType", "ResourceName":
		for _, r := range resources(e.Record()) {
			if a.AttributeKey == "ResourceType" && r.ResourceType == a.AttributeValue || a.AttributeKey == "ResourceName" && r.ResourceName == a.AttributeValue {
				return true
			}
		}
		return false
	}
	return true // none, or EventSource, by which the listing was made
}

// describe makes the Event of the answer.
func describe(e simulate.Entry) lookupEvent {
	record := e.Record()
	return lookupEvent{
		EventID: uuidText(e.ID()), EventName: e.Name(), ReadOnly: fmt.Sprint(e.ReadOnly()), AccessKeyID: e.AccessKeyID(),
		EventTime: float64(e.Unix()), EventSource: e.Source(), Username: e.Username(), Resources: resources(record), CloudTrailEvent: string(record),
	}
}

func uuidText(id [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[0:4], id[4:6], id[6:8], id[8:10], id[10:])
}
