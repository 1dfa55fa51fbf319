package notify

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/rule"
	"github.com/iamtrack/iamtrack/internal/store"
)

// open makes a notifier with one channel, in a world with one alert that is due.
func open(t *testing.T, o Options, c Channel) (*world, *Notifier) {
	t.Helper()
	w := newWorld()
	c.Name = "c"
	o.Now, o.Channels, o.DailySummary = w.now, []Channel{c}, -1
	n := New(w.Mem, o)
	a := w.alert(1, 0)
	a.Actor = "mallory @everyone"
	w.record(t, a)
	return w, n
}

// taken sends the alert and wants the channel to take it.
func taken(t *testing.T, o Options, c Channel) *world {
	t.Helper()
	w, n := open(t, o, c)
	for _, err := range n.Problems() {
		t.Fatal(err)
	}
	if _, d := pass(t, n); d.Sent != 1 {
		t.Fatalf("not sent: %v", d.Errors)
	}
	return w
}

// failing sends the alert, wants it to fail, and returns what the row says.
func failing(t *testing.T, o Options, c Channel) string {
	t.Helper()
	w, n := open(t, o, c)
	_, d := pass(t, n)
	m := messages(t, w)[0]
	if d.Sent != 0 || m.State != store.MessagePending || m.LastError == "" {
		t.Fatalf("got %+v", m)
	}
	return m.LastError
}

// served is what a server got.
type served struct {
	path   string
	header http.Header
	body   string
}

