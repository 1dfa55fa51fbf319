package event

import (
	"encoding/binary"
	"math/bits"
	"strings"
)

// field numbers the keys that columns, or the code that fills them, come from.
type field uint8

const (
	fNone field = iota

	// Top level, in key order: Record relies on it.
	fAdditionalEventData
	fAWSRegion
	fErrorCode
	fErrorMessage
	fEventID
	fEventName
	fEventSource
	fEventTime
	fEventType
	fEventVersion
	fReadOnly
	fRecipientAccountID
	fRequestParameters
	fResources
	fResponseElements
	fSourceIP
	fUserAgent
	fUserIdentity

	// In userIdentity, in key order.
	fAccessKeyID
	fAccountID
	fARN
	fInvokedBy
	fPrincipalID
	fType
	fUserName

	// Only read.
	fSessionContext
	fSessionIssuer
	fAttributes
	fMFAAuthenticated
	fOnBehalfOf
	fUserID
	fIdentityProvider
	fServiceEventDetails

	// Envelopes.
	fCloudTrailEvent
	fDetail
	fList // Records or Events

	// Keys of ours in Rest; see rest.go.
	fAbsent
	fWhole

	numFields
)

var fieldNames = [numFields]string{
	fAdditionalEventData: "additionalEventData",
	fAWSRegion:           "awsRegion",
	fErrorCode:           "errorCode",
	fErrorMessage:        "errorMessage",
	fEventID:             "eventID",
	fEventName:           "eventName",
	fEventSource:         "eventSource",
	fEventTime:           "eventTime",
	fEventType:           "eventType",
	fEventVersion:        "eventVersion",
	fReadOnly:            "readOnly",
	fRecipientAccountID:  "recipientAccountId",
	fRequestParameters:   "requestParameters",
	fResources:           "resources",
	fResponseElements:    "responseElements",
	fSourceIP:            "sourceIPAddress",
	fUserAgent:           "userAgent",
	fUserIdentity:        "userIdentity",

	fAccessKeyID: "accessKeyId",
	fAccountID:   "accountId",
	fARN:         "arn",
	fInvokedBy:   "invokedBy",
	fPrincipalID: "principalId",
	fType:        "type",
	fUserName:    "userName",

	fSessionContext:      "sessionContext",
	fSessionIssuer:       "sessionIssuer",
	fAttributes:          "attributes",
	fMFAAuthenticated:    "mfaAuthenticated",
	fOnBehalfOf:          "onBehalfOf",
	fUserID:              "userId",
	fIdentityProvider:    "identityProvider",
	fServiceEventDetails: "serviceEventDetails",

	fCloudTrailEvent: "CloudTrailEvent",
	fDetail:          "detail",
	fList:            "Records",

	fAbsent: keyAbsent,
	fWhole:  keyWhole,
}

var fieldByName = func() map[string]field {
	m := make(map[string]field, numFields)
	for f := fNone + 1; f < numFields; f++ {
		m[fieldNames[f]] = f
	}
	m["Events"] = fList
	return m
}()

// keyFlags say what a key means for redaction.
type keyFlags uint8

const (
	keySecret    keyFlags = 1 << iota // its value is a credential
	keyCode                           // ... if the object is an OAuth grant
	keyGrant                          // the object is an OAuth grant
	keyName                           // its value names what the object's value is
	keyValue                          // its value is what the object's name says
	keyTransport                      // added by a log shipper, no part of the record
	keyUnsafe                         // its own text must be decoded or redacted

	keyPair = keyCode | keyGrant | keyName | keyValue
)

type keyInfo struct {
	field field
	flags keyFlags
}

// classify says what a decoded key means.
func classify(key string) keyInfo {
	info := keyInfo{field: fieldByName[key], flags: nameFlags(key)}
	if len(key) > 0 && key[0] == '@' {
		info.flags |= keyTransport
	}
	if plainEnd([]byte(key), 0) < len(key) {
		info.flags |= keyUnsafe
	} else if suspicious([]byte(key)) {
		if _, changed := scrub(key); changed {
			info.flags |= keyUnsafe
		}
	}
	return info
}

// keyTable remembers what keys mean: CloudTrail uses few, and they come again
// and again. Each key has two places, so its size is bounded.
type keyTable struct {
	slots [2048]keySlot
}

type keySlot struct {
	key  string
	info keyInfo
}

// cachedKeyMax bounds the length of keys that are kept, in bytes.
const cachedKeyMax = 64

// lookup returns what a key means; prefix is its sort prefix.
func (t *keyTable) lookup(key []byte, prefix uint64) keyInfo {
	n := len(key)
	if n == 0 || n > cachedKeyMax {
		return classify(string(key))
	}
	last := uint64(n)
	if n > 8 {
		last ^= binary.LittleEndian.Uint64(key[n-8:])
	}
	i := mix(prefix, last) % uint64(len(t.slots)) &^ 1
	slot := &t.slots[i]
	if slot.key != string(key) {
		other := &t.slots[i+1]
		if other.key == string(key) {
			return other.info
		}
		*other = *slot
		slot.key = string(key)
		slot.info = classify(slot.key)
	}
	return slot.info
}

// mix hashes two words: the halves of their product, folded.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xc2b2ae3d27d4eb4f)
	return hi ^ lo
}

// internTable makes equal short strings one allocation over many events. It is
// direct-mapped, so its size is bounded.
type internTable struct {
	slots [2048]string
}

// internMax bounds the length of strings that are kept, in bytes.
const internMax = 200

// get returns b as a string.
func (t *internTable) get(b []byte) string {
	slot := t.slot(b)
	if slot == nil {
		return string(b)
	}
	if *slot != string(b) {
		*slot = string(b)
	}
	return *slot
}

// slot returns where b is kept, if it is kept at all; nil for what is empty or
// long.
func (t *internTable) slot(b []byte) *string {
	n := len(b)
	if n == 0 || n > internMax {
		return nil
	}
	var h uint64
	if n >= 8 {
		h = mix(binary.LittleEndian.Uint64(b)^uint64(n), binary.LittleEndian.Uint64(b[n-8:])^
			binary.LittleEndian.Uint64(b[(n-8)/2:])*0x165667b19e3779f9)
	} else {
		for _, x := range b {
			h = h<<8 | uint64(x)
		}
		h = mix(h, uint64(n))
	}
	return &t.slots[h%uint64(len(t.slots))]
}

// arena makes many short strings few allocations. A string keeps those made
// around it in memory.
type arena struct {
	chunk strings.Builder
}

// arenaChunk is the size of an allocation, in bytes.
const arenaChunk = 4 << 10

// keep returns b as a string.
func (a *arena) keep(b []byte) string {
	if len(b) > arenaChunk/16 {
		return string(b)
	}
	if a.chunk.Cap()-a.chunk.Len() < len(b) {
		a.chunk.Reset()
		a.chunk.Grow(arenaChunk)
	}
	start := a.chunk.Len()
	a.chunk.Write(b) // it fits: what was made before stays where it is
	return a.chunk.String()[start:]
}
