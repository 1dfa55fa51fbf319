package server

import (
	"encoding/json"
	"encoding/xml"
	"net"
	"net/http"
	"strconv"
)

// protocol is how a service writes its messages (the names are Smithy's).
type protocol int

const (
	noProtocol protocol = iota
	awsJSON             // AWS JSON 1.1
	awsQuery            // forms in, XML out
	ec2Query            // the same with other errors
	restJSON
	restXML
)

var protocols = map[string]protocol{
	"cloudtrail": awsJSON, "organizations": awsJSON, "sso": awsJSON, "identitystore": awsJSON,
	"sts": awsQuery, "iam": awsQuery, "sns": awsQuery, "ec2": ec2Query,
	"account": restJSON, "s3": restXML,
}

// apiError is an error that a service answers with.
type apiError struct {
	status        int
	code, message string
}

// Codes that each protocol has a name of its own for.
const (
	codeDenied       = "denied"
	codeExpired      = "expired"
	codeUnknownKey   = "unknown key"
	codeMissingToken = "missing token"
	codeSkew         = "skew"
)

// spelled is what services call these errors (each service's API Reference,
// "Common Errors"; for S3 "Error responses").
var spelled = map[string]map[protocol]apiError{
	codeDenied: {
		awsJSON: {400, "AccessDeniedException", ""}, awsQuery: {403, "AccessDenied", ""}, ec2Query: {403, "UnauthorizedOperation", ""},
		restJSON: {403, "AccessDeniedException", ""}, restXML: {403, "AccessDenied", ""},
	},
	codeExpired: {
		awsJSON: {400, "ExpiredTokenException", ""}, awsQuery: {403, "ExpiredToken", ""}, ec2Query: {400, "RequestExpired", ""},
		restJSON: {403, "ExpiredTokenException", ""}, restXML: {400, "ExpiredToken", ""},
	},
	codeUnknownKey: {
		awsJSON: {400, "UnrecognizedClientException", ""}, awsQuery: {403, "InvalidClientTokenId", ""}, ec2Query: {401, "AuthFailure", ""},
		restJSON: {403, "UnrecognizedClientException", ""}, restXML: {403, "InvalidAccessKeyId", ""},
	},
	codeMissingToken: {
		awsJSON: {400, "MissingAuthenticationTokenException", ""}, awsQuery: {403, "MissingAuthenticationToken", ""}, ec2Query: {401, "AuthFailure", ""},
		restJSON: {403, "MissingAuthenticationTokenException", ""}, restXML: {403, "AccessDenied", ""},
	},
	codeSkew: {
		awsJSON: {400, "InvalidSignatureException", ""}, awsQuery: {403, "SignatureDoesNotMatch", ""}, ec2Query: {401, "AuthFailure", ""},
		restJSON: {403, "InvalidSignatureException", ""}, restXML: {403, "RequestTimeTooSkewed", ""},
	},
}

// reply is what is sent back.
type reply struct {
	status int // 0 means 200
	header map[string]string
	kind   string // content type
	body   []byte
}

// bad is an error in what was asked for.
func bad(code, message string) *apiError { return &apiError{http.StatusBadRequest, code, message} }

func jsonReply(kind string, v any) (reply, *apiError) {
	b, err := json.Marshal(v)
	if err != nil {
		return reply{}, &apiError{http.StatusInternalServerError, "InternalFailure", err.Error()}
	}
	return reply{kind: kind, body: b}, nil
}

const (
	kindJSON11 = "application/x-amz-json-1.1"
	kindJSON   = "application/json"
	kindXML    = "text/xml"
)

func xmlReply(v any) (reply, *apiError) {
	b, err := xml.Marshal(v)
	if err != nil {
		return reply{}, &apiError{http.StatusInternalServerError, "InternalFailure", err.Error()}
	}
	return reply{kind: kindXML, body: append([]byte(xml.Header), b...)}, nil
}

// failure writes an error as the service's protocol has it.
func failure(q *request, e *apiError) reply {
	p := protocols[q.service]
	shown := *e
	if names := spelled[e.code]; names != nil {
		own, ok := names[p]
		if !ok {
			own = names[awsJSON]
		}
		shown.status, shown.code = own.status, own.code
	}
	r := reply{status: shown.status, header: map[string]string{}}
	switch p {
	case awsQuery:
		kind := "Sender"
		if shown.status >= 500 {
			kind = "Receiver"
		}
		type inner struct{ Type, Code, Message string }
		r.kind = kindXML
		r.body, _ = xml.Marshal(struct {
			XMLName   xml.Name `xml:"ErrorResponse"`
			Error     inner
			RequestID string `xml:"RequestId"`
		}{Error: inner{kind, shown.code, shown.message}, RequestID: q.id})
	case ec2Query:
		type inner struct{ Code, Message string }
		r.kind = kindXML
		r.body, _ = xml.Marshal(struct {
			XMLName   xml.Name `xml:"Response"`
			Errors    []inner  `xml:"Errors>Error"`
			RequestID string   `xml:"RequestID"`
		}{Errors: []inner{{shown.code, shown.message}}, RequestID: q.id})
	case restXML:
		r.kind = "application/xml"
		r.body, _ = xml.Marshal(struct {
			XMLName   xml.Name `xml:"Error"`
			Code      string
			Message   string
			Resource  string
			RequestID string `xml:"RequestId"`
		}{Code: shown.code, Message: shown.message, Resource: q.http.URL.Path, RequestID: q.id})
	default:
		r.kind = kindJSON11
		if p == restJSON {
			r.kind = kindJSON
		}
		r.header["X-Amzn-Errortype"] = shown.code
		r.body, _ = json.Marshal(map[string]string{"__type": shown.code, "message": shown.message})
	}
	return r
}

// write sends a reply, with the account's time.
func (s *Server) write(w http.ResponseWriter, q *request, r reply) {
	h := w.Header()
	for k, v := range r.header {
		h[k] = []string{v} // as it is: S3 writes its metadata in lower case, and botocore hands on what it gets
	}
	h.Set("Date", s.now().Format(http.TimeFormat))
	h.Set("X-Amzn-Requestid", q.id)
	if q.service == "s3" {
		h.Set("X-Amz-Request-Id", q.id)
	}
	if r.kind != "" {
		h.Set("Content-Type", r.kind)
	}
	if h.Get("Content-Length") == "" {
		h.Set("Content-Length", strconv.Itoa(len(r.body)))
	}
	if r.status == 0 {
		r.status = http.StatusOK
	}
	w.WriteHeader(r.status)
	if q.http.Method != http.MethodHead {
		_, _ = w.Write(r.body) // a client that has gone needs no answer
	}
}

// breakConnection resets the connection, so that the client doesn't know whether
// its request was carried out.
func breakConnection(w http.ResponseWriter) {
	if h, ok := w.(http.Hijacker); ok {
		if c, _, err := h.Hijack(); err == nil {
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // close with a reset
			}
			_ = c.Close()
			return
		}
	}
	panic(http.ErrAbortHandler)
}
