package event

import "strings"

// What a name says about its value: the same rules serve JSON keys and names
// inside text ("aws_secret_access_key = ..."). Case, "_" and "-" don't count.
//
// The rules lean to the safe side: whatever ends in "token", "password",
// "secret" and the like is a credential unless it is known not to be one. What
// CloudTrail itself hides is listed too, since not all services do it, and other
// tools' exports undo it. Source of field names: AWS API references of IAM, STS,
// IAM Identity Center (and OIDC), Secrets Manager, Cognito, EC2, RDS, SSM.

var secretNames = set(`
	accesskeysecret activationcode assertion authcode authorization authorizationcode
	authenticationcode authenticationcode1 authenticationcode2
	base32stringseed qrcodepng totpseed
	codeverifier confirmationcode cookie setcookie devicecode usercode
	keymaterial mfacode onetimepassword otp passcode passworddata preauthorizedcode
	presharedkey proxyauthorization pwd recoverycode samlassertion samlresponse
	secretbinary secretstring serviceapikeyvalue serviceapikey sessionkey sharedaccesskey smscode
	tokencode totp totpcode verificationcode xamzsignature xapikey apikeyvalue
	awssecretkey bearer jwt`)

// Suffixes that make a credential of any name.
var secretSuffixes = []string{
	"accesstoken", "apitoken", "assertion", "authtoken", "mfacode", "passphrase", "passwd", "password",
	"privatekey", "secret", "secretaccesskey", "secretkey", "sessionkey", "tokencode", "token",
}

// Names that end like a credential and aren't one: they page, make calls
// idempotent, lock or count. A name that contains one of tokenWords before its
// "token" is such a name.
var harmlessNames = set(`
	masterusersecret forcechangepassword requirepassword allowuserstochangepassword
	changetoken locktoken`)

var tokenWords = []string{
	"next", "previous", "page", "pagin", "continu", "idempot", "creation", "creator", "client",
	"request", "caller", "starting", "resume", "position", "marker", "scroll",
}

var (
	grantNames = set(`granttype codeverifier redirecturi`)
	codeNames  = set(`code`)
	nameNames  = set(`name key parametername parameterkey attributename attributepath headername tagkey variablename`)
	valueNames = set(`value values parametervalue attributevalue headervalue tagvalue stringvalue variablevalue plaintextvalue`)
)

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

// maxNameLen bounds the names that are looked at, in bytes.
const maxNameLen = 128

// fold lowers ASCII letters and drops "_", "-", "." and spaces. Of a name that is
// too long it looks at the end.
func fold(name string, buf *[maxNameLen]byte) string {
	if len(name) > maxNameLen {
		name = name[len(name)-maxNameLen:] // suffix rules still hold
	}
	b := buf[:0]
	for i := 0; i < len(name); i++ {
		switch x := name[i]; {
		case x >= 'A' && x <= 'Z':
			b = append(b, x|0x20)
		case x == '_' || x == '-' || x == '.' || x == ' ':
		default:
			b = append(b, x)
		}
	}
	return string(b)
}

// nameFlags returns the redaction flags of a name.
func nameFlags(name string) keyFlags {
	var buf [maxNameLen]byte
	n := fold(name, &buf)
	var flags keyFlags
	if secretName(n) {
		flags |= keySecret
	}
	if codeNames[n] {
		flags |= keyCode
	}
	if grantNames[n] {
		flags |= keyGrant
	}
	if nameNames[n] {
		flags |= keyName
	}
	if valueNames[n] {
		flags |= keyValue
	}
	return flags
}

// secretName reports whether a folded name is that of a credential.
func secretName(n string) bool {
	if secretNames[n] {
		return true
	}
	for _, s := range secretSuffixes {
		if !strings.HasSuffix(n, s) {
			continue
		}
		if harmlessNames[n] {
			return false
		}
		if s == "token" {
			stem := n[:len(n)-len(s)]
			for _, w := range tokenWords {
				if strings.Contains(stem, w) {
					return false
				}
			}
		}
		return true
	}
	return false
}

// maskValue replaces the JSON value that out ends with, from at on, unless it
// can't be a credential.
func maskValue(out []byte, at int) []byte {
	v := out[at:]
	switch v[0] {
	case 'n', 't', 'f':
		return out
	case '"':
		if harmless(v[1 : len(v)-1]) {
			return out
		}
	}
	return append(out[:at], `"`+redacted+`"`...)
}

// harmless reports whether the text of a credential field says no more than
// that there is, was or isn't a credential.
func harmless[T string | []byte](s T) bool {
	switch string(s) {
	case "", redacted, "HIDDEN_DUE_TO_SECURITY_REASONS", "<sensitiveDataRemoved>", "***REDACTED***",
		"Success", "Failure", "true", "false", "null", "None":
		return true
	}
	for i := 0; i < len(s); i++ {
		if s[i] != '*' {
			return false
		}
	}
	return true
}

// maskPairs marks values that another member of their object makes credentials:
// {"name":"DB_PASSWORD","value":...}, and the code of an OAuth grant.
func (c *canon) maskPairs(start, base int, seen keyFlags) (marked bool) {
	grant := seen&keyGrant != 0 && seen&keyCode != 0
	pair := false
	if seen&keyName != 0 && seen&keyValue != 0 {
		for i := range c.members[base:] {
			m := &c.members[base+i]
			if m.info.flags&keyName == 0 {
				continue
			}
			v := c.out[start+int(m.val) : start+int(m.end)]
			if v[0] == '"' && nameFlags(text(string(v)))&keySecret != 0 {
				pair = true
			}
		}
	}
	for i := range c.members[base:] {
		m := &c.members[base+i]
		if grant && m.info.flags&keyCode != 0 || pair && m.info.flags&keyValue != 0 {
			v := c.out[start+int(m.val) : start+int(m.end)]
			if v[0] == 'n' || v[0] == 't' || v[0] == 'f' || v[0] == '"' && harmless(v[1:len(v)-1]) {
				continue
			}
			m.mask, marked = true, true
		}
	}
	return marked
}
