package notify

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"
)

// chat sends through the library shoutrrr, which knows the services by their URLs.
// Its senders take no context and some have no time limit of their own: a sending
// that hangs goes on in the background, at most one at a time.
type chat struct {
	send1  func(text string) error
	mu     sync.Mutex
	flying *flight
}

// flight is a sending that is under way.
type flight struct {
	id    string
	began time.Time
	done  chan struct{}
	err   error // once done is closed
}

// hopeless is after what time a sending that hangs is forgotten.
const hopeless = 10 * time.Minute

// newChat makes the sender of a URL of one of the services, or of what the
// service itself calls its address, which convert knows. No service: any.
func newChat(address string, convert func(*url.URL) (*url.URL, error), services ...string) (*chat, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme == "" {
		return nil, keyError("url", "it is no URL: is a part of it missing?")
	}
	if u, err = convert(u); err != nil {
		return nil, err
	}
	service, _, _ := strings.Cut(u.Scheme, "+")
	if len(services) > 0 && !slices.Contains(services, service) {
		return nil, keyError("url", "it is not one of %s", services[0])
	}
	if service == "logger" || service == "generic" || service == "smtp" || service == "teams" {
		return nil, keyError("url", "not through shoutrrr: use type webhook, mail or teams")
	}
	c := &chat{}
	secrets := []redactor{redactor(u.String()), redactor(address)}
	harmless := func(err error) error {
		if err == nil {
			return nil
		}
		said := err.Error()
		for _, s := range secrets {
			said = s.text(said)
		}
		return errors.New(said)
	}
	var r router.ServiceRouter
	if _, err := r.NewService(service); err != nil {
		return nil, keyError("url", "there is no service %s://", service)
	}
	if service == "matrix" { // it logs in when it is located
		c.send1 = func(text string) error {
			located, err := r.Locate(u.String())
			if err != nil {
				return harmless(err)
			}
			return harmless(located.Send(text, &types.Params{}))
		}
		return c, nil
	}
	located, err := r.Locate(u.String())
	if err != nil {
		return nil, keyError("url", "%v", harmless(err))
	}
	c.send1 = func(text string) error { return harmless(located.Send(text, &types.Params{})) }
	return c, nil
}

func (c *chat) send(ctx context.Context, m *outgoing) error {
	f, err := c.start(m.ID, m.subject+"\n"+m.text)
	if err != nil {
		return err
	}
	select {
	case <-f.done:
		c.mu.Lock()
		if c.flying == f {
			c.flying = nil
		}
		c.mu.Unlock()
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// start begins to send, unless the same message is on its way already.
func (c *chat) start(id, text string) (*flight, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.flying; f != nil {
		over := false
		select {
		case <-f.done:
			over = true
		default:
		}
		switch {
		case f.id == id:
			return f, nil // also when it ended meanwhile: then it's known how
		case !over && time.Since(f.began) < hopeless:
			return nil, fmt.Errorf("an earlier message still hangs: %w", context.DeadlineExceeded)
		}
	}
	f := &flight{id: id, began: time.Now(), done: make(chan struct{})}
	c.flying = f
	go func() {
		defer close(f.done)
		defer func() {
			if p := recover(); p != nil {
				f.err = errors.New("the library failed badly")
			}
		}()
		f.err = c.send1(text)
	}()
	return f, nil
}

// slackURL takes the URL of an incoming webhook as Slack shows it.
func slackURL(u *url.URL) (*url.URL, error) {
	if u.Scheme != "https" {
		return u, nil
	}
	parts := strings.Split(strings.TrimPrefix(u.Path, "/services/"), "/")
	if u.Host != "hooks.slack.com" || len(parts) != 3 {
		return nil, keyError("url", "give the webhook's https://hooks.slack.com/services/…, or slack://TOKEN@CHANNEL")
	}
	return &url.URL{Scheme: "slack", User: url.UserPassword("hook", strings.Join(parts, "-")), Host: "webhook"}, nil
}

// discordURL takes the URL of a webhook as Discord shows it.
func discordURL(u *url.URL) (*url.URL, error) {
	out := *u
	if u.Scheme == "https" {
		parts := strings.Split(strings.TrimPrefix(u.Path, "/api/webhooks/"), "/")
		if u.Host != "discord.com" && u.Host != "discordapp.com" || len(parts) != 2 {
			return nil, keyError("url", "give the webhook's https://discord.com/api/webhooks/ID/TOKEN")
		}
		out = url.URL{Scheme: "discord", User: url.User(parts[1]), Host: parts[0]}
	}
	return withQuery(&out, "splitlines", "No"), nil
}

// telegramURL has texts read as HTML, which is what telegramStyle writes.
func telegramURL(u *url.URL) (*url.URL, error) {
	return withQuery(withQuery(u, "parsemode", "HTML"), "preview", "No"), nil
}

// ntfyURL takes the URL of a topic as ntfy shows it.
func ntfyURL(u *url.URL) (*url.URL, error) {
	if u.Scheme != "https" && u.Scheme != "http" {
		return u, nil
	}
	if _, err := webURL(u.String()); err != nil {
		return nil, err
	}
	out := *u
	out.Scheme = "ntfy"
	return withQuery(&out, "scheme", u.Scheme), nil
}

func withQuery(u *url.URL, key, value string) *url.URL {
	out := *u
	q := out.Query()
	q.Set(key, value)
	out.RawQuery = q.Encode()
	return &out
}
