package story

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/query"
)

// What a Subject is understood as.
const (
	AsEventName = "event-name"
	AsARN       = "arn"
	AsUser      = "user"
	AsRole      = "role"
	AsPolicy    = "policy"
	AsKey       = "key"
	AsIP        = "ip"
	AsEvent     = "event"
	AsAccount   = "account"
	AsName      = "name"
)

// Forms are all that a text can be understood as, in the order of help.
func Forms() []string {
	return []string{AsEventName, AsARN, AsUser, AsRole, AsPolicy, AsKey, AsIP, AsEvent, AsAccount, AsName}
}

// How an answer concerns a subject.
const (
	Did     = "did"     // made the call that was asked for
	Issued  = "issued"  // was given, or made, the access key
	Used    = "used"    // called with the access key
	Touched = "touched" // acted on the thing, or tried to
	Was     = "was"     // acted under the name, as that user, role or session
	In      = "in"      // acted in the account
	From    = "from"    // of the account, acted in others; or, from the address
)

// Subject is what is asked about.
type Subject struct {
	Text string
	As   string

	service string       // of an event name; else ""
	name    string       // without the service
	arn     arn          // of AsARN
	ip      netip.Addr   // of one address that can be read
	network netip.Prefix // of AsIP; invalid: one address
}

var (
	keyForm       = regexp.MustCompile(`^A[KS]IA[A-Z0-9]{12,124}$`)
	principalForm = regexp.MustCompile(`^A[A-Z]{3}[A-Z0-9]{12,28}(:.*)?$`)
	accountForm   = regexp.MustCompile(`^[0-9]{12}$`)
	eventForm     = regexp.MustCompile(`^(?i:[0-9a-f]{8}(-[0-9a-f-]{0,27})?|derived-[0-9a-f]{1,32})$`)
	addressForm   = regexp.MustCompile(`^[0-9]{1,3}(\.[0-9]{1,3}){3}$`)
	actionForm    = regexp.MustCompile(`^([a-z0-9-]+):([A-Za-z0-9_*]+)$`)
	nameForm      = regexp.MustCompile(`^[A-Z*][A-Za-z0-9_*]*$`)
	// verbs begin nearly all names of events (Service Authorization Reference,
	// and the events of sign-in).
	verbs = regexp.MustCompile(`^(Accept|Acquire|Activate|Add|Assign|Associate|Assume|Attach|Authenticate|Authorize|Batch|Cancel|Change|CheckMfa|Complete|Console|Copy|Create|Credential|Deactivate|Decode|Decrypt|Delete|Deregister|Describe|Detach|Disable|Disassociate|Download|Enable|Encrypt|Exchange|ExitRole|Export|External|Federate|Generate|Get|Head|Import|Invite|Invoke|Leave|List|Lookup|Modify|Move|PasswordRecovery|PasswordUpdated|Patch|Promote|Provision|Publish|Purchase|Put|Query|Reboot|Receive|Register|Reject|Release|Remove|RenewRole|Replace|Request|Reset|Restore|Resync|Retire|Revoke|Rotate|Run|Scan|Schedule|Search|Select|Send|Set|Share|Simulate|Start|Stop|Submit|SwitchRole|Tag|Terminate|Test|Unassign|Undeprecate|Untag|Update|Upload|UserAuthentication|Validate|Verify)([A-Z0-9*].*)?$`)
)

// Recognise tells by its form what a text is. It looks nothing up: "Create*" is
// the name of events, "alice" is a name.
func Recognise(text string) Subject {
	s := Subject{Text: text, As: AsName}
	switch {
	case strings.HasPrefix(text, "arn:"):
		s.As = AsARN
	case keyForm.MatchString(text):
		s.As = AsKey
	case accountForm.MatchString(text):
		s.As = AsAccount
	case eventForm.MatchString(text):
		s.As = AsEvent
	case addressForm.MatchString(text):
		s.As = AsIP
	case actionForm.MatchString(text), nameForm.MatchString(text) && verbs.MatchString(text):
		s.As = AsEventName
	default:
		if _, err := netip.ParseAddr(text); err == nil {
			s.As = AsIP
		} else if _, err := netip.ParsePrefix(text); err == nil {
			s.As = AsIP
		}
	}
	s, err := As(text, s.As)
	if err != nil {
		s.As = AsName // not of that form after all
	}
	return s
}

