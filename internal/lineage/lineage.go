// Package lineage names who is behind a session: the person, or the workload, at
// the root of a chain of credentials. Credentials are issued by one event and
// used by others; Observe reads from an event what it says of such links, and a
// Resolver follows them from an event to its root.
//
// Everything is a pure function of the events that were observed: any order, any
// split and any repetition give the same answer. A Resolver names a root only as
// far as AWS itself vouches for it. What a caller may choose freely, such as the
// name of a session, proves nothing; where two records contradict each other,
// nothing is claimed. A wrong person is worse than none.
//
// The package keeps no state: package store holds links, names and uses, and
// tells which days of the lake a late link concerns.
package lineage

import (
	"context"

	"github.com/iamtrack/iamtrack/internal/event"
)

// Link is what one event says of credentials that it issued, or of a caller that
// it shows from another account's side.
type Link struct {
	// Node is the access key id that was issued. For events that two accounts
	// record it may be "shared:" and the sharedEventID.
	Node string `json:"node"`
	// AccountID, EventID and Version name the event and its content; of one
	// event's contents the one with the greatest Version counts, of those that
	// aren't void.
	AccountID string        `json:"account_id"`
	EventID   string        `json:"event_id"`
	Version   event.Version `json:"version"`
	EventTime int64         `json:"event_time"` // ms since the epoch
	EventName string        `json:"event_name"`
	// Session is the ARN of the session that the credentials are for; "" when
	// the event doesn't say.
	Session string `json:"session,omitempty"`
	// Parent is the node of the caller's own credentials, whose link leads on; ""
	// when the caller is the root, or not known any further.
	Parent string `json:"parent,omitempty"`
	// Chain is what the event itself says of its caller: the hops up to the
	// caller, at least one.
	Chain []Hop `json:"chain"`
	// Rooted is Proven or Inferred when the first hop is the root, and How says
	// by what; else "".
	Rooted string `json:"rooted,omitempty"`
	How    string `json:"how,omitempty"`
}

// Hop is a station of a chain: a person, a workload or a session.
type Hop struct {
	// Kind is one of event's Kind constants.
	Kind string `json:"kind"`
	// Name is for people to read; see event.Event.Actor.
	Name string `json:"name"`
	// ARN is the identity's ARN, or what else names it in all accounts.
	ARN       string `json:"arn,omitempty"`
	AccountID string `json:"account_id,omitempty"` // the identity's
	// Node is what names of the hop are kept under; "" for a hop that has its
	// name. See Name.
	Node string `json:"node,omitempty"`
	// SourceIdentity is the source identity of the session, "" when none is set.
	SourceIdentity string `json:"source_identity,omitempty"`
}

// Name is what a node is called: an Identity Center user (see UserNode), or a
// principal id of an account's ("principal:", account, "/" and AIDA…).
type Name struct {
	Node string `json:"node"`
	Name string `json:"name"` // of a given name "": no longer given
	// Source is Learned, or who gave the name.
	Source string `json:"source"`
	// First and Last bound the times at which the name was seen, in ms since
	// the epoch. Of one node, name and source the bounds only widen.
	First int64 `json:"first"`
	Last  int64 `json:"last"`
}

// Learned is the Source of names that events show; any other one was given, by
// the identity store or by the user, and comes before it.
const Learned = "events"

// Use says that an event of a day needs a node to be resolved.
type Use struct {
	Node string
	Date event.Date
}

// Batch is what was observed in some events.
type Batch struct {
	Links []Link
	Names []Name
	Uses  []Use
	// Void are links of contents that lost to another one of their event: they
	// don't count, whether they were observed before or are among Links.
	Void []Link
}

// Known is all that was observed of a node.
type Known struct {
	Links []Link // by account, then event id
	Names []Name // by source, then name
}

// Source looks nodes up; package store's Store is one.
type Source interface {
	// Lineage returns what is known of nodes; one of which nothing is known has
	// no entry. The caller owns the result.
	Lineage(ctx context.Context, nodes []string) (map[string]Known, error)
	// Issued returns the links whose Parent is one of the given nodes, by time,
	// account and event id.
	Issued(ctx context.Context, parents []string) ([]Link, error)
}

// Certainty of a Resolution.
const (
	// Proven: AWS recorded each step with what links it to the next.
	Proven = "proven"
	// Inferred: the steps fit together, but no record says that they do.
	Inferred = "inferred"
	// Unknown: the root isn't known; the chain is as far as it goes.
	Unknown = "unknown"
)

// Resolution is who is behind an event.
type Resolution struct {
	Kind  string `json:"actor_kind"`
	Actor string `json:"actor"`
	// Chain has the hops, the root first, the caller itself last; at least one.
	Chain     []Hop  `json:"chain"`
	Certainty string `json:"certainty"`
	// Evidence says how each step is known, the root's first.
	Evidence []Evidence `json:"evidence"`
	// Reason says why the root is unknown, or only inferred; else "".
	Reason string `json:"reason,omitempty"`
}

// Evidence is a ground for a step of a chain.
type Evidence struct {
	// How is a sentence's part, such as "AssumeRole issued ASIA…".
	How       string `json:"how"`
	AccountID string `json:"account_id,omitempty"`
	EventID   string `json:"event_id,omitempty"` // "" when the event itself says so
}
