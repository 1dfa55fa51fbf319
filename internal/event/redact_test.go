package event

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// Canaries: secret ones must be gone from whatever leaves the parser, public
// ones must still be there.
const (
	secret = "C4naryS3cretHunter2"
	public = "C4naryPublicValue"
)

// fakeToken makes something that looks like an opaque token.
func fakeToken(head string) string {
	return head + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(secret, 6)))
}

var fakeJWT = "eyJhbGciOiJSUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"`+secret+`"}`)) + "." + strings.Repeat("c2ln", 20)

var fakePEM = "-----BEGIN RSA PRIVATE KEY-----\n" + secret + "\n" + secret + "\n-----END RSA PRIVATE KEY-----"

// secretKeys are names whose values are credentials, in the spellings of AWS
// APIs, headers and configuration files.
var secretKeys = strings.Fields(`
	sessionToken SessionToken session_token AWS_SESSION_TOKEN securityToken x-amz-security-token X-Amz-Security-Token
	secretAccessKey SecretAccessKey aws_secret_access_key secretKey secret_key AwsSecretKey sessionKey
	accessToken access_token refreshToken idToken id_token clientSecret client_secret subjectToken actorToken bearerToken token
	sAMLAssertion SAMLAssertion samlResponse assertion webIdentityToken WebIdentityToken clientAssertion
	password Password oldPassword newPassword masterUserPassword DB_PASSWORD temporaryPassword passphrase servicePassword
	serviceCredentialSecret secretString SecretString secretBinary secret privateKey PrivateKey sshPrivateKey keyMaterial
	signinToken SigninToken deviceCode device_code userCode codeVerifier code_verifier authorizationCode
	tokenCode TokenCode mfaCode authenticationCode1 authenticationCode2 otp activationCode confirmationCode
	base32StringSeed qRCodePNG authorization Authorization proxy-authorization Cookie set-cookie x-api-key preSharedKey
	authToken apiToken x-amz-sso_bearer_token pwd passwd`)

// publicKeys are names that look like credentials' and aren't.
var publicKeys = strings.Fields(`
	accessKeyId nextToken NextToken clientToken ClientToken clientRequestToken continuationToken paginationToken idempotencyToken
	tokenType accessTokenExpiration expiration passwordLastUsed passwordResetRequired passwordPolicy secretId secretArn
	sAMLAssertionID SignatureVersion errorCode code eventVersion keyId publicKey sSHPublicKeyBody certificateBody externalId
	httpTokens sourceIdentity credentialId tokenExpiry Version key name roleSessionName x-amz-id-2`)

// leaves returns all that leaves the parser for raw: every column, the record,
// the error and the excerpt.
func leaves(t testing.TB, p *Parser, raw string) string {
	t.Helper()
	var out strings.Builder
	e, err := p.Parse([]byte(raw))
	if err != nil {
		out.WriteString(err.Error())
	} else {
		for i := range NumColumns {
			fmt.Fprintln(&out, e.Value(i))
		}
		rec, err := e.Record()
		if err != nil {
			t.Fatal(err)
		}
		out.Write(rec)
		reassembles(t, NewParser(), []byte(raw), &e)
	}
	r := Raw{Data: []byte(raw)}
	rej := r.Reject(err)
	if utf8.RuneCountInString(rej.Excerpt) > excerptMax || !utf8.ValidString(rej.Excerpt) {
		t.Errorf("excerpt %q", rej.Excerpt)
	}
	return out.String() + rej.Reason + rej.Excerpt
}

// TestSecretKeys puts each name in many places, with each type of value.
func TestSecretKeys(t *testing.T) {
	p := NewParser()
	places := []string{
		`{"eventTime":"2026-05-04T09:12:44Z",%s}`,
		`{%s,"eventTime":"2026-05-04T09:12:44Z"`,
		`{"eventTime":"2026-05-04T09:12:44Z","requestParameters":{%s}}`,
		`{"eventTime":"2026-05-04T09:12:44Z","requestParameters":[[{%s}]]}`,
		`{"eventTime":"2026-05-04T09:12:44Z","userIdentity":{"type":"Root","sessionContext":{%s}}}`,
		`{"eventTime":"2026-05-04T09:12:44Z","zzz":{"credentials":{"a":1,%s,"b":2}}}`,
		`{"a":{%s}`, `[{%s}`, `{%s,}`, `{%s "x`,
	}
	values := []string{`"%s"`, ` "a\"%s"`, `["x","%s"]`, `{"a":{"b":["]","%s"]}}`, `"\u0041%s\\"`, `"x,y %s"`}
	for _, key := range secretKeys {
		for _, place := range places {
			for _, value := range values {
				raw := fmt.Sprintf(place, `"`+key+`": `+fmt.Sprintf(value, secret))
				if got := leaves(t, p, raw); strings.Contains(got, secret) {
					t.Fatalf("%s\nleaves %s", raw, got)
				}
			}
		}
		for _, v := range []string{`null`, `true`, `""`, `"HIDDEN_DUE_TO_SECURITY_REASONS"`, `"****"`} {
			raw := `{"eventTime":"2026-05-04T09:12:44Z","requestParameters":{"` + key + `":` + v + `}}`
			if e := parse(t, raw); e.RequestParameters != `{"`+key+`":`+v+`}` {
				t.Errorf("%s: what isn't a secret became %s", raw, e.RequestParameters)
			}
		}
		raw := `{"eventTime":"2026-05-04T09:12:44Z","requestParameters":{"` + key + `":123456}}`
		if e := parse(t, raw); strings.Contains(e.RequestParameters, "123456") {
			t.Errorf("%s became %s", raw, e.RequestParameters)
		}
	}
	for _, key := range publicKeys {
		raw := `{"eventTime":"2026-05-04T09:12:44Z","requestParameters":{"` + key + `":"` + public + `"}}`
		if e := parse(t, raw); e.RequestParameters != `{"`+key+`":"`+public+`"}` {
			t.Errorf("%s: %s", key, e.RequestParameters)
		}
	}
}

