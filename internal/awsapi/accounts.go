package awsapi

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// AccountSpec says how to reach an account.
type AccountSpec struct {
	AccountID  string   `yaml:"account_id" json:"account_id"`   // 12 digits; may be empty for the session's own
	RoleARN    string   `yaml:"role_arn" json:"role_arn"`       // to assume; empty: the session's own credentials
	Name       string   `yaml:"name" json:"name"`               // shown beside the id; may be empty
	ExternalID string   `yaml:"external_id" json:"external_id"` // that the role asks for; may be empty
	Regions    []string `yaml:"regions" json:"regions"`         // to read from; empty: as configured, else all enabled
}

var (
	roleARN = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^arn:aws[a-z-]*:iam::(\d{12}):role/[\x21-\x7e]{1,576}$`)
	})
	accountID = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^\d{12}$`) })
)

// ReadAccounts reads a YAML list of accounts. Each has role_arn, or account_id
// for the account of the program's own credentials; name, external_id and regions
// are optional:
//
//   - role_arn: arn:aws:iam::111122223333:role/iamtrack-read
//     name: production
//   - account_id: "444455556666"
//
// Errors name the file, and the account by its number in the list.
func ReadAccounts(path string) ([]AccountSpec, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the accounts: %w", err)
	}
	var list []AccountSpec
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&list); err != nil {
		return nil, fmt.Errorf("read the accounts of %s: %s: it must be a list of role_arn or account_id, with name, external_id and regions as needed",
			path, strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\n", " "), "yaml: "))
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("read the accounts of %s: the list is empty", path)
	}
	seen := map[string]int{}
	for i := range list {
		a := &list[i]
		fail := func(format string, args ...any) error {
			return fmt.Errorf("read the accounts of %s: account %d: %s", path, i+1, fmt.Sprintf(format, args...))
		}
		// YAML takes 12 digits for a number and drops leading zeros.
		if a.AccountID != "" && !accountID().MatchString(a.AccountID) {
			return nil, fail("account_id %q isn't 12 digits (in quotes, so that leading zeros stay)", a.AccountID)
		}
		switch {
		case a.RoleARN != "":
			m := roleARN().FindStringSubmatch(a.RoleARN)
			if m == nil {
				return nil, fail("role_arn %q is no role's ARN: use arn:aws:iam::ACCOUNT:role/NAME", a.RoleARN)
			}
			if a.AccountID != "" && a.AccountID != m[1] {
				return nil, fail("role_arn is of account %s, account_id says %s", m[1], a.AccountID)
			}
			a.AccountID = m[1]
		case a.AccountID == "":
			return nil, fail("role_arn or account_id is missing")
		case a.ExternalID != "":
			return nil, fail("external_id goes with role_arn")
		}
		if first, twice := seen[a.AccountID]; twice {
			return nil, fail("account %s is already account %d of the list", a.AccountID, first)
		}
		seen[a.AccountID] = i + 1
	}
	return list, nil
}
