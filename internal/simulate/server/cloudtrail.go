package server

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/iamtrack/iamtrack/internal/simulate"
)

// cloudTrail answers CloudTrail.
func (s *Server) cloudTrail(q *request) (reply, *apiError) {
	switch q.operation {
	case "LookupEvents":
		return s.lookupEvents(q)
	case "DescribeTrails":
		return s.describeTrails(q)
	case "GetTrailStatus":
		return s.trailStatus(q)
	case "ListPublicKeys":
		return s.publicKeys(q)
	}
	return reply{}, unknownOperation(q)
}

func unknownOperation(q *request) *apiError {
	return bad("UnknownOperationException", fmt.Sprintf("operation %q of %s is not simulated", q.operation, q.service))
}

// parse reads a JSON request; nothing at all is as good as an empty object.
func parse(q *request, into any) *apiError {
	if len(q.body) == 0 {
		return nil
	}
	if err := json.Unmarshal(q.body, into); err != nil {
		return bad("SerializationException", "the request can't be read: "+err.Error())
	}
	return nil
}

// epoch writes a time as AWS JSON does: seconds since 1970.
func epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// trails tells whether there is an organization trail.
func (s *Server) trails() bool { return s.o.Bucket.Dir != "" }

func (s *Server) describeTrails(q *request) (reply, *apiError) {
	var in struct {
		TrailNameList       []string `json:"trailNameList"`
		IncludeShadowTrails *bool    `json:"includeShadowTrails"`
	}
	if e := parse(q, &in); e != nil {
		return reply{}, e
	}
	arn := s.world.TrailARN()
	named := len(in.TrailNameList) == 0
	for _, name := range in.TrailNameList {
		named = named || name == simulate.TrailName || name == arn
	}
	shadow := in.IncludeShadowTrails == nil || *in.IncludeShadowTrails
	list := []any{}
	if s.trails() && named && (shadow || q.region == globalRegion) {
		list = append(list, map[string]any{
			"Name": simulate.TrailName, "TrailARN": arn, "S3BucketName": s.o.Bucket.Name, "HomeRegion": globalRegion,
			"IncludeGlobalServiceEvents": true, "IsMultiRegionTrail": true, "IsOrganizationTrail": true,
			"LogFileValidationEnabled": true, "HasCustomEventSelectors": false, "HasInsightSelectors": false,
		})
	}
	return jsonReply(kindJSON11, map[string]any{"trailList": list})
}

func (s *Server) trailStatus(q *request) (reply, *apiError) {
	var in struct{ Name string }
	if e := parse(q, &in); e != nil {
		return reply{}, e
	}
	if !s.trails() || in.Name != simulate.TrailName && in.Name != s.world.TrailARN() {
		return reply{}, bad("TrailNotFoundException", "Unknown trail: "+in.Name)
	}
	last := s.now()
	if end := s.world.Config().End; last.After(end) {
		last = end
	}
	return jsonReply(kindJSON11, map[string]any{
		"IsLogging": true, "LatestDeliveryTime": epoch(last), "LatestDigestDeliveryTime": epoch(last.Truncate(time.Hour)),
		"StartLoggingTime": epoch(s.world.Config().Start),
	})
}

// publicKeys answers ListPublicKeys: the keys of the request's region that were
// good at some time in the range, which ends now and begins a day earlier unless
// the request says otherwise.
func (s *Server) publicKeys(q *request) (reply, *apiError) {
	var in struct{ StartTime, EndTime *float64 }
	if e := parse(q, &in); e != nil {
		return reply{}, e
	}
	end := s.now()
	if in.EndTime != nil {
		end = time.UnixMilli(int64(*in.EndTime * 1000))
	}
	start := end.Add(-24 * time.Hour)
	if in.StartTime != nil {
		start = time.UnixMilli(int64(*in.StartTime * 1000))
	}
	if start.After(end) {
		return reply{}, bad("InvalidTimeRangeException", "the start time is after the end time")
	}
	list := []any{}
	key, err := s.world.DigestKey(q.region)
	if err != nil {
		return reply{}, &apiError{500, "InternalFailure", err.Error()}
	}
	if !key.ValidUntil.Before(start) && !key.ValidFrom.After(end) {
		list = append(list, map[string]any{
			"Value": key.PublicDER, "Fingerprint": key.Fingerprint,
			"ValidityStartTime": epoch(key.ValidFrom), "ValidityEndTime": epoch(key.ValidUntil),
		})
	}
	return jsonReply(kindJSON11, map[string]any{"PublicKeyList": list})
}