// TestSecretText: credentials inside text, with what must stay around them.
func TestSecretText(t *testing.T) {
	for _, in := range []string{
		"aws_secret_access_key = " + secret, "AWS_SECRET_ACCESS_KEY=" + secret, "export AWS_SESSION_TOKEN='" + secret + "'",
		"password=" + secret, "password: " + secret, "Password : '" + secret + "'", `{"SessionToken":"` + secret + `"}`,
		`{\"SessionToken\": \"` + secret + `\"}`, `{\\\"SessionToken\\\": \\\"a` + secret + `\\\"}`, `{'password': '` + secret + `'}`,
		`{"password":"a\"` + secret + `"}`, `{"password":"a\\\"` + secret + `"}`, `{"secretBinary":[1,"` + secret + `"]}`,
		`{"token":{"a":["]","` + secret + `"]}}`, `{"name":"DB_PASSWORD","value":"` + secret + `"}`,
		"https://x/?a=1&X-Amz-Security-Token=" + secret + "&b=2", "https://x/?X-Amz-Signature=" + secret, "?Signature=" + secret,
		"Session=%7B%22sessionKey%22%3A%22" + secret + "%22%7D", "%22password%22%20%3A%20%22" + secret + "%22", "a=1%26password%3D" + secret,
		"<SessionToken>" + secret + "</SessionToken>", "<ns:Password>" + secret + "</ns:Password>", "cmd --password " + secret + " --x", "--client-secret=" + secret,
		"private_key=" + fakePEM, "privateKey: " + fakePEM, "sent Bearer 0123456789abcdef" + secret, "Authorization: Bearer " + secret, "authorization: AWS4-HMAC-SHA256 Credential=AKIAX/20260504/us-east-1/s3/aws4_request, Signature=" + secret,
		"Cookie: a=b; session=" + secret, "password => " + secret, "secret_key:\n  " + secret, `"sess\u0069onToken":"` + secret + `"`,
		"grant_type=authorization_code&code=" + secret, `{"grantType":"authorization_code","code":"` + secret + `"}`,
		fakePEM, strings.ReplaceAll(fakePEM, "\n", `\n`), fakePEM[:60], "-----BEGIN OPENSSH PRIVATE KEY-----" + secret,
		"pw " + fakeJWT + ".", "x=" + fakeJWT, `"` + fakeToken("IQoJb3JpZ2luX2Vj") + `"`, "t=" + fakeToken("FwoGZXIvYXdz"), fakeToken("FQoGZXIvYXdz"), fakeToken("AQoDYXdz"),
		"%3D" + fakeToken("IQoJb3JpZ2luX2Vj"), `\n` + fakeToken("IQoJb3JpZ2luX2Vj"), fakeToken("aoaAAAAAG"), fakeToken("aorAAAAAG"), fakeToken("ABSKQmVk"),
	} {
		hide := []string{secret, base64.StdEncoding.EncodeToString([]byte(secret))[:16], base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"` + secret))[:20], "c2lnc2lnc2ln"}
		for _, around := range [][2]string{{"", ""}, {public + " ", " " + public}, {`{"a":"`, `"}`}} {
			whole := around[0] + in + around[1]
			out, changed := scrub(whole)
			if !changed || !suspicious([]byte(whole)) {
				t.Errorf("not recognised: %s", whole)
			}
			for _, h := range hide {
				if strings.Contains(out, h) {
					t.Errorf("%s\nbecame %s", whole, out)
				}
			}
			if !strings.HasPrefix(out, around[0]) {
				t.Errorf("%s\nlost its start: %s", whole, out)
			}
			if twice, again := scrub(out); twice != out {
				t.Errorf("%s\ntwice (%v): %s", out, again, twice)
			}
		}
	}
}

// TestPublicText: text that isn't a credential stays as it is.
func TestPublicText(t *testing.T) {
	for _, in := range []string{
		"arn:aws:secretsmanager:us-east-1:111122223333:secret:payments/db-AbCdEf", "secretsmanager:GetSecretValue", "sts:GetSessionToken",
		"User: arn:aws:iam::111122223333:user/x is not authorized to perform: sts:GetSessionToken on resource: arn:aws:iam::111122223333:role/password",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sts:GetSessionToken","iam:UpdateLoginProfile"],"Resource":"*","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}}}]}`,
		"urn:ietf:params:oauth:grant-type:device_code", "urn:ietf:params:oauth:token-type:access_token", "token.actions.githubusercontent.com:sub",
		"aws-cli/2.15.30 md/command#sts.get-session-token", "2026-05-04T09:12:44Z", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
		"nextToken=abc", `{"nextToken":"abc","clientToken":"x"}`, "IQoJ short", "eyJhIjoxfQ", "error code: 5", "Bearer authenticated", "the bearer arn:aws:iam::111122223333:role/x", "The security token included in the request is invalid",
		"https://signin.aws.amazon.com/oauth?code=abc", "X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20260504", "password=", "password=****", `{"password":null}`,
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)", "AKIAIOSFODNN7EXAMPLE", "AWSReservedSSO_Admin_0123456789abcdef/alice@example.com",
		"MFA token serial: arn:aws:iam::111122223333:mfa/x"[10:], "Qupi+O9KF9Ikbyv8yN87LcLFLPTi2tlynv1vV8o+SLdsUXQnw5+VsN4TDz2oJ66nBOpeVS3uBt4=",
	} {
		if out, changed := scrub(in); changed || out != in {
			t.Errorf("%s\nbecame %s", in, out)
		}
	}
}

func TestPairsAndGrants(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{"name":"DB_PASSWORD","value":"x"}`, `{"name":"DB_PASSWORD","value":"REDACTED"}`},
		{`{"value":["x"],"key":"clientSecret"}`, `{"key":"clientSecret","value":"REDACTED"}`},
		{`{"parameterKey":"DBPassword","parameterValue":"x"}`, `{"parameterKey":"DBPassword","parameterValue":"REDACTED"}`},
		{`{"key":"Password","value":"****"}`, `{"key":"Password","value":"****"}`},
		{`{"key":"Owner","value":"x"}`, `{"key":"Owner","value":"x"}`},
		{`{"code":"x","grantType":"authorization_code"}`, `{"code":"REDACTED","grantType":"authorization_code"}`},
		{`{"code":"16","name":"running"}`, `{"code":"16","name":"running"}`},
		{`{"code":"x","redirectUri":"y","a":1}`, `{"a":1,"code":"REDACTED","redirectUri":"y"}`},
	} {
		e := parse(t, `{"eventTime":"2026-05-04T09:12:44Z","requestParameters":`+c.in+`}`)
		if e.RequestParameters != c.want {
			t.Errorf("%s: got %s, want %s", c.in, e.RequestParameters, c.want)
		}
	}
}