// serve answers requests in turn, and keeps what came.
func serve(t *testing.T, status int, header http.Header) (*httptest.Server, func() []served) {
	t.Helper()
	var mu sync.Mutex
	var list []served
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		list = append(list, served{r.URL.Path, r.Header, string(body)})
		mu.Unlock()
		for k, v := range header {
			w.Header()[k] = v
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"ok":true,"secret":"answered"}`)
	}))
	t.Cleanup(s.Close)
	return s, func() []served {
		mu.Lock()
		defer mu.Unlock()
		return list
	}
}

func TestWebhook(t *testing.T) {
	s, got := serve(t, 204, nil)
	w := taken(t, Options{}, Channel{Type: "webhook", URL: s.URL + "/hook", Secret: "s3cret"})
	r := got()[0]
	m := messages(t, w)[0]
	at := r.header.Get(HeaderTimestamp)
	equal(t, "request", []any{r.path, r.header.Get("Content-Type"), r.header.Get(HeaderMessage), at, r.header.Get(HeaderSignature)},
		[]any{"/hook", "application/json", m.ID, "1795348800", Signature("s3cret", at, []byte(r.body))})
	var p payload
	if err := json.Unmarshal([]byte(r.body), &p); err != nil {
		t.Fatal(err)
	}
	equal(t, "payload", []any{p.MessageID, p.AlertIDs[0], p.Alerts[0].Actor}, []any{m.ID, m.AlertIDs[0], "mallory @everyone"})

	taken(t, Options{}, Channel{Type: "webhook", URL: s.URL})
	equal(t, "no secret, no signature", got()[1].header.Get(HeaderSignature), "")
}

// The signature is what the documentation says: known values.
func TestSignature(t *testing.T) {
	equal(t, "signature", Signature("key", "1", []byte("body")), "v1=91b5374b153842ad05b2c4eab9349b8321b14703165bd3fb8b034dfb8be98ae5")
}

func TestWebhookFails(t *testing.T) {
	elsewhere, got := serve(t, 200, nil)
	redirects, _ := serve(t, 307, http.Header{"Location": {elsewhere.URL}})
	busy, _ := serve(t, 429, http.Header{"Retry-After": {"77"}})
	gone := httptest.NewServer(nil)
	gone.Close()
	for name, c := range map[string]struct{ url, want string }{
		"redirect": {redirects.URL, "127.0.0.1 answered 307 Temporary Redirect"},
		"busy":     {busy.URL, "127.0.0.1 answered 429 Too Many Requests"},
		"gone":     {gone.URL, "reach 127.0.0.1: "},
	} {
		said := failing(t, Options{}, Channel{Type: "webhook", URL: c.url + "/T0KEN-1/part?key=Value123"})
		if !strings.HasPrefix(said, c.want) {
			t.Errorf("%s: %s", name, said)
		}
		for _, secret := range []string{"T0KEN-1", "Value123", "answered\""} {
			if strings.Contains(said, secret) {
				t.Errorf("%s: %q is in %s", name, secret, said)
			}
		}
	}
	equal(t, "requests elsewhere", len(got()), 0)
	w, n := open(t, Options{}, Channel{Type: "webhook", URL: busy.URL})
	pass(t, n)
	equal(t, "waits as asked", messages(t, w)[0].Due.Sub(w.now()), 77*time.Second)

	w, n = open(t, Options{Timeout: time.Millisecond, HTTP: &http.Client{Transport: deaf{}}}, Channel{Type: "webhook", URL: busy.URL})
	pass(t, n)
	if m := messages(t, w)[0]; !strings.HasPrefix(m.LastError, "no answer within 1ms") {
		t.Errorf("got %q", m.LastError)
	}
}

// deaf is a server that never answers.
type deaf struct{}

func (deaf) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestTeams(t *testing.T) {
	s, got := serve(t, 202, nil)
	taken(t, Options{}, Channel{Type: "teams", URL: s.URL})
	var card struct {
		Type        string
		Attachments []struct {
			ContentType string
			Content     struct {
				Type string
				Body []struct {
					Type    string
					Inlines []struct{ Type, Text string }
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(got()[0].body), &card); err != nil {
		t.Fatal(err)
	}
	a := card.Attachments[0]
	equal(t, "card", []any{card.Type, a.ContentType, a.Content.Type, a.Content.Body[0].Inlines[0].Text},
		[]any{"message", "application/vnd.microsoft.card.adaptive", "AdaptiveCard", "HIGH: User created"})
	for _, b := range a.Content.Body {
		equal(t, "text that is no Markdown", []any{b.Type, b.Inlines[0].Type}, []any{"RichTextBlock", "TextRun"})
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "below", "alerts.jsonl")
	c := Channel{Type: "file", Path: path}
	taken(t, Options{}, c)
	f := must[*os.File](t)(os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0))
	must[int](t)(f.WriteString(`{"cut sho`))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	taken(t, Options{}, c)
	lines := strings.Split(string(must[[]byte](t)(os.ReadFile(path))), "\n") //nolint:gosec // of the test
	equal(t, "lines", []any{len(lines), lines[1], lines[3], json.Valid([]byte(lines[0])), json.Valid([]byte(lines[2]))},
		[]any{4, `{"cut sho`, "", true, true})
	if info := must[os.FileInfo](t)(os.Stat(path)); info.Mode().Perm()&0o077 != 0 {
		t.Errorf("mode %v", info.Mode())
	}
	if said := failing(t, Options{}, Channel{Type: "file", Path: t.TempDir()}); !strings.HasPrefix(said, "open the file: ") {
		t.Errorf("got %q", said)
	}
}

func TestTerminal(t *testing.T) {
	var b bytes.Buffer
	taken(t, Options{Terminal: &b}, Channel{Type: "terminal"})
	if text := b.String(); !strings.Contains(text, "HIGH: User created\nWhat ") {
		t.Errorf("got %q", text)
	}
	failing(t, Options{}, Channel{Type: "terminal"})
}

func TestSNS(t *testing.T) {
	const topic = "arn:aws:sns:eu-west-1:012345678901:alerts"
	var got Publication
	w := taken(t, Options{Publish: func(_ context.Context, p Publication) error { got = p; return nil }}, Channel{Type: "sns", TopicARN: topic})
	m := messages(t, w)[0]
	equal(t, "publication", []any{got.TopicARN, got.Subject, got.ID, got.Attributes}, []any{topic, "HIGH: User created", m.ID, map[string]string{
		"severity": "high", "kind": "alert", "message_id": m.ID, "event_name": "CreateUser", "rule": "user-created",
		"account_id": "012345678901", "alert_id": m.AlertIDs[0],
	}})
	failing(t, Options{Publish: func(context.Context, Publication) error { return errBroken }}, Channel{Type: "sns", TopicARN: topic})
	failing(t, Options{}, Channel{Type: "sns", TopicARN: topic})
	equal(t, "subject", ascii("Ä\n"+strings.Repeat("x", 200), 100), "??"+strings.Repeat("x", 98))
}

// letters is a mail server for one connection after the other.
type letters struct {
	net.Listener
	mu       sync.Mutex
	got      []string // DATA of each
	to       [][]string
	refuse   string // of this recipient
	hang     bool   // after the greeting
	dropQuit bool
}

func mailServer(t *testing.T) *letters {
	t.Helper()
	s := &letters{Listener: must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))}
	t.Cleanup(func() { _ = s.Close() })
	go func() {
		for {
			c, err := s.Accept()
			if err != nil {
				return
			}
			go s.talk(c)
		}
	}()
	return s
}

