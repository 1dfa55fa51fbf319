package awsapi

// AccountSpec says how to reach an account.
type AccountSpec struct {
	AccountID  string   `json:"account_id"`  // 12 digits; may be empty when RoleARN tells, or for the session's own
	RoleARN    string   `json:"role_arn"`    // to assume; empty: the session's own credentials
	Name       string   `json:"name"`        // shown beside the id; may be empty
	ExternalID string   `json:"external_id"` // that the role asks for; may be empty
	Regions    []string `json:"regions"`     // to read from; empty: as configured, else all enabled
}
