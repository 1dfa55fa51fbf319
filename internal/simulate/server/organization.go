package server

import "slices"

// organizations answers Organizations, in the management account only: AWS
// Organizations API Reference.
func (s *Server) organizations(q *request) (reply, *apiError) {
	accounts := s.world.Accounts()
	manager, org := accounts[0], s.world.OrganizationID()
	arn := "arn:aws:organizations::" + manager + ":"
	switch q.operation {
	case "DescribeOrganization":
		return jsonReply(kindJSON11, map[string]any{"Organization": map[string]any{
			"Id": org, "Arn": arn + "organization/" + org, "FeatureSet": "ALL", "MasterAccountId": manager,
			"MasterAccountArn": arn + "account/" + org + "/" + manager, "MasterAccountEmail": "aws-management@example.com",
		}})
	case "ListAccounts":
		if q.account != manager {
			return reply{}, &apiError{400, "AccessDeniedException", "You don't have permissions to access this resource."}
		}
		var in struct {
			MaxResults int
			NextToken  string
		}
		if e := parse(q, &in); e != nil {
			return reply{}, e
		}
		list := []any{}
		for i, id := range accounts {
			name := s.world.AccountNames()[i]
			list = append(list, map[string]any{
				"Id": id, "Name": name, "Arn": arn + "account/" + org + "/" + id, "Email": "aws-" + name + "@example.com",
				"Status": "ACTIVE", "State": "ACTIVE", "JoinedMethod": "CREATED", "JoinedTimestamp": epoch(s.world.Config().Start),
			})
		}
		page, next, e := paged(list, in.NextToken, in.MaxResults, 20)
		if e != nil {
			return reply{}, e
		}
		out := map[string]any{"Accounts": page}
		if next != "" {
			out["NextToken"] = next
		}
		return jsonReply(kindJSON11, out)
	}
	return reply{}, unknownOperation(q)
}

// sso answers IAM Identity Center: its one instance is the management account's,
// in the home region, and seen from there only (IAM Identity Center API
// Reference, "ListInstances").
func (s *Server) sso(q *request) (reply, *apiError) {
	if q.operation != "ListInstances" {
		return reply{}, unknownOperation(q)
	}
	list := []any{}
	if d := s.world.IdentityCenter(); q.region == d.Region && slices.Index(s.world.Accounts(), q.account) == 0 {
		list = append(list, map[string]any{
			"InstanceArn": d.InstanceARN, "IdentityStoreId": d.StoreID, "OwnerAccountId": q.account, "Name": "company", "Status": "ACTIVE",
			"CreatedDate": epoch(s.world.Config().Start),
		})
	}
	return jsonReply(kindJSON11, map[string]any{"Instances": list})
}

// identityStore answers the Identity Store, in the account and region of the one
// instance of IAM Identity Center (Identity Store API Reference, "ListUsers").
func (s *Server) identityStore(q *request) (reply, *apiError) {
	if q.operation != "ListUsers" {
		return reply{}, unknownOperation(q)
	}
	var in struct {
		IdentityStoreID string
		MaxResults      int
		NextToken       string
	}
	if e := parse(q, &in); e != nil {
		return reply{}, e
	}
	d := s.world.IdentityCenter()
	if q.region != d.Region || slices.Index(s.world.Accounts(), q.account) != 0 || in.IdentityStoreID != d.StoreID {
		return reply{}, &apiError{400, "ResourceNotFoundException", "IDENTITY_STORE not found"}
	}
	list := []any{}
	for _, p := range s.world.People() {
		if !p.SAML {
			list = append(list, map[string]any{"UserId": p.UserID, "IdentityStoreId": d.StoreID, "UserName": p.Email, "DisplayName": p.Name})
		}
	}
	page, next, e := paged(list, in.NextToken, in.MaxResults, 50)
	if e != nil {
		return reply{}, e
	}
	out := map[string]any{"Users": page}
	if next != "" {
		out["NextToken"] = next
	}
	return jsonReply(kindJSON11, out)
}
