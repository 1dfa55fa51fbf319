package rule

import (
	"strings"
)

// trustPolicy returns the trust policy that the event sets.
func trustPolicy(v *view) (policy, error) {
	if v.EventName == "CreateRole" {
		return v.requestPolicy("assumeRolePolicyDocument")
	}
	return v.requestPolicy("policyDocument")
}

// assumable reports whether the statement lets its principals assume the role.
// sts:TagSession or sts:SetSourceIdentity alone do not.
func (s *statement) assumable() bool {
	if !s.allow {
		return false
	}
	for _, api := range [...]string{"sts:assumerole", "sts:assumerolewithsaml", "sts:assumerolewithwebidentity"} {
		if anyGlob(s.actions, api) || s.hasNotAction && !anyGlob(s.notActions, api) {
			return true
		}
	}
	return false
}

// limits is how far the conditions of a statement limit who may use it.
type limits struct {
	keys       []string // every condition key, for the sentence
	identity   bool     // organization, account or source must fit
	externalID bool
	other      bool
}

// judgeConditions reads the conditions of a trust statement. Those that limit
// nobody do not count: negated ones, IfExists (absent keys pass), Null, and
// those that "*" satisfies.
func (s *statement) judgeConditions() limits {
	l := limits{keys: s.keys()}
	for _, c := range s.conditions {
		if strings.Contains(c.operator, "not") || strings.HasSuffix(c.operator, "ifexists") ||
			c.operator == "null" || strings.HasPrefix(c.operator, "forallvalues:") || open(c.values) {
			continue
		}
		switch c.key {
		case "aws:principalorgid", "aws:principalorgpaths", "aws:principalaccount", "aws:sourcearn", "aws:sourceaccount", "aws:sourceorgid":
			l.identity = true
		case "sts:externalid":
			l.externalID = true
		default:
			l.other = true
		}
	}
	return l
}

// open reports whether some value lets everything through.
func open(values []string) bool {
	for _, v := range values {
		if starsOnly(v) {
			return true
		}
	}
	return len(values) == 0
}

// isWildcard reports whether a principal stands for everybody.
func (p principal) isWildcard() bool {
	switch p.kind {
	case "*":
		return true
	case "aws":
		account, ok := p.account()
		return starsOnly(p.value) || ok && starsOnly(account)
	}
	return false
}

// account is the account of an AWS principal: twelve digits alone, or the
// fifth field of an iam or sts ARN in any partition and of any form. Ids of
// deleted principals (AROA…, AIDA…) have none.
func (p principal) account() (string, bool) {
	if p.kind != "aws" {
		return "", false
	}
	if isAccountID(p.value) {
		return p.value, true
	}
	parts := strings.SplitN(p.value, ":", 6)
	if len(parts) == 6 && parts[0] == "arn" && (parts[2] == "iam" || parts[2] == "sts") && parts[4] != "" {
		return parts[4], true
	}
	return "", false
}

// roleOf is the role whose trust changed, for a sentence, and its targets.
func roleOf(v *view) (phrase string, targets []string) {
	role := v.req("roleName")
	if role == "" {
		role = v.resp("role", "roleName")
	}
	phrase = "the role " + name(role)
	if b := v.req("permissionsBoundary"); b != "" {
		phrase += " (boundary " + name(b) + ")"
	}
	return phrase, []string{role, v.resp("role", "arn")}
}

// changed is the first half of the sentence.
func trustChanged(v *view, phrase string) string {
	verb := " changed the trust policy of "
	if v.EventName == "CreateRole" {
		verb = " created "
	}
	return v.who() + verb + phrase + v.from()
}

func matchTrustWildcard(v *view) []match {
	p, err := trustPolicy(v)
	phrase, targets := roleOf(v)
	did := trustChanged(v, phrase)
	if err != nil {
		if v.denied() {
			return nil
		}
		return one(lower(Critical), did+"; the policy could not be read ("+err.Error()+"), so it may let anyone assume the role.", targets...)
	}
	worst, reason := Info, ""
	for i := range p.statements {
		s := &p.statements[i]
		if !s.assumable() {
			continue
		}
		wild := s.notPrincipal
		how := "everybody but those named in NotPrincipal"
		for _, pr := range s.principals {
			if pr.isWildcard() {
				wild, how = true, "any principal of any account"
			}
		}
		if !wild {
			continue
		}
		sev, limit := Critical, "without a condition"
		l := s.judgeConditions()
		switch {
		case l.identity:
			sev = Medium
		case l.externalID, l.other:
			sev = High
		}
		if len(l.keys) > 0 {
			limit = "limited by a condition on " + list(l.keys)
			if sev == Critical {
				limit = "with a condition that limits nobody (" + list(l.keys) + ")"
			}
		}
		if sev > worst {
			worst, reason = sev, "it lets "+how+" assume the role, "+limit
		}
	}
	if worst == Info {
		return nil
	}
	if p.deny {
		reason += "; a Deny statement may narrow it"
	}
	return one(worst, did+"; "+reason+".", append(targets, "*")...)
}

func matchTrustExternal(v *view) []match {
	p, err := trustPolicy(v)
	if err != nil {
		return nil // iam-role-trust-wildcard reports it
	}
	own := v.account()
	if arn := v.resp("role", "arn"); own == "" && arn != "" {
		own, _ = principal{"aws", arn}.account()
	}
	worst := Info
	var strangers, keys []string
	for i := range p.statements {
		s := &p.statements[i]
		if !s.assumable() {
			continue
		}
		l := s.judgeConditions()
		for _, pr := range s.principals {
			account, ok := pr.account()
			if !ok || pr.isWildcard() || account == own || v.en.trusted[account] || !isAccountID(account) {
				continue
			}
			sev := Critical
			switch {
			case v.en.orgs[account]:
				sev = Low
			case l.externalID, l.identity, l.other:
				sev = High
			}
			strangers = appendNew(strangers, pr.value)
			if sev > worst {
				worst = sev
			}
			for _, k := range l.keys {
				keys = appendNew(keys, k)
			}
		}
	}
	if len(strangers) == 0 {
		return nil
	}
	phrase, targets := roleOf(v)
	reason := "it lets " + list(strangers) + " assume the role"
	switch {
	case worst == Low:
		reason += ", of the own organization"
	case own == "":
		reason += ", and the record does not say whose role it is"
	default:
		reason += ", which is not of this account (" + own + ") and not in trusted_accounts"
	}
	if len(keys) > 0 {
		reason += ", with a condition on " + list(keys)
	}
	return one(worst, trustChanged(v, phrase)+"; "+reason+".", append(targets, strangers...)...)
}

// starsOnly reports whether s is empty or has only '*'.
func starsOnly(s string) bool { return strings.Trim(s, "*") == "" }
