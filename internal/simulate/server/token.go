package server

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strconv"
)

// pageToken is where a listing goes on. To clients it is opaque: sealed, so that
// one that was changed, or is another account's, is refused.
type pageToken struct {
	Digest [16]byte   `json:"d"` // of the parameters it was given for
	Issued int64      `json:"t"` // Unix milliseconds
	End    int64      `json:"e"` // of the listing, Unix seconds
	At     *int64     `json:"a"` // of the last event given, Unix seconds; nil: none yet
	ID     [16]byte   `json:"i"` // of that event
	Empty  int        `json:"n"` // pages that came empty here
	Again  []eventRef `json:"r"` // events that come again on the next page
}

type eventRef struct {
	At int64
	ID [16]byte
}

func (s *Server) tokenMAC(b []byte) []byte {
	m := hmac.New(sha256.New, []byte("page tokens of "+strconv.FormatUint(s.seed, 10)))
	_, _ = m.Write(b)
	return m.Sum(nil)[:16]
}

func (s *Server) seal(t *pageToken) string {
	b, err := json.Marshal(t)
	if err != nil {
		panic(err) // it has nothing that JSON can't hold
	}
	return base64.StdEncoding.EncodeToString(append(s.tokenMAC(b), b...))
}

func (s *Server) open(text string) (*pageToken, bool) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) < 16 || !hmac.Equal(b[:16], s.tokenMAC(b[16:])) {
		return nil, false
	}
	t := &pageToken{}
	return t, json.Unmarshal(b[16:], t) == nil
}