// As takes a text for one of Forms, whatever it looks like. The error says what is
// wrong with it.
func As(text, as string) (Subject, error) {
	s := Subject{Text: text, As: as, name: text}
	switch as {
	case AsEventName:
		if m := actionForm.FindStringSubmatch(text); m != nil {
			s.service, s.name = m[1], m[2]
		}
	case AsARN:
		a, ok := parseARN(text)
		if !ok {
			return s, fmt.Errorf("%q is not an ARN: arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE", text)
		}
		s.arn = a
	case AsUser, AsRole, AsPolicy:
		if a, ok := parseARN(text); ok {
			s.arn = a
			s.name = a.name()
		}
	case AsIP:
		if p, err := netip.ParsePrefix(text); err == nil {
			s.network = p.Masked()
			break
		}
		addr, ok := parseAddress(text)
		if !ok && !strings.HasSuffix(text, ".amazonaws.com") && text != "AWS Internal" {
			return s, fmt.Errorf("%q is not an address or network, such as 198.51.100.7 or 198.51.100.0/24", text)
		}
		s.ip = addr
	case AsAccount:
		if !accountForm.MatchString(text) {
			return s, fmt.Errorf("%q is not an account id of 12 digits", text)
		}
	case AsEvent:
		if len(text) < 8 {
			return s, fmt.Errorf("%q is too short for an event id: at least 8 characters", text)
		}
	case AsKey, AsName:
	default:
		return s, fmt.Errorf("%q is none of %s", as, strings.Join(Forms(), ", "))
	}
	return s, nil
}

// String says what the subject is taken for.
func (s Subject) String() string {
	switch s.As {
	case AsEventName:
		if s.service != "" {
			return "the action " + s.name + " of " + s.service
		}
		return "the name of an event"
	case AsARN:
		return "an ARN"
	case AsUser:
		return "an IAM user"
	case AsRole:
		return "a role"
	case AsPolicy:
		return "a policy"
	case AsKey:
		return "an access key"
	case AsIP:
		if s.network.IsValid() {
			return "a network"
		}
		return "an address"
	case AsEvent:
		return "an event"
	case AsAccount:
		return "an account"
	}
	return "a name, of whatever kind"
}

// relation is a way in which events concern a subject.
type relation struct{ name, condition string }

