package awsapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/iamtrack/iamtrack/internal/awsapi"
)

// Secrets come decrypted from both of AWS's vaults; what is wrong is said with the
// name of the secret, and never with its value.
func TestSecretsInAWS(t *testing.T) {
	const canary = "https://hooks.example/T0/CANARY"
	f := newFake(t, func(w http.ResponseWriter, r request) {
		var in struct {
			Name, SecretID string
			WithDecryption bool
		}
		var body map[string]any
		_ = json.Unmarshal([]byte(r.Body), &body)
		in.Name, _ = body["Name"].(string)
		in.SecretID, _ = body["SecretId"].(string)
		in.WithDecryption, _ = body["WithDecryption"].(bool)
		switch {
		case in.Name == "/gone":
			refuse(w, 400, "ParameterNotFound", "")
		case in.SecretID == "gone":
			refuse(w, 400, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
		case in.Name == "/denied" || in.SecretID == "denied":
			refuse(w, 400, "AccessDeniedException", "User: arn:aws:iam::111122223333:user/x is not authorized to perform: "+strings.ToLower(r.Service)+":"+r.Operation+" on resource: arn:aws:x:::y")
		case in.Name == "/empty":
			answerJSON(w, map[string]any{"Parameter": map[string]any{"Name": in.Name, "Value": ""}})
		case in.Name != "" && !in.WithDecryption:
			refuse(w, 400, "ValidationException", "not decrypted")
		case r.Operation == "GetParameter":
			answerJSON(w, map[string]any{"Parameter": map[string]any{"Name": in.Name, "Value": canary + "\n"}})
		case in.SecretID == "json":
			answerJSON(w, map[string]any{"SecretString": `{"url":"` + canary + `","n":1}`})
		case in.SecretID == "binary":
			answerJSON(w, map[string]any{"SecretBinary": "AAAA"})
		default:
			answerJSON(w, map[string]any{"SecretString": canary})
		}
	})
	s := open(t, f)
	ctx := context.Background()
	for _, c := range []struct {
		service, name, key string
		want               string // in the error; empty: the canary comes
		kind               error
	}{
		{service: "ssm", name: "/hook"},
		{service: "ssm", name: "/gone", want: "/gone", kind: awsapi.ErrNotFound},
		{service: "ssm", name: "/denied", want: "ssm:GetParameter on", kind: awsapi.ErrDenied},
		{service: "ssm", name: "/empty", want: "/empty: it is empty"},
		{service: "secretsmanager", name: "hook"},
		{service: "secretsmanager", name: "arn:aws:secretsmanager:eu-west-1:111122223333:secret:hook-AbCdEf"},
		{service: "secretsmanager", name: "json", key: "url"},
		{service: "secretsmanager", name: "json", key: "n", want: "json: it has no text under the key n"},
		{service: "secretsmanager", name: "hook", key: "url", want: "it isn't a JSON object"},
		{service: "secretsmanager", name: "binary", want: "binary: it is empty, or not text"},
		{service: "secretsmanager", name: "gone", want: "gone", kind: awsapi.ErrNotFound},
		{service: "secretsmanager", name: "denied", want: "secretsmanager:GetSecretValue on", kind: awsapi.ErrDenied},
	} {
		var got string
		var err error
		if c.service == "ssm" {
			got, err = s.Parameter(ctx, c.name)
		} else {
			got, err = s.Secret(ctx, c.name, c.key)
		}
		switch {
		case c.want == "" && (err != nil || got != canary):
			t.Errorf("%s %s: %q, %v", c.service, c.name, got, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "CANARY")):
			t.Errorf("%s %s: error %v, want %q", c.service, c.name, err, c.want)
		case c.kind != nil && !errors.Is(err, c.kind):
			t.Errorf("%s %s: error %v, want %v", c.service, c.name, err, c.kind)
		}
	}
	// A secret is asked for where its ARN says it is.
	var regions []string
	for _, r := range f.requests() {
		if strings.Contains(r.Body, "hook-AbCdEf") {
			regions = append(regions, r.Region)
		}
	}
	if len(regions) != 1 || regions[0] != "eu-west-1" {
		t.Errorf("asked in %v", regions)
	}
}
