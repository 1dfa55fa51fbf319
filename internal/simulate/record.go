package simulate

import (
	"strings"
	"time"
)

// failure is how a call went wrong.
type failure uint8

const (
	fine failure = iota
	denied
	notFound
	throttled
)

// plan is one event to be: all that its record is a function of.
type plan struct {
	at    int64 // Unix seconds
	id    uuid
	req   uint64 // seed of the request: equal in both copies of a cross-account event
	call  *call
	sess  *session
	child *session // issued by this call
	story *Story   // nil in the background

	acct   uint8 // whose record it is
	region uint8
	failed failure
	shared bool // has a sharedEventID
	copied bool // the role owner's copy of a cross-account call
}

// renderer turns plans into records. It is not safe for concurrent use; make one
// for each goroutine.
type renderer struct {
	w *World
	p *plan
	r rng
}

// target is the account that a call acts on.
func (c *renderer) target() *account {
	if c.p.child != nil {
		return c.w.accounts[c.p.child.acct]
	}
	return c.w.accounts[c.p.acct]
}

// append adds the record of p, as a trail file holds it, to dst.
func (c *renderer) append(dst []byte, p *plan) []byte {
	w, k, s := c.w, p.call, p.sess
	c.p = p
	c.r = seeded(p.req, 1)
	ids := seeded(p.req, 2)

	dst = str(dst, `{"eventVersion":"`, k.version, `","userIdentity":`)
	if p.copied {
		dst = s.appendForeign(dst, w.accounts[s.acct].id)
	} else {
		dst = append(dst, s.identity...)
	}
	dst = append(dst, `,"eventTime":"`...)
	dst = appendTime(dst, p.at)
	dst = str(dst, `","eventSource":"`, k.source, `.amazonaws.com","eventName":"`, k.name, `","awsRegion":"`, w.regions[p.region],
		`","sourceIPAddress":"`, s.ip, `","userAgent":`)
	dst = appendQuoted(dst, s.agent)
	dst = c.appendError(dst)
	dst = c.appendBody(dst)
	if !k.bare {
		dst = append(dst, `,"requestID":"`...)
		dst = append(ids.newUUID().append(dst), '"')
	}
	dst = append(dst, `,"eventID":"`...)
	dst = p.id.append(dst)
	dst = str(dst, `","readOnly":`, yes(!k.write))
	if k.resource != nil && p.failed == fine {
		dst = append(dst, `,"resources":`...)
		dst = k.resource.append(dst, c)
	}
	kind := k.kind
	if kind == "" {
		kind = "AwsApiCall"
	}
	dst = str(dst, `,"eventType":"`, kind, `","managementEvent":true,"recipientAccountId":"`, w.accounts[p.acct].id, `"`)
	if p.shared {
		shared := seeded(p.req, 3)
		dst = append(dst, `,"sharedEventID":"`...)
		dst = append(shared.newUUID().append(dst), '"')
	}
	if k.sed != nil {
		dst = append(dst, `,"serviceEventDetails":`...)
		dst = k.sed.append(dst, c)
	}
	dst = append(dst, `,"eventCategory":"Management"`...)
	if !s.noTLS && !s.console && !k.bare {
		dst = append(dst, `,"tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"`...)
		dst = append(c.appendHost(dst), `"}`...)
	}
	if s.console && !k.bare {
		dst = append(dst, `,"sessionCredentialFromConsole":"true"`...)
	}
	return append(dst, '}')
}