// relations are the ways in SQL; an event counts for the first that holds.
// addresses are those of a network.
func (s Subject) relations(addresses []string) ([]relation, error) {
	var out []relation
	var firstErr error
	add := func(name string, filters ...query.EventFilter) {
		var or []string
		for _, f := range filters {
			conditions, err := f.Conditions()
			if err != nil && firstErr == nil {
				firstErr = err
			}
			or = append(or, "("+all(conditions)+")")
		}
		out = append(out, relation{name, strings.Join(or, " OR ")})
	}
	raw := func(name, format string, texts ...string) {
		args := make([]any, len(texts))
		for i, text := range texts {
			lit, err := query.Literal(text)
			if err != nil && firstErr == nil {
				firstErr = err
			}
			args[i] = lit
		}
		out = append(out, relation{name, fmt.Sprintf(format, args...)})
	}
	switch s.As {
	case AsEventName:
		f := query.EventFilter{EventNames: []string{s.name}}
		if s.service != "" {
			f.EventSources = sources(s.service)
		}
		add(Did, f)
	case AsKey:
		raw(Issued, "issued_access_key_id = %s", s.Text)
		raw(Touched, "(target_name = %[1]s OR event_name IN ('UpdateAccessKey', 'DeleteAccessKey', 'GetAccessKeyLastUsed', 'GetAccessKeyInfo') AND strpos(request_parameters, %[1]s) > 0)", s.Text)
		raw(Used, "access_key_id = %s", s.Text)
	case AsIP:
		list := addresses
		if !s.network.IsValid() {
			list = []string{s.Text}
			if s.ip.IsValid() && s.ip.String() != s.Text {
				list = append(list, s.ip.String())
			}
		}
		if len(list) == 0 {
			out = append(out, relation{From, "false"})
			break
		}
		in, err := literals(list)
		if err != nil {
			return nil, err
		}
		out = append(out, relation{From, "source_ip IN (" + in + ")"})
	case AsEvent:
		raw(Did, "starts_with(event_id, %s)", strings.ToLower(s.Text))
	case AsAccount:
		raw(In, "account_id = %s", s.Text)
		raw(From, "identity_account_id = %s", s.Text)
	case AsUser:
		s.thing(add, event.TargetUser, event.TargetIdentityCenterUser)
		add(Was, query.EventFilter{Users: []string{s.name}, Accounts: s.accounts()})
		asUser(&out[len(out)-1], s.name, s.arn.account, &firstErr)
	case AsRole:
		s.thing(add, event.TargetRole)
		add(Was, query.EventFilter{Roles: []string{s.name}, Accounts: s.accounts()})
	case AsPolicy:
		// Whoever attaches a policy acts on a user, group or role, so the policy
		// stands in the request only.
		lit, err := query.Literal(s.Text)
		if err != nil {
			return nil, err
		}
		end, err := query.Literal("/" + s.name + `"`)
		if err != nil {
			return nil, err
		}
		quoted, err := query.Literal(`"policyName":"` + s.name + `"`)
		if err != nil {
			return nil, err
		}
		out = append(out, relation{Touched, "category IN ('iam', 'sso') AND (target_kind = 'policy' AND (target_name = " + lit + " OR target_arn = " + lit + ")" +
			" OR strpos(request_parameters, " + end + ") > 0 OR strpos(request_parameters, " + quoted + ") > 0)"})
	case AsARN:
		s.ofARN(add, raw)
		if kind, _, _ := strings.Cut(s.arn.resource, "/"); s.arn.service == "iam" && kind == event.TargetUser {
			asUser(&out[len(out)-1], s.arn.name(), s.arn.account, &firstErr)
		}
	default:
		if name, account, ok := home(s.Text); ok { // as answers show a name
			add(Touched, query.EventFilter{Targets: []string{name}, Accounts: []string{account}})
			add(Was, query.EventFilter{Actors: []string{name}, Accounts: []string{account}}, query.EventFilter{Actors: []string{name + abroad + account}},
				query.EventFilter{Users: []string{name}, Accounts: []string{account}})
			return out, firstErr
		}
		add(Touched, query.EventFilter{Targets: []string{s.Text}})
		add(Was,
			// In records of other accounts names have an account, or a provider, too.
			query.EventFilter{Actors: []string{s.Text, s.Text + abroad + "*"}}, query.EventFilter{Users: []string{s.Text}},
			query.EventFilter{Roles: []string{s.Text}})
		session, err := query.Literal(s.Text)
		if err != nil {
			return nil, err
		}
		out[len(out)-1].condition += " OR lower(session_name) = lower(" + session + ")"
		if _, name, ok := strings.Cut(s.Text, "/"); ok { // ROLE/SESSION
			role, _, _ := strings.Cut(s.Text, "/")
			a, errA := query.Literal(role)
			b, errB := query.Literal(name)
			if errA == nil && errB == nil {
				out[len(out)-1].condition += " OR role_name = " + a + " AND session_name = " + b
			}
		}
	}
	return out, firstErr
}

// asUser adds what was done in sessions of an IAM user, in all accounts; account is
// the user's, "" for any.
func asUser(r *relation, name, account string, firstErr *error) {
	filters := []query.EventFilter{{Actors: []string{name}}, {Actors: []string{name + abroad + "*"}}}
	if account != "" {
		filters = []query.EventFilter{{Actors: []string{name}, Accounts: []string{account}}, {Actors: []string{name + abroad + account}}}
	}
	for _, f := range filters {
		conditions, err := f.Conditions()
		if err != nil && *firstErr == nil {
			*firstErr = err
		}
		r.condition += " OR (" + all(append(conditions, "actor_kind = '"+event.KindIAMUser+"'")) + ")"
	}
}

// accounts are those of a subject that was given as ARN.
func (s Subject) accounts() []string {
	if s.arn.account == "" {
		return nil
	}
	return []string{s.arn.account}
}