// TestCanaries puts a canary in every string of records: public ones survive in
// the record, those in credentials' shape don't.
func TestCanaries(t *testing.T) {
	p := NewParser()
	for i, form := range typical {
		var tree any
		if err := json.Unmarshal(fmt.Appendf(nil, form, i), &tree); err != nil {
			t.Fatal(err)
		}
		strs := 0
		visit("", tree, func(string) string { strs++; return "" })
		for n := range strs {
			for _, canary := range []string{public, `{"SessionToken":"` + secret + `"}`, fakeToken("IQoJb3JpZ2luX2Vj"), "password=" + secret} {
				count := 0
				key := ""
				raw, err := json.Marshal(visit("", tree, func(k string) string {
					if count++; count-1 == n {
						key = k
						return canary
					}
					return ""
				}))
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range []string{string(raw), string(raw[:len(raw)-1]), string(raw[1:])} {
					got := leaves(t, p, r)
					if strings.Contains(got, secret) || strings.Contains(got, "QzRuYXJ5UzNjcmV0") {
						t.Fatalf("%s of\n%s\nleaves\n%s", key, r, got)
					}
				}
				if e, err := p.Parse(raw); canary == public && err == nil {
					if rec, _ := e.Record(); !strings.Contains(string(rec), public) && key != "sessionToken" {
						t.Errorf("%s is gone", key)
					}
				}
			}
		}
	}
}

