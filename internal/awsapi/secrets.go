package awsapi

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

// Parameter reads a parameter of the Systems Manager's Parameter Store, decrypted,
// in the session's region. Permissions: ssm:GetParameter, and kms:Decrypt for a
// SecureString under a key of the account's own. The value is in no error.
//
// Source: AWS Systems Manager API Reference, "GetParameter".
func (s *Session) Parameter(ctx context.Context, name string) (string, error) {
	var out *ssm.GetParameterOutput
	c := call{op: "read a parameter of the Parameter Store", action: "ssm:GetParameter", region: s.base.Region, resource: name}
	_, err := s.own.do(ctx, c, func(ctx context.Context) (err error) {
		out, err = ssm.NewFromConfig(s.base).GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(name), WithDecryption: aws.Bool(true)})
		return err
	})
	if err != nil {
		return "", err
	}
	if out.Parameter == nil || aws.ToString(out.Parameter.Value) == "" {
		return "", fmt.Errorf("%s %s: it is empty", c.op, name)
	}
	return strings.TrimSpace(*out.Parameter.Value), nil
}

// Secret reads a secret of Secrets Manager by name or ARN; with a key, that value of
// a secret that is a JSON object. Permissions: secretsmanager:GetSecretValue, and
// kms:Decrypt for a key of the account's own. The value is in no error.
//
// Source: AWS Secrets Manager API Reference, "GetSecretValue".
func (s *Session) Secret(ctx context.Context, id, key string) (string, error) {
	region := s.base.Region
	if arn := strings.Split(id, ":"); len(arn) > 6 && arn[0] == "arn" {
		region = arn[3]
	}
	var out *secretsmanager.GetSecretValueOutput
	c := call{op: "read a secret of Secrets Manager", action: "secretsmanager:GetSecretValue", region: region, resource: id}
	_, err := s.own.do(ctx, c, func(ctx context.Context) (err error) {
		out, err = secretsmanager.NewFromConfig(s.base, func(o *secretsmanager.Options) { o.Region = region }).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(id)})
		return err
	})
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(aws.ToString(out.SecretString))
	if key != "" {
		var values map[string]any
		if json.Unmarshal([]byte(text), &values) != nil {
			return "", fmt.Errorf("%s %s: it isn't a JSON object, so it has no key %s", c.op, id, key)
		}
		if text, _ = values[key].(string); text == "" {
			return "", fmt.Errorf("%s %s: it has no text under the key %s", c.op, id, key)
		}
	}
	if text == "" {
		return "", fmt.Errorf("%s %s: it is empty, or not text", c.op, id)
	}
	return text, nil
}