// thing adds the events that acted on a user, role or the like: by ARN, or by
// name, which is unique in its account.
func (s Subject) thing(add func(string, ...query.EventFilter), kinds ...string) {
	filters := []query.EventFilter{{Targets: []string{s.name}, TargetKinds: kinds, Accounts: s.accounts()}}
	if s.arn.service != "" {
		filters = append(filters, query.EventFilter{Targets: []string{s.arn.String()}})
	}
	add(Touched, filters...)
}

// ofARN adds what concerns an ARN: of an identity what it did too.
func (s Subject) ofARN(add func(string, ...query.EventFilter), raw func(string, string, ...string)) {
	kind, _, _ := strings.Cut(s.arn.resource, "/")
	self := query.EventFilter{Actors: []string{s.Text}} // by identity_arn
	named := s
	named.name = s.arn.name()
	switch {
	case s.arn.service == "iam" && kind == event.TargetUser:
		named.thing(add, event.TargetUser)
		add(Was, self)
	case s.arn.service == "iam" && kind == event.TargetRole:
		named.thing(add, event.TargetRole)
		add(Was, query.EventFilter{Roles: []string{named.name}, IdentityAccounts: s.accounts()})
	case s.arn.service == "iam" && kind == event.TargetGroup:
		named.thing(add, event.TargetGroup)
	case s.arn.service == "iam" && kind == event.TargetPolicy:
		raw(Touched, "(target_arn = %[1]s OR category IN ('iam', 'sso') AND strpos(request_parameters, %[2]s) > 0)", s.Text, `"`+s.Text+`"`)
	case s.arn.service == "sts", s.arn.service == "iam" && s.arn.resource == "root":
		add(Was, self)
	default:
		// Things of other services stand in no column of their own. A bucket is
		// named in the request.
		texts := []string{s.Text, `"` + s.Text}
		format := "(target_arn = %[1]s OR strpos(resources, %[2]s) > 0 OR strpos(request_parameters, %[2]s) > 0"
		if s.arn.service == "s3" {
			bucket, _, _ := strings.Cut(s.arn.resource, "/")
			texts = append(texts, `"bucketName":"`+bucket+`"`)
			format += " OR event_source = 's3.amazonaws.com' AND strpos(request_parameters, %[3]s) > 0"
		}
		raw(Touched, format+")", texts...)
	}
}

// sources are the services that IAM's prefix of an action stands for.
func sources(prefix string) []string {
	switch prefix {
	case "sso":
		return []string{"sso", "sso-directory", "sso-oauth"}
	case "identitystore":
		return []string{"identitystore", "sso-directory", "identitystore-scim"}
	}
	return []string{prefix}
}

// parseAddress reads an address; octets may have leading zeros, as records of
// anonymised data have.
func parseAddress(text string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return addr.WithZone(""), true
	}
	if !addressForm.MatchString(text) {
		return netip.Addr{}, false
	}
	var b [4]byte
	for i, part := range strings.Split(text, ".") {
		n, err := strconv.ParseUint(part, 10, 8)
		if err != nil {
			return netip.Addr{}, false
		}
		b[i] = byte(n)
	}
	return netip.AddrFrom4(b), true
}

// arn is an ARN, taken apart.
type arn struct{ partition, service, region, account, resource string }

func parseARN(text string) (arn, bool) {
	p := strings.SplitN(text, ":", 6)
	if len(p) != 6 || p[0] != "arn" || p[2] == "" || p[5] == "" {
		return arn{}, false
	}
	return arn{p[1], p[2], p[3], p[4], p[5]}, true
}

func (a arn) String() string {
	return strings.Join([]string{"arn", a.partition, a.service, a.region, a.account, a.resource}, ":")
}

// name is the last part of the resource.
func (a arn) name() string {
	return a.resource[strings.LastIndexAny(a.resource, "/:")+1:]
}

// relationOrder is that of answers.
var relationOrder = []string{Issued, Touched, Did, In, Used, From, Was}

func rank(relation string) int { return slices.Index(relationOrder, relation) }

// Other is what else a text of that form may be, when nothing was found: a name
// may be an event's, and the other way round.
func (s Subject) Other() (Subject, bool) {
	switch {
	case s.As == AsName && !strings.ContainsAny(s.Text, " @/."):
		s.As = AsEventName
	case s.As == AsEventName && s.service == "", s.As == AsEvent && len(s.Text) == 8:
		s.As = AsName
	default:
		return s, false
	}
	return s, true
}
