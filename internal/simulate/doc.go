// Package simulate is the simulated account: a seeded AWS organisation whose
// CloudTrail records are generated together with the truth about them.
//
// The world is an organisation of three accounts or more: management (IAM users
// of old, Identity Center, billing), production (its id begins with a zero) and
// development. In it act
//   - service noise, four fifths of all records: AWS services that assume roles
//     and the sessions of /aws-service-role/ roles;
//   - people who sign in through Identity Center, by the portal or the CLI, into
//     AWSReservedSSO_* sessions; a few through SAML; some IAM users with access
//     keys and console passwords;
//   - workloads: CI jobs that come by OIDC and chain through roles of three
//     accounts (each cross-account AssumeRole is recorded on both sides with one
//     sharedEventID), EC2 instances, Lambda functions, a vendor's posture scanner
//     that reads everything;
//   - story scripts: joiners, leavers, key rotation, permission-set work, root's
//     billing day, a night on call, mistakes, and, in the last two to three days
//     of the window, one attack that starts with a leaked access key.
//
// The scripts declare the truth as they act: which person or workload is at the
// root of each event's session, which alerts are due and how severe, what is
// noise. The background (everything that is not a script) is made so that no
// alert of Rules is due for it. Scripts depend on the seed and the window only:
// the same attack is in a world of 24,000 records and in one of ten million,
// where merely more people, keys, instances and noise surround it.
//
// Records come hour by hour: an hour's plan is a pure function of seed and hour,
// and a record's bytes are a pure function of its plan. So worlds of any size
// stream in constant memory, any time range can be asked for by itself, and
// files can be written on all cores with the same result.
//
// Addresses are from the documentation ranges. 192.0.2.0/25 is the office,
// 192.0.2.128/25 the workloads' exits, 198.51.100.0/24 and 2001:db8:: people's
// homes, 203.0.113.0/24 is the attacker's alone. Session tokens look real (each
// begins with TokenPrefix) and stand for the secrets that must never be stored.
//
// The package shares no code with parsing, filters, rules or lineage, so that a
// fault there cannot hide here.
package simulate
