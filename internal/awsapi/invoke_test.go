package awsapi_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/iamtrack/iamtrack/internal/awsapi"
)

func TestInvoke(t *testing.T) {
	tries := 0
	f := newFake(t, func(w http.ResponseWriter, r request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Amzn-Requestid", "1")
		refuse := func(status int, code, message string) {
			w.Header().Set("X-Amzn-Errortype", code)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"Message":"` + message + `"}`))
		}
		tries++
		switch {
		case strings.Contains(r.Path, "/functions/gone/"):
			refuse(404, "ResourceNotFoundException", "Function not found")
		case strings.Contains(r.Path, "/functions/denied/"):
			refuse(403, "AccessDeniedException", "User: x is not authorized to perform: lambda:InvokeFunction")
		case strings.Contains(r.Path, "/functions/busy/"):
			refuse(500, "ServiceException", "try later")
		case strings.Contains(r.Path, "/functions/fails/"):
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
			_, _ = w.Write([]byte(`{"errorMessage":"the lake's bucket is gone","errorType":"errorString"}`))
		case strings.Contains(r.Path, "/functions/dies/"):
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
			_, _ = w.Write([]byte(`Task timed out`))
		default:
			_, _ = w.Write([]byte(`{"written":2}` + strings.TrimSpace(strings.ReplaceAll(r.Body, "{}", " "))))
		}
	})
	s := open(t, f)
	got, err := s.Invoke(context.Background(), "exporter", []byte("{}"))
	if err != nil || string(got) != `{"written":2}` {
		t.Errorf("%s, %v", got, err)
	}
	for name, want := range map[string]error{"gone": awsapi.ErrNotFound, "denied": awsapi.ErrDenied} {
		_, err := s.Invoke(context.Background(), name, nil)
		if !errors.Is(err, want) || !strings.HasPrefix(err.Error(), "run the function in us-east-1") {
			t.Errorf("%s: %v", name, err)
		}
	}
	tries = 0
	if _, err := s.Invoke(context.Background(), "busy", nil); err == nil || tries != 1 {
		t.Errorf("after %d requests: %v", tries, err)
	}
	for name, want := range map[string]string{"fails": "the function fails failed: the lake's bucket is gone", "dies": "the function dies failed: Unhandled"} {
		_, err := s.Invoke(context.Background(), name, nil)
		var failed *awsapi.FunctionError
		if !errors.As(err, &failed) || err.Error() != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