func (s *letters) talk(c net.Conn) {
	defer c.Close() //nolint:errcheck // a test's
	r := bufio.NewReader(c)
	say := func(text string) { _, _ = io.WriteString(c, text+"\r\n") }
	say("220 ready")
	var to []string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "EHLO"):
			if s.hang {
				continue
			}
			say("250-hello\r\n250 AUTH PLAIN")
		case strings.HasPrefix(line, "AUTH"):
			say("235 welcome")
		case strings.HasPrefix(line, "RCPT") && s.refuse != "" && strings.Contains(line, s.refuse):
			say("550 no such user " + s.refuse)
		case line == "DATA":
			say("354 go on")
			var text strings.Builder
			for {
				l, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if l == ".\r\n" {
					break
				}
				text.WriteString(l)
			}
			s.mu.Lock()
			s.got, s.to = append(s.got, text.String()), append(s.to, to)
			s.mu.Unlock()
			say("250 taken")
		case line == "QUIT":
			if !s.dropQuit {
				say("221 bye")
			}
			return
		default:
			if strings.HasPrefix(line, "RCPT") {
				to = append(to, line)
			}
			say("250 ok")
		}
	}
}

func (s *letters) channel() Channel {
	return Channel{Type: "mail", URL: "smtp://user:Passw0rd@" + s.Addr().String(), From: "Wächter <iamtrack@example.org>",
		To: []string{"a@example.org", "b@example.org"}}
}

func TestMail(t *testing.T) {
	s := mailServer(t)
	s.dropQuit = true // the mail was accepted by then
	w := taken(t, Options{}, s.channel())
	letter := must[*mail.Message](t)(mail.ReadMessage(strings.NewReader(s.got[0])))
	dec := new(mime.WordDecoder)
	subject := must[string](t)(dec.DecodeHeader(letter.Header.Get("Subject")))
	body := must[[]byte](t)(io.ReadAll(quotedprintable.NewReader(letter.Body)))
	m := messages(t, w)[0]
	equal(t, "letter", []any{subject, letter.Header.Get("To"), letter.Header.Get("Message-ID"), len(s.to[0])},
		[]any{"HIGH: User created", "a@example.org, b@example.org", "<" + m.ID + "@example.org>", 2})
	if !strings.Contains(string(body), "\r\nWho       mallory ＠everyone\r\n") || !strings.Contains(string(body), m.AlertIDs[0]) {
		t.Errorf("got %s", body)
	}
	for line := range strings.Lines(s.got[0]) {
		if len(line) > 200 || strings.Trim(line, "\x00\r\n\t") != strings.TrimRight(line, "\r\n") {
			t.Errorf("line %q", line)
		}
	}
}

func TestMailFails(t *testing.T) {
	s := mailServer(t)
	s.refuse = "b@example.org"
	w := taken(t, Options{}, s.channel())
	m := messages(t, w)[0]
	equal(t, "the other one has it", []any{len(s.got), m.State, strings.Contains(m.LastError, "mail to b@example.org: 550")}, []any{1, store.MessageSent, true})
	_, n := open(t, Options{}, s.channel())
	if out := must[[]Outcome](t)(n.Test(t.Context())); out[0].Err == nil {
		t.Error("a test tells of the refused address")
	}
	s.refuse = "example.org"
	if said := failing(t, Options{}, s.channel()); !strings.Contains(said, "550") {
		t.Errorf("got %q", said)
	}
	s.hang = true
	if said := failing(t, Options{Timeout: 50 * time.Millisecond}, s.channel()); !strings.Contains(said, "no answer") && !strings.Contains(said, "timeout") {
		t.Errorf("got %q", said)
	}
	_ = s.Close()
	if said := failing(t, Options{}, s.channel()); strings.Contains(said, "Passw0rd") {
		t.Errorf("got %q", said)
	}
}

// rewired sends what the library asks of a service to a server of the test.
type rewired struct {
	mu  sync.Mutex
	got []served
	say func(r *http.Request) (int, string)
}

func (w *rewired) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.got = append(w.got, served{r.URL.String(), r.Header, string(body)})
	w.mu.Unlock()
	status, text := w.say(r)
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
}

