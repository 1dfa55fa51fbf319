// Package server is the simulated account on the wire: it speaks AWS's own
// protocols over a simulate.World, so that unchanged SDKs, boto3 and the AWS CLI
// work against it with AWS_ENDPOINT_URL and dummy credentials.
//
// # What it answers
//
//   - CloudTrail: LookupEvents, DescribeTrails, GetTrailStatus, ListPublicKeys
//     (AWS JSON 1.1);
//   - STS: GetCallerIdentity, AssumeRole; EC2: DescribeRegions; IAM:
//     SimulatePrincipalPolicy; SNS: Publish (query protocols);
//   - Account: ListRegions (REST JSON); Organizations: DescribeOrganization,
//     ListAccounts; IAM Identity Center: ListInstances, and its identity
//     store: ListUsers (JSON 1.1);
//   - S3: ListObjectsV2, ListObjects, GetObject, HeadObject, HeadBucket,
//     GetBucketLocation (REST XML, path style and virtual host style).
//
// aws-sdk-go-v2 and botocore speak AWS JSON 1.1 to CloudTrail (looked up
// 2026-11-22 in service/cloudtrail v1.56.0 and botocore 1.44.5), so RPC v2 CBOR
// is refused.
//
// # Who asks
//
// Service, region and access key come from the request's Signature Version 4
// scope; the signature itself can't be checked, as any secret is good. A key that
// is 12 digits is that account's; one that AssumeRole issued is the role's
// account's; every other key is the management account's.
//
// # LookupEvents
//
// As the CloudTrail API Reference, "LookupEvents", has it: newest first, at most
// 50 a page, one lookup attribute, start and end inclusive, the last 90 days,
// management events only, two requests a second for each account and region
// (ThrottlingException, HTTP 400, beyond), and a token that is bound to the
// parameters that it was given for. An end that the request does not name is the
// time of its first page. What the reference leaves open is decided so: times are
// whole seconds (fractions are cut off); a start before the 90 days is taken as
// their beginning; tokens are good for an hour; an event that becomes visible
// behind the point that a listing has reached is not in that listing.
//
// # Time
//
// All time is Options.Clock's: what is visible, limits, expiry, the Date header,
// latency. With Real inside a testing/synctest bubble, and Server.Client as the
// clients' transport, hours pass in microseconds and results are exact: the bubble's
// clock is the clock of both sides. Virtual is for tests that move the clock by
// hand.
//
// # Faults
//
// Faults go wrong on request, and always in the same way: what befalls an event is
// a function of the seed and its id, what befalls a request of the seed and its
// number among those of its account, region and operation.
package server