// visit copies a JSON value, replacing strings by what f returns unless that is
// empty; f gets the string's key.
func visit(key string, v any, f func(string) string) any {
	switch v := v.(type) {
	case string:
		if s := f(key); s != "" {
			return s
		}
		return v
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = visit(key, v[i], f)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for _, k := range sortedKeys(v) {
			out[k] = visit(k, v[k], f)
		}
		return out
	}
	return v
}

// TestScrubOnce: scrubbing twice is scrubbing once, and the fast check never
// misses what scrub would change.
func TestScrubOnce(t *testing.T) {
	pieces := []string{"password", "SessionToken", "=", ":", " ", `"`, `\`, `'`, "\n", secret, fakeToken("IQoJ"), fakeJWT, "%22", "%3A", "%3D", "[", "]", "{", "}", ",",
		"<", ">", "-", "--", "REDACTED", "BEGIN", "PRIVATE", "END", `\u0061`, `\u003a`, "eyJ", "IQoJ", ".", "value", "name", "&", "code", "grant_type", "authorization", "Bearer", "x", "_"}
	rapid.Check(t, func(t *rapid.T) {
		s := strings.Join(rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom(pieces), rapid.StringN(0, 3, 6)), 0, 14).Draw(t, "pieces"), "")
		checkScrub(t, s)
	})
}

type fatal interface{ Fatalf(string, ...any) }

func checkScrub(t fatal, s string) {
	out, changed := scrub(s)
	if changed && !suspicious([]byte(s)) {
		t.Fatalf("%q becomes %q, but isn't suspicious", s, out)
	}
	if !changed && out != s {
		t.Fatalf("%q becomes %q, unreported", s, out)
	}
	if twice, _ := scrub(out); twice != out {
		t.Fatalf("%q becomes %q, then %q", s, out, twice)
	}
	if utf8.ValidString(s) && !utf8.ValidString(out) {
		t.Fatalf("%q becomes %q", s, out)
	}
}

func TestExcerpt(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain", "plain"},
		{"a\x00b\x1b[31m\n\t\u202e\xff", `a\x00b\x1b[31m\n\t\u202e` + "\uFFFD"},
		{`{"\u0070assword":"x"}`, `{"password":"REDACTED"}`},
		{strings.Repeat("é", 300), strings.Repeat("é", 200)},
		{strings.Repeat("\x00", 60), strings.Repeat(`\x00`, 50)},
		{`{"sessionToken":"` + secret, `{"sessionToken":"REDACTED`},
	} {
		if got := Excerpt([]byte(c.in)); got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
	}
	// A token that the excerpt's source cuts in two.
	cut := `{"password":"` + strings.Repeat("x", excerptSource-60) + `","a":"` + fakeToken("IQoJ")
	if got := Excerpt([]byte(cut)); strings.Contains(got, "QzRuY") {
		t.Errorf("got %q", got)
	}
}

// FuzzExcerpt: always short, printable UTF-8, and free of a credential that any
// surrounding text leaves recognisable.
func FuzzExcerpt(f *testing.F) {
	f.Add([]byte(`{"a":"b"`), []byte(`"}`))
	f.Add([]byte("\xff\x00\x1b[0m"), []byte("\u202e"))
	f.Add([]byte(`password=\u0022`), []byte(`-----BEGIN`))
	f.Fuzz(func(t *testing.T, before, after []byte) {
		token := fakeToken("IQoJb3JpZ2luX2Vj")
		in := string(before) + "\n" + token + "\n" + string(after)
		got := Excerpt([]byte(in))
		if utf8.RuneCountInString(got) > excerptMax || !utf8.ValidString(got) {
			t.Fatalf("got %q", got)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) && r != utf8.RuneError {
				t.Fatalf("%U in %q", r, got)
			}
		}
		if strings.Contains(got, "QzRuYXJ5UzNjcmV0") {
			t.Fatalf("%q leaves %q", in, got)
		}
		if utf8.Valid(before) {
			checkScrub(t, string(before))
		}
	})
}

// TestMarks: every byte that suspicious must look at is marked, at every place.
func TestMarks(t *testing.T) {
	for at := range 8 {
		for b := range 256 {
			for _, fill := range []byte{'0', '9', 'A', 'Z', 'a', 'z', 0, 0xff, '/', ':'} {
				var w [8]byte
				for i := range w {
					w[i] = fill
				}
				w[at] = byte(b)
				marked := marks(binary.LittleEndian.Uint64(w[:]))>>(8*at+7)&1 == 1
				if !marked && !isAlnum(byte(b)) && b != '`' {
					t.Fatalf("%#x among %#x isn't marked", b, fill)
				}
				if marked && isAlnum(byte(b)) && isAlnum(fill) {
					t.Fatalf("%#x among %#x is marked", b, fill)
				}
			}
		}
	}
}
