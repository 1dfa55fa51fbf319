package notify

import (
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Limits of texts, in what the style counts. They lie below what the services
// document, since some count other things than characters.
const (
	plainLimit = 60_000 // mail, terminal: our own
	// Telegram Bot API, "sendMessage": 4096 characters after entities are parsed.
	telegramLimit = 3900
	// Discord API, "Embed limits": 4096 characters of a description.
	discordLimit = 1900
	// Slack API, "Truncating content": 4,000 characters recommended.
	slackLimit = 3500
	// Microsoft Teams, "Limits and specifications": 28 KB for a message, of which
	// some is for what is around the lines.
	teamsLimit = 26_000
	// ntfy documentation, "Limitations": 4,096 bytes; what is longer becomes a file.
	ntfyLimit = 3900
	// Amazon SNS API Reference, "Publish": 256 KiB; this much a person reads.
	snsLimit = 60_000
	// Of all others the strictest that reads a whole message: Pushover, 1024.
	otherLimit = 1000
)

// most is how many alerts a message may list, so that their ids alone fit.
func (t *target) most() int { return max(10, min(80, (t.limit-300)/17)) }

// KeyError is about one key of a channel; it has no value that may be a secret.
type KeyError struct{ Key, What string }

func (e *KeyError) Error() string { return "key " + e.Key + ": " + e.What }

func keyError(key, format string, args ...any) error {
	return &KeyError{key, fmt.Sprintf(format, args...)}
}

// Check finds what is wrong with a channel without sending anything.
// Errors are of type *KeyError, or c.Err.
func Check(c Channel) error {
	if c.Err != nil {
		return c.Err
	}
	if c.Type == "file" {
		if info, err := os.Stat(c.Path); err == nil && info.IsDir() {
			return keyError("path", "%s is a folder: give a file", c.Path)
		}
	}
	_, err := (&Notifier{}).open(c)
	return err
}

// topicARN is an SNS topic's (Amazon SNS API Reference, "CreateTopic").
var topicARN = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[\w-]{1,256}(\.fifo)?$`)
})

// open checks a channel and makes its sender.
func (n *Notifier) open(c Channel) (*target, error) {
	t := &target{Channel: c, style: plainStyle, limit: plainLimit}
	var err error
	switch c.Type {
	case "terminal":
		t.style, t.sender = terminalStyle, &terminal{w: n.o.Terminal}
	case "file":
		if !filepath.IsAbs(c.Path) {
			return nil, keyError("path", "give an absolute path of a file")
		}
		t.sender = &file{path: c.Path}
	case "webhook":
		var u *url.URL
		if u, err = webURL(c.URL); err == nil {
			t.sender = &webhook{url: u, secret: c.Secret, client: n.o.HTTP, now: n.o.Now}
		}
	case "teams":
		var u *url.URL
		if u, err = webURL(c.URL); err == nil {
			t.style, t.limit, t.sender = teamsStyle, teamsLimit, &teams{url: u, client: n.o.HTTP}
		}
	case "sns":
		if !topicARN().MatchString(c.TopicARN) {
			return nil, keyError("topic_arn", "%q is no topic: give arn:aws:sns:REGION:ACCOUNT:NAME", c.TopicARN)
		}
		t.limit, t.sender = snsLimit, &sns{topic: c.TopicARN, publish: n.o.Publish}
	case "mail":
		t.sender, err = newMail(c, n.o.Now)
	case "slack":
		t.style, t.limit = slackStyle, slackLimit
		t.sender, err = newChat(c.URL, slackURL, "slack", "mattermost")
	case "discord":
		t.style, t.limit = markdownStyle, discordLimit
		t.sender, err = newChat(c.URL, discordURL, "discord")
	case "telegram":
		t.style, t.limit = telegramStyle, telegramLimit
		t.sender, err = newChat(c.URL, telegramURL, "telegram")
	case "ntfy":
		t.limit = ntfyLimit
		t.sender, err = newChat(c.URL, ntfyURL, "ntfy")
	case "shoutrrr":
		t.style, t.limit = markdownStyle, otherLimit
		t.sender, err = newChat(c.URL, func(u *url.URL) (*url.URL, error) { return u, nil })
	default:
		return nil, keyError("type", "there is no type %q", c.Type)
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// webURL reads an http or https URL; errors don't have it, as it's a secret.
func webURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, keyError("url", "give a URL that starts with https://")
	case u.Scheme == "http" && !isLocal(u.Hostname()):
		return nil, keyError("url", "http:// would send it readable for everybody on the way: use https://")
	}
	return u, nil
}

func isLocal(host string) bool {
	return slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, host)
}

// addresses checks mail addresses.
func addresses(key string, list ...string) ([]string, error) {
	var plain []string
	for _, a := range list {
		p, err := mail.ParseAddress(a)
		if err != nil || strings.ContainsAny(a, "\r\n") {
			return nil, keyError(key, "%q is no mail address", a)
		}
		plain = append(plain, p.Address)
	}
	if len(plain) == 0 {
		return nil, keyError(key, "give a mail address")
	}
	return plain, nil
}

// errNotHere is for channels that this command can't reach.
var errNotHere = errors.New("this command has no way to it")
