package notify

import (
	"encoding/json"
	"time"

	"github.com/iamtrack/iamtrack/internal/render"
	"github.com/iamtrack/iamtrack/internal/rule"
)

// payload is what programs get: a webhook's body, a line of a file. Fields are
// only ever added; a change of meaning changes Version. Text in it is as it was in
// the event, escaped as JSON, and cut where it's very long.
type payload struct {
	Version   int            `json:"version"`
	MessageID string         `json:"message_id"`
	Kind      string         `json:"kind"`
	Channel   string         `json:"channel"`
	Created   time.Time      `json:"created"`
	Severity  string         `json:"severity"`
	Title     string         `json:"title"`
	AlertIDs  []string       `json:"alert_ids"`
	MoreIDs   int            `json:"more_alert_ids,omitempty"` // that had no room
	Alerts    []alertPayload `json:"alerts"`                   // in full; a digest has none
	Data      any            `json:"data,omitempty"`           // of digests, summaries, gaps, silence
}

type alertPayload struct {
	ID          string    `json:"id"`
	Rule        string    `json:"rule"`
	Title       string    `json:"title"`
	Severity    string    `json:"severity"`
	EventID     string    `json:"event_id"`
	EventName   string    `json:"event_name"`
	EventTime   time.Time `json:"event_time"`
	Actor       string    `json:"actor"`
	SourceIP    string    `json:"source_ip"`
	AccountID   string    `json:"account_id"`
	AccountName string    `json:"account_name,omitempty"`
	AWSRegion   string    `json:"aws_region"`
	Targets     []string  `json:"targets"`
	Detail      string    `json:"detail"`
	State       string    `json:"state"`
	Next        string    `json:"next,omitempty"`
	Command     string    `json:"command"`
}

// jsonLimit is the greatest payload, in bytes.
const jsonLimit = 256 << 10

// json writes the message for programs, in at most jsonLimit bytes.
func (o *outgoing) json() ([]byte, error) {
	const mostIDs, mostTargets = 5000, 50
	ids := append([]string{}, o.AlertIDs[:min(mostIDs, len(o.AlertIDs))]...) // never null
	for _, most := range append([]int{4000}, lengths...) {
		p := payload{
			Version: 1, MessageID: o.ID, Kind: o.Kind, Channel: o.Channel, Created: o.Created, Severity: o.severity.String(),
			Title: o.label, AlertIDs: ids, MoreIDs: len(o.AlertIDs) - len(ids), Alerts: []alertPayload{}, Data: o.data,
		}
		if o.notice.title != "" {
			p.Title += ": " + cut(o.notice.title, most)
		}
		for i := range o.alerts {
			p.Alerts = append(p.Alerts, o.alert(&o.alerts[i], most, mostTargets))
		}
		text, err := json.Marshal(p)
		if err != nil {
			return nil, err
		}
		if text = render.EscapeJSON(text); len(text) <= jsonLimit || most == lengths[len(lengths)-1] {
			return text, nil
		}
	}
	return nil, nil // not reached: the last length returns
}

func (o *outgoing) alert(a *rule.Alert, most, targets int) alertPayload {
	p := alertPayload{
		ID: a.ID, Rule: a.Rule, Title: cut(a.Title, most), Severity: a.Severity.String(), EventID: cut(a.EventID, most), EventName: cut(a.EventName, most),
		EventTime: time.UnixMilli(a.EventTime).UTC(), Actor: cut(a.Actor, most), SourceIP: cut(a.SourceIP, most), AccountID: cut(a.AccountID, most),
		AccountName: cut(o.names[a.AccountID], most), AWSRegion: cut(a.AWSRegion, most), Targets: []string{}, Detail: cut(a.Detail, most), State: a.State,
		Command: o.n.o.Command("alerts", "show", a.ID),
	}
	for _, t := range a.Targets[:min(targets, len(a.Targets))] {
		p.Targets = append(p.Targets, cut(t, most))
	}
	if r := o.n.rules[a.Rule]; r != nil {
		p.Next = r.Next
	}
	return p
}
