package dynamo

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/iamtrack/iamtrack/internal/event"
)

// Attributes. Text that comes from records is kept as bytes: it need not be UTF-8.

func str(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }

func bin[T ~string | ~[]byte](v T) types.AttributeValue {
	return &types.AttributeValueMemberB{Value: []byte(v)}
}

func num(v int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(v, 10)}
}

func set(v ...string) types.AttributeValue { return &types.AttributeValueMemberSS{Value: v} }

func getString(it item, name string) string {
	switch v := it[name].(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberB:
		return string(v.Value)
	}
	return ""
}

func getBytes(it item, name string) []byte {
	if v, ok := it[name].(*types.AttributeValueMemberB); ok {
		return v.Value
	}
	return nil
}

// getNumber is 0 for what is no whole number.
func getNumber(it item, name string) int64 {
	if v, ok := it[name].(*types.AttributeValueMemberN); ok {
		n, _ := strconv.ParseInt(v.Value, 10, 64) //nolint:errcheck // see above
		return n
	}
	return 0
}

func getSet(it item, name string) []string {
	if v, ok := it[name].(*types.AttributeValueMemberSS); ok {
		return v.Value
	}
	return nil
}

func has(it item, name string) bool {
	_, ok := it[name]
	return ok
}

// longest bounds what of a text stands in a key as it is, in bytes: sort keys have
// at most 1,024.
const longest = 200

// safe makes any text part of a key: as it is when it's short and plain, else by its
// hash, so that no two texts meet.
func safe(text string) string {
	plain := len(text) <= longest
	for i := 0; plain && i < len(text); i++ {
		c := text[i]
		plain = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.:/@=+,", c) >= 0
	}
	if plain {
		return text
	}
	return "~" + digest(text)
}

// digest names texts, in 32 characters.
func digest(texts ...string) string {
	h := sha256.New()
	for _, t := range texts {
		_, _ = fmt.Fprintf(h, "%d:%s", len(t), t) // it never fails
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// dateKey is a date that sorts as text.
func dateKey(d event.Date) string { return fmt.Sprintf("%010d", int64(d)+1<<31) }

func dateOf(text string) event.Date {
	n, _ := strconv.ParseInt(text, 10, 64) //nolint:errcheck // dateKey wrote it
	return event.Date(n - 1<<31)
}

// randomID is a name that nobody else takes, in 16 characters.
func randomID() string {
	var b [12]byte
	rand.Read(b[:]) //nolint:errcheck // it never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// randomMark is a positive number that isn't given twice.
func randomMark() int64 {
	var b [8]byte
	rand.Read(b[:]) //nolint:errcheck // it never fails
	n := int64(0)
	for _, x := range b {
		n = n<<8 | int64(x)
	}
	return n&(1<<62-1) | 1
}
