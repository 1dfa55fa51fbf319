package server

import (
	"encoding/xml"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Message is one that was published to SNS.
type Message struct {
	ID         string
	TopicARN   string
	Subject    string
	Body       string
	Attributes map[string]string // string values
	At         time.Time
	Account    string // who published it
}

// Messages returns what was published, oldest first; also what was published by a
// request whose connection broke afterwards.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

var topicARN = regexp.MustCompile(`^arn:aws:sns:([a-z0-9-]+):(\d{12}):[\w-]{1,256}(\.fifo)?$`)

// The most bytes of a message, and characters of a subject (Amazon SNS API
// Reference, "Publish").
const (
	mostMessage = 256 << 10
	mostSubject = 99
)

// sns answers SNS. Every topic of an account of the organization exists.
func (s *Server) sns(q *request) (reply, *apiError) {
	if q.operation != "Publish" {
		return reply{}, bad("InvalidAction", "The action "+q.operation+" is not valid for this web service.")
	}
	m := Message{TopicARN: q.form.Get("TopicArn"), Subject: q.form.Get("Subject"), Body: q.form.Get("Message"), At: s.now(), Account: q.account, ID: q.id}
	size := len(m.Body)
	for i := 1; q.form.Has("MessageAttributes.entry." + strconv.Itoa(i) + ".Name"); i++ {
		prefix := "MessageAttributes.entry." + strconv.Itoa(i) + "."
		if m.Attributes == nil {
			m.Attributes = map[string]string{}
		}
		name, value := q.form.Get(prefix+"Name"), q.form.Get(prefix+"Value.StringValue")
		m.Attributes[name] = value
		size += len(name) + len(value)
	}
	topic := topicARN.FindStringSubmatch(m.TopicARN)
	switch {
	case topic == nil:
		return reply{}, bad("InvalidParameter", "Invalid parameter: TopicArn Reason: "+m.TopicARN+" is no topic's ARN")
	case topic[1] != q.region:
		return reply{}, bad("InvalidParameter", "Invalid parameter: TopicArn")
	case !slices.Contains(s.world.Accounts(), topic[2]):
		return reply{}, &apiError{http.StatusNotFound, "NotFound", "Topic does not exist"}
	case m.Body == "":
		return reply{}, bad("InvalidParameter", "Invalid parameter: Empty message")
	case size > mostMessage:
		return reply{}, bad("InvalidParameter", "Invalid parameter: Message too long")
	case !utf8.ValidString(m.Body):
		return reply{}, bad("InvalidParameter", "Invalid parameter: Message is not UTF-8")
	case !goodSubject(m.Subject) && q.form.Has("Subject"):
		return reply{}, bad("InvalidParameter", "Invalid parameter: Subject")
	}
	s.mu.Lock()
	s.messages = append(s.messages, m)
	s.mu.Unlock()
	var out struct {
		XMLName xml.Name
		ID      string `xml:"PublishResult>MessageId"`
		metadata
	}
	out.XMLName = xml.Name{Space: "http://sns.amazonaws.com/doc/2010-03-31/", Local: "PublishResponse"}
	out.ID, out.RequestID = m.ID, q.id
	return xmlReply(out)
}

// goodSubject: ASCII, beginning with a letter, number or punctuation mark, without
// line breaks and control characters, shorter than 100 characters.
func goodSubject(text string) bool {
	return text != "" && len(text) <= mostSubject && text[0] > ' ' &&
		!strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}