func (c *renderer) appendError(dst []byte) []byte {
	k, p := c.p.call, c.p
	switch p.failed {
	case fine:
		if k.errCode != "" {
			dst = str(dst, `,"errorCode":"`, k.errCode, `"`)
		}
		if k.errMsg != nil {
			dst = append(dst, `,"errorMessage":"`...)
			dst = append(k.errMsg.append(dst, c), '"')
		}
	case denied:
		code := "AccessDenied"
		switch k.source {
		case "iam", "sts", "s3":
		case "ec2":
			code = "Client.UnauthorizedOperation"
		default:
			code = "AccessDeniedException"
		}
		dst = str(dst, `,"errorCode":"`, code, `","errorMessage":"User: `, p.sess.arn, ` is not authorized to perform: `, k.source, `:`, k.name, ` on resource: `)
		if p.child != nil {
			dst = append(dst, p.child.role.arn...)
		} else {
			dst = str(dst, `arn:aws:`, k.source, `::`, c.w.accounts[p.acct].id, `:*`)
		}
		dst = str(dst, ` because no identity-based policy allows the `, k.source, `:`, k.name, ` action"`)
	case notFound:
		code := "ResourceNotFoundException"
		if k.source == "iam" {
			code = "NoSuchEntityException"
		}
		dst = str(dst, `,"errorCode":"`, code, `","errorMessage":"The requested resource cannot be found."`)
	case throttled:
		dst = append(dst, `,"errorCode":"ThrottlingException","errorMessage":"Rate exceeded"`...)
	}
	return dst
}

func (c *renderer) appendBody(dst []byte) []byte {
	k, p := c.p.call, c.p
	rp, re := k.rp, k.re
	if p.failed == denied && (k.source == "iam" || k.source == "sts") {
		rp = nil // refused before the request was read
	}
	if p.failed != fine {
		re = nil
	}
	dst = append(dst, `,"requestParameters":`...)
	if rp == nil {
		dst = append(dst, "null"...)
	} else {
		dst = rp.append(dst, c)
	}
	dst = append(dst, `,"responseElements":`...)
	if re == nil {
		dst = append(dst, "null"...)
	} else {
		dst = re.append(dst, c)
	}
	if k.ad != nil {
		dst = append(dst, `,"additionalEventData":`...)
		dst = k.ad.append(dst, c)
	}
	return dst
}

func (c *renderer) appendHost(dst []byte) []byte {
	k, region := c.p.call, c.w.regions[c.p.region]
	switch k.source {
	case "iam", "organizations":
		return str(dst, k.source, ".amazonaws.com")
	}
	return str(dst, k.source, ".", region, ".amazonaws.com")
}

// appendDate writes a time as STS and IAM do in their answers.
func appendDate(dst []byte, at int64) []byte {
	return time.Unix(at, 0).UTC().AppendFormat(dst, "Jan 2, 2006, 3:04:05 PM")
}

// appendIssued writes the credentials of the issued session.
func appendIssued(dst []byte, c *renderer, _ string) []byte {
	child := c.p.child
	dst = str(dst, `{"accessKeyId":"`, child.key, `","sessionToken":"`)
	dst = c.r.appendToken(dst)
	dst = append(dst, `","expiration":"`...)
	dst = appendDate(dst, child.created+child.lasts)
	return append(dst, `"}`...)
}

// appendSubject writes a part of the issued session.
func appendSubject(dst []byte, c *renderer, part string) []byte {
	s := c.p.child
	switch part {
	case "arn":
		return append(dst, s.arn...)
	case "rolearn":
		return append(dst, s.role.arn...)
	case "id":
		return str(dst, s.role.id, ":", s.name)
	case "name":
		return append(dst, s.name...)
	case "caller":
		return append(dst, c.p.sess.name...)
	case "key":
		return append(dst, s.key...)
	case "set": // AWSReservedSSO_NAME_HASH
		name := strings.TrimPrefix(s.role.name, "AWSReservedSSO_")
		return append(dst, name[:strings.LastIndexByte(name, '_')]...)
	case "mfa":
		return str(dst, "arn:aws:iam::", c.w.accounts[s.acct].id, ":mfa/", s.name)
	case "seconds":
		return appendInt(dst, s.lasts)
	case "account":
		return append(dst, c.w.accounts[s.acct].id...)
	case "person":
		return append(dst, strings.TrimSuffix(s.name, "@"+mailDomain)...)
	}
	return dst
}

func appendInt(dst []byte, n int64) []byte {
	if n >= 10 {
		dst = appendInt(dst, n/10)
	}
	return append(dst, byte('0'+n%10))
}
