package app

import (
	"context"
	"sync"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/notify"
	"github.com/iamtrack/iamtrack/internal/rule"
)

// Notifier is who tells people, as configured; session opens AWS when a message
// goes to an SNS topic. Of o only what the command decides is used.
func (a *App) Notifier(o notify.Options, lookupEnv func(string) (string, bool), session func() (*awsapi.Session, error)) *notify.Notifier {
	o.Now, o.Zone, o.Rules = a.now, a.Config.Zone, a.Rules.Rules()
	o.Horizon, o.DailySummary = a.Config.AlertHorizon, a.Config.DailySummary
	for _, c := range a.Config.Channels {
		c, err := c.Resolved(lookupEnv)
		out := notify.Channel{
			Name: c.Name, Type: c.Type, URL: c.URL, Path: c.Path, TopicARN: c.TopicARN, Secret: c.Secret, From: c.From, To: c.To,
			Rules: c.Rules, Accounts: c.Accounts, Off: c.Off, Err: err,
		}
		if c.MinSeverity != "" {
			if out.MinSeverity, err = rule.ParseSeverity(c.MinSeverity); err != nil {
				out.Err = err
			}
		}
		o.Channels = append(o.Channels, out)
	}
	open := sync.OnceValues(session)
	o.Publish = func(ctx context.Context, p notify.Publication) error {
		s, err := open()
		if err != nil {
			return err
		}
		_, err = s.Publish(ctx, awsapi.Message{TopicARN: p.TopicARN, Subject: p.Subject, Body: p.Body, Attributes: p.Attributes, ID: p.ID})
		return err
	}
	return notify.New(a.Store, o)
}
