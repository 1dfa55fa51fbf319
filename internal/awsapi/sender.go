package awsapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// sender sends requests with a body that stays readable. The SDK closes a
// request's body as soon as the answer begins, while net/http may still be
// looking whether the body has ended; it takes the close for a failure and breaks
// the connection, in the middle of the answer. Only near servers and busy
// machines are quick, or slow, enough for that.
type sender struct{ client aws.HTTPClient }

// maxHeldBody bounds the bodies that are held; all of ours are small.
const maxHeldBody = 1 << 20

// Do is aws.HTTPClient.
func (s sender) Do(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.ContentLength <= 0 || r.ContentLength > maxHeldBody {
		return s.client.Do(r)
	}
	body, err := io.ReadAll(r.Body)
	if err = errors.Join(err, r.Body.Close()); err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	same := r.WithContext(r.Context())
	same.Body = io.NopCloser(bytes.NewReader(body))
	return s.client.Do(same)
}
