package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/config"
	"github.com/iamtrack/iamtrack/internal/notify"
	"github.com/iamtrack/iamtrack/internal/rule"
)

// Notifier is who tells people, as configured; session opens AWS when a message
// goes to an SNS topic. Of o only what the command decides is used.
func (a *App) Notifier(ctx context.Context, o notify.Options, lookupEnv func(string) (string, bool), session func() (*awsapi.Session, error)) *notify.Notifier {
	open := sync.OnceValues(session)
	o.Publish = func(ctx context.Context, p notify.Publication) error {
		s, err := open()
		if err != nil {
			return err
		}
		_, err = s.Publish(ctx, awsapi.Message{TopicARN: p.TopicARN, Subject: p.Subject, Body: p.Body, Attributes: p.Attributes, ID: p.ID})
		return err
	}
	return a.NotifierWith(o, lookupEnv, Vault(ctx, open))
}

// Vault reads secrets from AWS, with the session's own credentials.
func Vault(ctx context.Context, session func() (*awsapi.Session, error)) config.Vault {
	return func(ref config.SecretRef) (string, error) {
		s, err := session()
		if err != nil {
			return "", err
		}
		if ref.Service == "ssm" {
			return s.Parameter(ctx, ref.Name)
		}
		return s.Secret(ctx, ref.Name, ref.Key)
	}
}

// NotifierWith is Notifier with a Publish and a vault of the caller's. Without a
// vault, messages for channels whose secrets are in AWS can be enqueued, not sent.
func (a *App) NotifierWith(o notify.Options, lookupEnv func(string) (string, bool), vault config.Vault) *notify.Notifier {
	o.Now, o.Zone, o.Rules = a.now, a.Config.Zone, a.Rules.Rules()
	o.Horizon, o.DailySummary = a.Config.AlertHorizon, a.Config.DailySummary
	for _, c := range a.Config.Channels {
		o.Channels = append(o.Channels, channel(c, lookupEnv, vault))
	}
	return notify.New(a.Store, o)
}

// channel is a configured channel with its secrets.
func channel(c config.Channel, lookupEnv func(string) (string, bool), vault config.Vault) notify.Channel {
	c, err := c.Resolved(lookupEnv, vault)
	out := notify.Channel{
		Name: c.Name, Type: c.Type, URL: c.URL, Path: c.Path, TopicARN: c.TopicARN, Secret: c.Secret, From: c.From, To: c.To,
		Rules: c.Rules, Accounts: c.Accounts, Off: c.Off, Err: err,
	}
	if c.MinSeverity != "" {
		if out.MinSeverity, err = rule.ParseSeverity(c.MinSeverity); err != nil {
			out.Err = err
		}
	}
	return out
}

// CheckChannels finds what is wrong with the configured channels, without reaching
// for what they lead to: a *config.ChannelError. With secrets, also with what
// variables and files say; one that isn't there is no error, since it may be there
// where alerts are sent.
func CheckChannels(cfg config.Config, secrets bool, lookupEnv func(string) (string, bool)) error {
	for _, c := range cfg.Channels {
		fail := func(key, what string) error {
			return &config.ChannelError{Origin: cfg.Origin("channels"), Channel: c.Name, Key: key, What: what}
		}
		if len(c.Rules) > 0 {
			engine, err := rule.NewEngine(rule.Config{}) // those that are disabled exist, too
			if err != nil {
				return err
			}
			if what := unknownRule(c.Rules, engine.Rules()); what != "" {
				return fail("rules", what)
			}
		}
		if c.Hidden() && !secrets {
			continue
		}
		resolved := channel(c, lookupEnv, nil)
		if resolved.Err != nil {
			continue
		}
		var key *notify.KeyError
		if err := notify.Check(resolved); errors.As(err, &key) {
			return fail(key.Key, key.What)
		} else if err != nil {
			return fail("", err.Error())
		}
	}
	return nil
}

// unknownRule says which of the ids is no rule's; empty: none.
func unknownRule(ids []string, rules []rule.Rule) string {
	known := make([]string, len(rules))
	for i := range rules {
		known[i] = rules[i].ID
	}
	for _, id := range ids {
		if slices.Contains(known, id) {
			continue
		}
		what := fmt.Sprintf("there is no rule %q: ", id)
		if near := config.Near(id, known); near != "" {
			return what + "did you mean " + near + "?"
		}
		return what + "`iamtrack rules list` lists them"
	}
	return ""
}
