package server

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/simulate"
)

// Credentials that AssumeRole issues carry what is to be known of them, so that
// nothing has to be kept: the key id, which is "ASIA" and 80 bits in base 32, the
// account (40 bits) and the end of validity (34 bits, seconds since 1970) with 6
// check bits; the session token the role and the session's name.

func issueKey(account string, until time.Time) string {
	id, err := strconv.ParseUint(account, 10, 64)
	if err != nil {
		id = 0
	}
	var b [16]byte
	hi := id<<24 | uint64(until.Unix())>>10&0xffffff                  //nolint:gosec // after 1970
	lo := uint16(uint64(until.Unix())&0x3ff<<6) | keyCheck(id, until) //nolint:gosec // masked
	binary.BigEndian.PutUint64(b[:], hi)
	binary.BigEndian.PutUint16(b[8:], lo)
	return "ASIA" + base32.StdEncoding.EncodeToString(b[:10])
}

func keyCheck(account uint64, until time.Time) uint16 {
	sum := sha256.Sum256([]byte(strconv.FormatUint(account, 10) + " " + strconv.FormatInt(until.Unix(), 10)))
	return uint16(sum[0] & 0x3f)
}

// issuedKey reads a key id that issueKey made.
func issuedKey(key string) (account string, until time.Time, ok bool) {
	text, ok := strings.CutPrefix(key, "ASIA")
	b, err := base32.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(b) != 10 {
		return "", time.Time{}, false
	}
	hi, lo := binary.BigEndian.Uint64(b), binary.BigEndian.Uint16(b[8:])
	id := hi >> 24
	until = time.Unix(int64(hi&0xffffff<<10|uint64(lo>>6)), 0).UTC() //nolint:gosec // 34 bits
	if lo&0x3f != keyCheck(id, until) {
		return "", time.Time{}, false
	}
	account = strconv.FormatUint(id, 10)
	return strings.Repeat("0", max(0, 12-len(account))) + account, until, true
}

// issueToken makes a session token. It looks like a real one, so a token that is
// kept somewhere can be found there.
func issueToken(role, session string) string {
	return simulate.TokenPrefix + base64.RawURLEncoding.EncodeToString([]byte(role+"/"+session)) + "/" + strings.Repeat("IwEXAMPLE", 20)
}

func readToken(token string) (role, session string, ok bool) {
	text, ok := strings.CutPrefix(token, simulate.TokenPrefix)
	text, _, _ = strings.Cut(text, "/")
	b, err := base64.RawURLEncoding.DecodeString(text)
	if !ok || err != nil {
		return "", "", false
	}
	return strings.Cut(string(b), "/")
}

// identify finds out whose an access key is.
func (s *Server) identify(q *request, key, token string) *apiError {
	q.key = key
	accounts := s.world.Accounts()
	q.userID = stableID("AIDA", key)
	if account, _, ok := issuedKey(key); ok {
		role, session, named := readToken(token)
		if !slices.Contains(accounts, account) || !named {
			return &apiError{http.StatusForbidden, codeUnknownKey, "The security token included in the request is invalid."}
		}
		q.account = account
		q.arn = "arn:aws:sts::" + account + ":assumed-role/" + role + "/" + session
		q.userID = stableID("AROA", account, role) + ":" + session
		return nil
	}
	if len(key) == 12 && strings.Trim(key, "0123456789") == "" {
		if !slices.Contains(accounts, key) {
			return &apiError{http.StatusForbidden, codeUnknownKey, "The security token included in the request is invalid."}
		}
		q.account = key
	}
	q.arn = "arn:aws:iam::" + q.account + ":user/iamtrack"
	return nil
}

// stableID makes a principal id of what it belongs to.
func stableID(prefix string, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return prefix + base32.StdEncoding.EncodeToString(sum[:])[:17]
}

// credentialsGood tells whether a key has not expired. Keys of ours tell by
// themselves; other keys of sessions are good for span from their first use, if
// span isn't 0.
func (s *Server) credentialsGood(key string, now time.Time, span time.Duration) bool {
	if _, until, ok := issuedKey(key); ok {
		return now.Before(until)
	}
	if span <= 0 || !strings.HasPrefix(key, "ASIA") {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	first, used := s.firstUse[key]
	if !used {
		first = now
		s.firstUse[key] = now
	}
	return now.Before(first.Add(span))
}

// secret makes the secret access key that belongs to nothing: no signature is
// checked.
func secret(key string) string {
	sum := sha256.Sum256([]byte("secret " + key))
	return hex.EncodeToString(sum[:])[:40]
}
