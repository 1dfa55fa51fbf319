package notify

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/iamtrack/iamtrack/internal/render"
)

// redactor takes the parts of a URL that may be secrets out of errors: all but
// scheme and host.
type redactor string

var (
	urls  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*://[^\s"']*`) })
	words = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[^/?&=:,;#]{6,}`) })
)

// wrap returns an error with a text that has no secret, in one harmless line. What
// the error is stays known to errors.Is.
func (r redactor) wrap(err error) error {
	if err == nil {
		return nil
	}
	return &redacted{text: r.text(err.Error()), err: err}
}

func (r redactor) text(text string) string {
	text = urls().ReplaceAllString(text, "(url)")
	var secrets []string
	if u, err := url.Parse(string(r)); err == nil {
		parts := []string{u.Path, u.EscapedPath(), u.RawQuery, u.Opaque, u.Fragment}
		if q, err := url.QueryUnescape(u.RawQuery); err == nil {
			parts = append(parts, q)
		}
		if u.User != nil {
			if name := u.User.Username(); len(name) > 5 { // shorter ones are words such as "hook"
				secrets = append(secrets, name)
			}
			if p, ok := u.User.Password(); ok {
				secrets = append(secrets, p, url.QueryEscape(p))
			}
			parts = append(parts, u.User.String())
		}
		for _, p := range parts {
			secrets = append(secrets, words().FindAllString(p, -1)...)
		}
	}
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) }) // a part of another comes after it
	for _, s := range secrets {
		if s != "" {
			text = strings.ReplaceAll(text, s, "***")
		}
	}
	return cut(render.Text(text), 300)
}

type redacted struct {
	text string
	err  error
}

func (r *redacted) Error() string { return r.text }

// Is passes on what kind of error it is, and Unwrap doesn't: whoever prints what
// is below would print the secret.
func (r *redacted) Is(target error) bool { return errors.Is(r.err, target) }