// TestChats: the library's services get what their style says, and errors have no
// token. (The library uses the process's transport.)
func TestChats(t *testing.T) {
	old := http.DefaultTransport
	w := &rewired{}
	http.DefaultTransport = w
	t.Cleanup(func() { http.DefaultTransport = old })
	for name, c := range map[string]struct{ typ, url, answer, at, has, secret string }{
		"slack": {"slack", "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX", "ok",
			"https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX", "Who: `mallory @everyone`", "XXXXXXXXXXXXXXXXXXXXXXXX"},
		"discord": {"discord", "https://discord.com/api/webhooks/123456789012345678/tok-En_0123456789", "",
			"https://discord.com/api/webhooks/123456789012345678/tok-En_0123456789", "Who: `mallory ＠everyone`", "tok-En_0123456789"},
		"telegram": {"telegram", "telegram://110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0@telegram?chats=@alerts", `{"ok":true,"result":{}}`,
			"https://api.telegram.org/bot110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0/sendMessage", `<b>Who</b> <code>mallory @everyone</code>`, "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0"},
		"googlechat": {"shoutrrr", "googlechat://chat.googleapis.com/v1/spaces/FOO/messages?key=bar-secret&token=baz-secret", "{}",
			"https://chat.googleapis.com/v1/spaces/FOO/messages?key=bar-secret&token=baz-secret", "Who: `mallory ＠everyone`", "-secret"},
	} {
		w.got, w.say = nil, func(*http.Request) (int, string) {
			if name == "discord" {
				return 204, ""
			}
			return 200, c.answer
		}
		world := taken(t, Options{}, Channel{Type: c.typ, URL: c.url})
		body := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(w.got[0].body)
		if len(w.got) != 1 || w.got[0].path != c.at || !strings.Contains(body, c.has) || !strings.Contains(body, messages(t, world)[0].AlertIDs[0]) {
			t.Errorf("%s: %d requests, %s\n%s", name, len(w.got), w.got[0].path, body)
		}
		w.say = func(*http.Request) (int, string) { return 403, `{"ok":false,"description":"no ` + c.secret + `"}` }
		if said := failing(t, Options{}, Channel{Type: c.typ, URL: c.url}); strings.Contains(said, c.secret) {
			t.Errorf("%s: the token is in %q", name, said)
		}
	}
}

func TestNtfy(t *testing.T) {
	s, got := serve(t, 200, nil)
	taken(t, Options{}, Channel{Type: "ntfy", URL: s.URL + "/my-topic"})
	r := got()[0]
	equal(t, "topic", r.path, "/my-topic")
	if !strings.HasPrefix(r.body, "HIGH: User created\nWhat ") {
		t.Errorf("got %q", r.body)
	}
}

// A sending that hangs is not begun again; when it ends after all, that counts.
func TestChatHangs(t *testing.T) {
	let, began := make(chan struct{}), 0
	c := &chat{send1: func(string) error { began++; <-let; return nil }}
	m := &outgoing{Message: &store.Message{ID: "a"}}
	short, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 {
		if err := c.send(short, m); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
	}
	if err := c.send(t.Context(), &outgoing{Message: &store.Message{ID: "b"}}); err == nil || !strings.Contains(err.Error(), "still hangs") {
		t.Fatalf("got %v", err)
	}
	close(let)
	if err := c.send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	equal(t, "sendings", began, 1)
	if err := c.send(t.Context(), &outgoing{Message: &store.Message{ID: "b"}}); err != nil {
		t.Fatal(err)
	}
}

func TestBadChannels(t *testing.T) {
	for _, c := range []struct {
		Channel
		want string
	}{
		{Channel{Type: "pigeon"}, "key type: there is no type"},
		{Channel{Type: "file", Path: "relative"}, "key path"},
		{Channel{Type: "webhook", URL: "ftp://T0KEN"}, "key url"},
		{Channel{Type: "webhook", URL: "http://example.org/T0KEN"}, "use https://"},
		{Channel{Type: "webhook", URL: "https://a b/T0KEN"}, "key url"},
		{Channel{Type: "sns", TopicARN: "x"}, "key topic_arn"},
		{Channel{Type: "mail", URL: "https://T0KEN"}, "key url"},
		{Channel{Type: "mail", URL: "smtp://h", From: "nobody"}, "key from"},
		{Channel{Type: "mail", URL: "smtp://h", From: "a@b.example"}, "key to"},
		{Channel{Type: "mail", URL: "smtp://h", From: "a@b.example", To: []string{"x\r\ny@z"}}, "key to"},
		{Channel{Type: "slack", URL: "https://example.org/services/T0KEN"}, "key url"},
		{Channel{Type: "slack", URL: "slack://T0KEN"}, "key url"},
		{Channel{Type: "slack", URL: "discord://T0KEN@id"}, "key url"},
		{Channel{Type: "discord", URL: "https://discord.com/T0KEN"}, "key url"},
		{Channel{Type: "telegram", URL: "telegram://T0KEN@telegram"}, "key url"},
		{Channel{Type: "shoutrrr", URL: "nothing://T0KEN"}, "key url"},
		{Channel{Type: "shoutrrr", URL: "logger://"}, "key url"},
		{Channel{Type: "ntfy", URL: "http://example.org/T0KEN"}, "use https://"},
		{Channel{Type: "slack", Err: errBroken}, "broken"},
	} {
		_, n := open(t, Options{}, c.Channel)
		if len(n.Problems()) != 1 {
			t.Errorf("%+v: %v", c.Channel, n.Problems())
			continue
		}
		said := n.Problems()[0].Error()
		if !strings.HasPrefix(said, "channel c: ") || !strings.Contains(said, c.want) || strings.Contains(said, "T0KEN") {
			t.Errorf("%s: got %q, want %q", c.Type, said, c.want)
		}
		failing(t, Options{}, c.Channel)
	}
}

