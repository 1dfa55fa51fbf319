package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Headers of a webhook's request.
const (
	HeaderMessage   = "Iamtrack-Message-Id"
	HeaderTimestamp = "Iamtrack-Timestamp" // seconds since the epoch
	HeaderSignature = "Iamtrack-Signature" // v1=HEX
)

// newHTTPClient makes a client that doesn't follow redirects: a message, and the
// secret in its URL, go where they were told to go.
func newHTTPClient() *http.Client {
	return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Signature is what the header Iamtrack-Signature has of a body sent at that time:
// "v1=" and the HMAC-SHA256 of "TIMESTAMP.BODY" in hexadecimal digits.
func Signature(secret, timestamp string, body []byte) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(timestamp + "."))
	h.Write(body)
	return "v1=" + hex.EncodeToString(h.Sum(nil))
}

// webhook posts the message as JSON.
type webhook struct {
	url    *url.URL
	secret string
	client *http.Client
	now    func() time.Time
}

func (w *webhook) send(ctx context.Context, m *outgoing) error {
	body, err := m.json()
	if err != nil {
		return err
	}
	header := http.Header{HeaderMessage: {m.ID}}
	if w.secret != "" {
		at := strconv.FormatInt(w.now().Unix(), 10)
		header.Set(HeaderTimestamp, at)
		header.Set(HeaderSignature, Signature(w.secret, at, body))
	}
	return post(ctx, w.client, w.url, header, body)
}

// post sends JSON and wants an answer of 2xx. Errors have neither the URL nor
// what was answered, since either may hold a secret.
func post(ctx context.Context, client *http.Client, u *url.URL, header http.Header, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return errors.New("make the request: the url isn't accepted")
	}
	for k, v := range header {
		req.Header[http.CanonicalHeaderKey(k)] = v
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "iamtrack")
	res, err := client.Do(req)
	if err != nil {
		var of *url.Error // its text has the URL
		if errors.As(err, &of) {
			err = of.Err
		}
		return redactor(u.String()).wrap(fmt.Errorf("reach %s: %w", u.Hostname(), err))
	}
	defer res.Body.Close() //nolint:errcheck // nothing depends on it
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	if res.StatusCode/100 == 2 {
		return nil
	}
	err = fmt.Errorf("%s answered %d %s", u.Hostname(), res.StatusCode, http.StatusText(res.StatusCode))
	if s, perr := strconv.Atoi(res.Header.Get("Retry-After")); perr == nil && s > 0 {
		return &retryError{err, time.Duration(min(s, 86400)) * time.Second}
	}
	return err
}

// teams posts an Adaptive Card to a workflow ("Post to a channel when a webhook
// request is received"); connectors, which the library knows, were withdrawn.
// Text runs aren't Markdown. Source: Microsoft Learn, "Create incoming webhooks
// with Workflows for Microsoft Teams"; Adaptive Cards, "RichTextBlock".
type teams struct {
	url    *url.URL
	client *http.Client
}

func (t *teams) send(ctx context.Context, m *outgoing) error {
	card := []cardBlock{cardLine(m.subject, "Bolder")}
	for line := range strings.SplitSeq(m.text, "\n") {
		card = append(card, cardLine(line, ""))
	}
	body, err := cardJSON(map[string]any{
		"type": "message",
		"attachments": []any{map[string]any{
			"contentType": "application/vnd.microsoft.card.adaptive",
			"content": map[string]any{
				"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4", "body": card,
			},
		}},
	})
	if err != nil {
		return err
	}
	return post(ctx, t.client, t.url, nil, body)
}

type cardRun struct {
	Type   string `json:"type"`
	Text   string `json:"text"`
	Weight string `json:"weight,omitempty"`
}

type cardBlock struct {
	Type    string    `json:"type"`
	Inlines []cardRun `json:"inlines"`
}

func cardLine(text, weight string) cardBlock {
	return cardBlock{"RichTextBlock", []cardRun{{"TextRun", text, weight}}}
}

// cardJSON leaves angle brackets as they are, which would take six bytes each: no
// browser reads this as a page.
func cardJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return b.Bytes(), err
}

// cardSize is how many bytes the lines of a text take in a card.
func cardSize(text string) (n int) {
	for line := range strings.SplitSeq(text, "\n") {
		block, _ := cardJSON(cardLine(line, "Bolder")) // strings can always be written
		n += len(block)                                // its line end is where the comma will be
	}
	return n
}

// sns publishes to a topic, with attributes to filter subscriptions by.
type sns struct {
	topic   string
	publish func(context.Context, Publication) error
}

func (s *sns) send(ctx context.Context, m *outgoing) error {
	if s.publish == nil {
		return errNotHere
	}
	p := Publication{TopicARN: s.topic, Subject: ascii(m.subject, 100), Body: m.subject + "\n\n" + m.text, ID: m.ID,
		Attributes: map[string]string{"severity": m.severity.String(), "kind": m.Kind, "message_id": m.ID}}
	if len(m.alerts) == 1 {
		a := &m.alerts[0]
		for name, value := range map[string]string{"event_name": a.EventName, "rule": a.Rule, "account_id": a.AccountID, "alert_id": a.ID} {
			if value != "" { // SNS takes no empty ones
				p.Attributes[name] = clean(value, 200)
			}
		}
	}
	return s.publish(ctx, p)
}

// ascii makes a subject: printable ASCII, one line, not longer than most.
func ascii(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	return text[:min(most, len(text))]
}
