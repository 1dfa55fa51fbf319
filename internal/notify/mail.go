package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"net/url"
	"strings"
	"time"
)

// mailer sends mail itself: the library sends to one recipient after the other,
// and to all again when one fails, and waits for a silent server for ever.
type mailer struct {
	url      *url.URL
	from, to []string // plain addresses; from has one
	fromText string
	now      func() time.Time
}

// newMail reads smtp://USER:PASSWORD@HOST:PORT (STARTTLS where offered, and
// required with a password) or smtps:// (TLS from the start).
func newMail(c Channel, now func() time.Time) (*mailer, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Hostname() == "" || u.Scheme != "smtp" && u.Scheme != "smtps" {
		return nil, keyError("url", "give the mail server as smtps://USER:PASSWORD@HOST or smtp://HOST:PORT")
	}
	m := &mailer{url: u, now: now}
	if m.from, err = addresses("from", c.From); err != nil {
		return nil, err
	}
	if p, err := mail.ParseAddress(c.From); err == nil {
		m.fromText = p.String() // a name in ASCII
	}
	if m.to, err = addresses("to", c.To...); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *mailer) send(ctx context.Context, out *outgoing) error {
	err := m.deliver(ctx, m.letter(out))
	if err == nil {
		return nil
	}
	if isWarning(err) {
		return warning{redactor(m.url.String()).wrap(err)}
	}
	return redactor(m.url.String()).wrap(err)
}

// letter is the mail in the form of RFC 5322: ASCII, lines of at most 76
// characters. Its Message-ID is the same for each attempt.
func (m *mailer) letter(out *outgoing) []byte {
	var b bytes.Buffer
	_, host, _ := strings.Cut(m.from[0], "@")
	for _, h := range [][2]string{
		{"From", m.fromText}, {"To", strings.Join(m.to, ", ")},
		{"Subject", mime.QEncoding.Encode("utf-8", oneLine(out.subject))},
		{"Date", m.now().UTC().Format(time.RFC1123Z)},
		{"Message-ID", "<" + out.ID + "@" + host + ">"},
		{"MIME-Version", "1.0"}, {"Content-Type", "text/plain; charset=utf-8"},
		{"Content-Transfer-Encoding", "quoted-printable"}, {"Auto-Submitted", "auto-generated"},
	} {
		b.WriteString(h[0] + ": " + h[1] + "\r\n")
	}
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	_, err := w.Write([]byte(strings.ReplaceAll(out.subject+"\n\n"+out.text+"\n", "\n", "\r\n")))
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err) // a buffer takes everything
	}
	return b.Bytes()
}

func oneLine(text string) string {
	return cut(strings.NewReplacer("\r", " ", "\n", " ").Replace(text), 150)
}

// deliver hands a letter to the server, for all recipients at once. When some are
// refused, the others get it, and the error is a warning.
func (m *mailer) deliver(ctx context.Context, letter []byte) error {
	c, secure, err := m.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // what counts is the answer to the letter
	if !secure {
		if ok, _ := c.Extension("STARTTLS"); ok {
			if err := c.StartTLS(&tls.Config{ServerName: m.url.Hostname(), MinVersion: tls.VersionTLS12}); err != nil {
				return fmt.Errorf("begin TLS with the mail server: %w", err)
			}
		}
	}
	if user := m.url.User; user != nil {
		password, _ := user.Password()
		// It refuses to send a password that others could read.
		if err := c.Auth(smtp.PlainAuth("", user.Username(), password, m.url.Hostname())); err != nil {
			return fmt.Errorf("log in to the mail server: %w", err)
		}
	}
	if err := c.Mail(m.from[0]); err != nil {
		return fmt.Errorf("mail from %s: %w", m.from[0], err)
	}
	var refused []error
	for _, to := range m.to {
		if err := c.Rcpt(to); err != nil {
			var answer *textproto.Error
			if !errors.As(err, &answer) {
				return fmt.Errorf("mail to %s: %w", to, err)
			}
			refused = append(refused, fmt.Errorf("mail to %s: %w", to, err))
		}
	}
	if len(refused) == len(m.to) {
		return errors.Join(refused...)
	}
	w, err := c.Data()
	if err == nil {
		if _, err = w.Write(letter); err == nil {
			err = w.Close() // the server's answer: from here on the mail is its
		}
	}
	if err != nil {
		return fmt.Errorf("hand the mail over: %w", err)
	}
	_ = c.Quit() // the mail is accepted, whatever becomes of the connection
	if len(refused) > 0 {
		return warning{errors.Join(refused...)}
	}
	return nil
}

// connect reaches the server; all that follows ends with the context's time.
func (m *mailer) connect(ctx context.Context) (c *smtp.Client, secure bool, err error) {
	host, port := m.url.Hostname(), m.url.Port()
	secure = m.url.Scheme == "smtps"
	if port == "" {
		if port = "587"; secure {
			port = "465"
		}
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, secure, fmt.Errorf("reach the mail server: %w", err)
	}
	end, _ := ctx.Deadline()
	if err := conn.SetDeadline(end); err != nil {
		return nil, secure, errors.Join(err, conn.Close())
	}
	if secure {
		conn = tls.Client(conn, &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12})
	}
	if c, err = smtp.NewClient(conn, host); err != nil {
		return nil, secure, errors.Join(fmt.Errorf("greet the mail server: %w", err), conn.Close())
	}
	if err := c.Hello("localhost"); err != nil {
		return nil, secure, errors.Join(fmt.Errorf("greet the mail server: %w", err), c.Close())
	}
	return c, secure, nil
}