// A check, and opening all channels at the start of a command, reaches nobody: a
// server that doesn't answer would hold up everything.
func TestCheckReachesNobody(t *testing.T) {
	asked := 0
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.WriteHeader(http.StatusInternalServerError)
	}))
	defer web.Close()
	host := strings.TrimPrefix(web.URL, "http://")
	dir := t.TempDir()
	for _, c := range []Channel{
		{Type: "shoutrrr", URL: "matrix://user:T0KENS@" + host + "/?rooms=!a:b&disableTLS=yes"},
		{Type: "shoutrrr", URL: "gotify://" + host + "/AzyoeNS.D4iJLVa?disableTLS=yes"},
		{Type: "webhook", URL: web.URL},
		{Type: "ntfy", URL: web.URL + "/topic"},
		{Type: "mail", URL: "smtp://" + host, From: "a@b.example", To: []string{"c@d.example"}},
		{Type: "file", Path: filepath.Join(dir, "file")},
		{Type: "sns", TopicARN: "arn:aws-us-gov:sns:us-gov-west-1:111122223333:alerts.fifo"},
	} {
		if err := Check(c); err != nil {
			t.Errorf("%s: %v", c.Type, err)
		}
	}
	equal(t, "requests", asked, 0)
	failing(t, Options{}, Channel{Type: "shoutrrr", URL: "matrix://user:T0KENS@" + host + "/?rooms=!a:b&disableTLS=yes"})
	if asked == 0 {
		t.Error("sending asked nobody either")
	}
	if err := Check(Channel{Type: "file", Path: dir}); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("a folder: %v", err)
	}
	if err := Check(Channel{Err: errBroken}); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
}

func TestRedact(t *testing.T) {
	u := "https://user:Pa%20ss@hooks.example/T0K/B0LONG/secret-thing?key=VALUE9&x=1#frag"
	r := redactor(u)
	parsed := must[*url.URL](t)(url.Parse(u))
	for _, text := range []string{u, parsed.Path, "Post \"" + u + "\": refused", "token secret-thing", "Pa ss", "Pa+ss VALUE9", "x\x1b[31m", strings.Repeat("a", 9999)} {
		said := r.text(text)
		for _, secret := range []string{"B0LONG", "secret-thing", "VALUE9", "Pa ss", "Pa+ss", "Pa%20ss", "\x1b"} {
			if strings.Contains(said, secret) || len(said) > 400 {
				t.Errorf("%q is in %q", secret, said)
			}
		}
	}
	err := r.wrap(errors.Join(errBroken, context.DeadlineExceeded))
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.EOF) || r.wrap(nil) != nil {
		t.Error(err)
	}
}

// What goes to a service is within its limit as it's sent, not only its text:
// JSON has six bytes for one angle bracket, and a frame around each line.
func TestTeamsBodyFits(t *testing.T) {
	for _, text := range nasty {
		w := newWorld()
		to := every["teams"]
		var alerts []rule.Alert
		for i := range to.most() {
			alerts = append(alerts, hostile(w, i, strings.Repeat(text, 3)))
		}
		w.record(t, alerts...)
		out := compose(t, w, to, KindGroup, alerts...)
		var body []byte
		client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			body = must[[]byte](t)(io.ReadAll(r.Body))
			return &http.Response{StatusCode: http.StatusAccepted, Body: http.NoBody}, nil
		})}
		u := must[*url.URL](t)(url.Parse("https://teams.example/x"))
		if err := (&teams{url: u, client: client}).send(t.Context(), out); err != nil {
			t.Fatal(err)
		}
		if len(body) > 28_000 {
			t.Errorf("%.20q: %d bytes", text, len(body))
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
