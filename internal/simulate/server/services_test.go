package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/account"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/ssoadmin"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	"github.com/iamtrack/iamtrack/internal/simulate"
	"github.com/iamtrack/iamtrack/internal/simulate/server"
)

type ec2Region struct {
	Name     string `xml:"regionName"`
	Endpoint string `xml:"regionEndpoint"`
	Status   string `xml:"optInStatus"`
}

// regionsOfEC2 asks EC2 for regions, or returns the code of its error. (The SDK's
// package for EC2 takes minutes to compile; test/integration/sdk asks with tools that
// have all of it.)
func regionsOfEC2(t *testing.T, s *server.Server, cfg aws.Config, form url.Values) (regions []ec2Region, failed string) {
	t.Helper()
	form.Set("Action", "DescribeRegions")
	form.Set("Version", "2016-11-15")
	body := form.Encode()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.Endpoint, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	keys, err := cfg.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(t.Context(), keys, req, hex.EncodeToString(hash[:]), "ec2", cfg.Region, time.Now()); err != nil {
		t.Fatal(err)
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	var answer struct {
		Regions []ec2Region `xml:"regionInfo>item"`
		Code    string      `xml:"Errors>Error>Code"`
	}
	if err := xml.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer.Regions, answer.Code
}

func TestRegions(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := start(t, server.Options{})
	enabled, why := regionsOfEC2(t, s, sdk(s, "us-east-1", "dummy"), url.Values{})
	if why != "" {
		t.Fatal(why)
	}
	var got []string
	for _, r := range enabled {
		got = append(got, r.Name)
		if r.Status == "not-opted-in" || r.Endpoint != "ec2."+r.Name+".amazonaws.com" {
			t.Errorf("%+v", r)
		}
	}
	if diff := cmp.Diff(s.Regions(), got); diff != "" || len(got) < 17 {
		t.Errorf("(-want +got):\n%s", diff)
	}
	others, why := regionsOfEC2(t, s, sdk(s, "us-east-1", "dummy"), url.Values{
		"AllRegions": {"true"}, "Filter.1.Name": {"opt-in-status"}, "Filter.1.Value.1": {"not-opted-in"},
	})
	if why != "" || len(others) == 0 || others[0].Status != "not-opted-in" {
		t.Errorf("%+v, %s", others, why)
	}
	client := account.NewFromConfig(sdk(s, "us-east-1", "dummy"))
	var listed, disabled []string
	pages := account.NewListRegionsPaginator(client, &account.ListRegionsInput{MaxResults: aws.Int32(5)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Regions {
			if r.RegionOptStatus == "DISABLED" {
				disabled = append(disabled, *r.RegionName)
			} else {
				listed = append(listed, *r.RegionName)
			}
		}
	}
	if diff := cmp.Diff(got, listed); diff != "" || len(disabled) != len(others) {
		t.Errorf("disabled %v, enabled (-want +got):\n%s", disabled, diff)
	}
	// A region that is not enabled knows nobody.
	_, err := trail(s, "dummy", others[0].Name).LookupEvents(ctx, &cloudtrail.LookupEventsInput{})
	if code(err) != "UnrecognizedClientException" {
		t.Errorf("error %v", err)
	}
}

func TestAssumeRole(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	clock := server.NewVirtual(end)
	w := world(t, simulate.Config{Seed: 7, Days: 8, Events: 3000, Accounts: 5})
	s := start(t, server.Options{World: w, Clock: clock, Roles: []server.Role{{Name: "reader", ExternalID: "s3cret"}, {Name: "open"}}})
	base := sdk(s, "us-east-1", "dummy")
	who, err := sts.NewFromConfig(base).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil || *who.Account != w.Accounts()[0] {
		t.Fatalf("%v, %v", who, err)
	}
	for _, id := range w.Accounts() {
		cfg := base.Copy()
		cfg.Credentials = stscreds.NewAssumeRoleProvider(sts.NewFromConfig(base), "arn:aws:iam::"+id+":role/some/path/reader", func(o *stscreds.AssumeRoleOptions) {
			o.ExternalID, o.RoleSessionName = aws.String("s3cret"), "tracker"
		})
		who, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		if err != nil {
			t.Fatal(err)
		}
		if *who.Account != id || *who.Arn != "arn:aws:sts::"+id+":assumed-role/reader/tracker" || !strings.HasSuffix(*who.UserId, ":tracker") {
			t.Errorf("%s: %s, %s, %s", id, *who.Account, *who.Arn, *who.UserId)
		}
		out, err := cloudtrail.NewFromConfig(cfg).LookupEvents(ctx, &cloudtrail.LookupEventsInput{})
		if err != nil || len(out.Events) == 0 {
			t.Fatalf("%v, %d events", err, len(out.Events))
		}
		for _, e := range out.Events {
			if !strings.Contains(*e.CloudTrailEvent, `"recipientAccountId":"`+id+`"`) {
				t.Fatalf("an event of another account than %s: %s", id, *e.CloudTrailEvent)
			}
		}
	}
	assume := func(role, name, external string, seconds int32) (*sts.AssumeRoleOutput, error) {
		in := &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: &name}
		if external != "" {
			in.ExternalId = &external
		}
		if seconds != 0 {
			in.DurationSeconds = &seconds
		}
		return sts.NewFromConfig(base).AssumeRole(ctx, in)
	}
	prefix := "arn:aws:iam::012345678901:role/"
	for _, c := range []struct {
		role, name, external string
		seconds              int32
		want                 string
	}{
		{prefix + "reader", "x1", "", 0, "AccessDenied"},
		{prefix + "reader", "x1", "other", 0, "AccessDenied"},
		{prefix + "nobody", "x1", "", 0, "AccessDenied"},
		{"arn:aws:iam::999999999999:role/open", "x1", "", 0, "AccessDenied"},
		{prefix + "open", "x1", "", 899, "ValidationError"},
		{prefix + "open", "a b", "", 0, "ValidationError"},
		{"open", "x1", "", 0, "ValidationError"},
		{prefix + "open", "x1", "anything", 900, ""},
	} {
		if _, err := assume(c.role, c.name, c.external, c.seconds); code(err) != c.want {
			t.Errorf("%+v: error %v", c, err)
		}
	}
	// Credentials end when they say so, to each service in its own words.
	out, err := assume(prefix+"open", "x1", "", 900)
	if err != nil || !out.Credentials.Expiration.Equal(end.Add(15*time.Minute)) || !strings.HasPrefix(*out.Credentials.SessionToken, simulate.TokenPrefix) {
		t.Fatalf("%+v, %v", out, err)
	}
	cfg := base.Copy()
	cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: *out.Credentials.AccessKeyId, SecretAccessKey: "x", SessionToken: *out.Credentials.SessionToken}, nil
	})
	use := func() []string {
		clock.Advance(time.Second)
		_, err1 := cloudtrail.NewFromConfig(cfg).LookupEvents(ctx, &cloudtrail.LookupEventsInput{})
		_, err2 := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		_, ec2 := regionsOfEC2(t, s, cfg, url.Values{})
		return []string{code(err1), code(err2), ec2}
	}
	if got := use(); slices.Max(got) != "" {
		t.Errorf("errors %q", got)
	}
	clock.Advance(15 * time.Minute)
	if diff := cmp.Diff([]string{"ExpiredTokenException", "ExpiredToken", "RequestExpired"}, use()); diff != "" {
		t.Error(diff)
	}
}

func TestCredentialsExpire(t *testing.T) {
	t.Parallel()
	clock := server.NewVirtual(end)
	s := start(t, server.Options{Clock: clock, Faults: faults(t, "credentials-expire=15m")})
	try := func(key string) string {
		clock.Advance(time.Second)
		_, err := trail(s, key, "us-east-1").LookupEvents(context.Background(), &cloudtrail.LookupEventsInput{})
		return code(err)
	}
	if a, b := try("ASIAFIRST"), try("AKIALONG"); a != "" || b != "" {
		t.Errorf("errors %q, %q", a, b)
	}
	clock.Advance(15 * time.Minute)
	if a, b, c := try("ASIAFIRST"), try("AKIALONG"), try("ASIASECOND"); a != "ExpiredTokenException" || b != "" || c != "" {
		t.Errorf("errors %q, %q, %q", a, b, c)
	}
}

func TestOrganization(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := world(t, simulate.Config{Seed: 7, Days: 8, Events: 3000, Accounts: 25})
	s := start(t, server.Options{World: w})
	client := organizations.NewFromConfig(sdk(s, "us-east-1", "dummy"))
	org, err := client.DescribeOrganization(ctx, &organizations.DescribeOrganizationInput{})
	if err != nil || *org.Organization.Id != w.OrganizationID() || *org.Organization.MasterAccountId != w.Accounts()[0] {
		t.Fatalf("%+v, %v", org, err)
	}
	var got, names []string
	for pages := organizations.NewListAccountsPaginator(client, &organizations.ListAccountsInput{}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range page.Accounts {
			got, names = append(got, *a.Id), append(names, *a.Name)
		}
	}
	if diff := cmp.Diff([][]string{w.Accounts(), w.AccountNames()}, [][]string{got, names}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	_, err = organizations.NewFromConfig(sdk(s, "us-east-1", w.Accounts()[1])).ListAccounts(ctx, &organizations.ListAccountsInput{})
	if code(err) != "AccessDeniedException" {
		t.Errorf("error %v", err)
	}
	for _, c := range []struct {
		account, region string
		want            int
	}{{w.Accounts()[0], w.IdentityCenter().Region, 1}, {w.Accounts()[0], "us-east-1", 0}, {w.Accounts()[1], w.IdentityCenter().Region, 0}} {
		out, err := ssoadmin.NewFromConfig(sdk(s, c.region, c.account)).ListInstances(ctx, &ssoadmin.ListInstancesInput{})
		if err != nil || len(out.Instances) != c.want {
			t.Errorf("%+v: %+v, %v", c, out, err)
		}
	}
}

func TestPublish(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := start(t, server.Options{})
	client := sns.NewFromConfig(sdk(s, "eu-west-1", "dummy"))
	topic := "arn:aws:sns:eu-west-1:111122223333:alerts"
	out, err := client.Publish(ctx, &sns.PublishInput{TopicArn: &topic, Subject: aws.String("root sign-in"), Message: aws.String("é <@U1> \u2028"),
		MessageAttributes: map[string]snstypes.MessageAttributeValue{"severity": {DataType: aws.String("String"), StringValue: aws.String("high")}}})
	if err != nil {
		t.Fatal(err)
	}
	want := []server.Message{{ID: *out.MessageId, TopicARN: topic, Subject: "root sign-in", Body: "é <@U1> \u2028", Attributes: map[string]string{"severity": "high"}, At: end, Account: "111122223333"}}
	if diff := cmp.Diff(want, s.Messages()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, in := range map[string]sns.PublishInput{
		"long subject":   {TopicArn: &topic, Subject: aws.String(strings.Repeat("x", 100)), Message: aws.String("m")},
		"line break":     {TopicArn: &topic, Subject: aws.String("a\nb"), Message: aws.String("m")},
		"too long":       {TopicArn: &topic, Message: aws.String(strings.Repeat("m", 256<<10+1))},
		"other region":   {TopicArn: aws.String("arn:aws:sns:us-east-1:111122223333:alerts"), Message: aws.String("m")},
		"no topic's ARN": {TopicArn: aws.String("alerts"), Message: aws.String("m")},
	} {
		if _, err := client.Publish(ctx, &in); code(err) != "InvalidParameter" && code(err) != "InvalidParameterException" {
			t.Errorf("%s: error %v", name, err)
		}
	}
	s.SetFaults(faults(t, "deny=*:sns"))
	if _, err := client.Publish(ctx, &sns.PublishInput{TopicArn: &topic, Message: aws.String("m")}); code(err) == "" {
		t.Error("a denied message was sent")
	}
	if len(s.Messages()) != 1 {
		t.Errorf("%d messages", len(s.Messages()))
	}
}

// trailed is a server with a trail of a small world.
func trailed(t testing.TB, f server.Faults) (*server.Server, *simulate.World, string) {
	t.Helper()
	w := world(t, simulate.Config{Seed: 7, Days: 7, Events: 2500, Regions: []string{"us-east-1"}})
	dir := t.TempDir()
	if _, err := simulate.WriteTrail(context.Background(), w, dir, simulate.TrailOptions{Compress: true, Digests: true}); err != nil {
		t.Fatal(err)
	}
	return start(t, server.Options{World: w, Bucket: server.Bucket{Dir: dir}, Faults: f}), w, dir
}

func TestBucket(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s, w, dir := trailed(t, server.Faults{})
	var onDisk []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if rel, _ := filepath.Rel(dir, path); err == nil && !d.IsDir() && !simulate.IsSidecar(filepath.ToSlash(rel)) {
			onDisk = append(onDisk, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(onDisk)
	for _, pathStyle := range []bool{true, false} {
		client := s3.NewFromConfig(sdk(s, "us-east-1", "dummy"), func(o *s3.Options) { o.UsePathStyle = pathStyle })
		bucket := aws.String(simulate.TrailBucket)
		var keys []string
		for pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: bucket, MaxKeys: aws.Int32(700)}); pages.HasMorePages(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range page.Contents {
				keys = append(keys, *o.Key)
			}
		}
		if diff := cmp.Diff(onDisk, keys); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		// By folder, as a day's set is listed.
		folders, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket, Prefix: aws.String("AWSLogs/" + w.OrganizationID() + "/"), Delimiter: aws.String("/")})
		if err != nil || len(folders.CommonPrefixes) != 3 || len(folders.Contents) != 0 {
			t.Fatalf("%+v, %v", folders, err)
		}
		after, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket, StartAfter: aws.String(keys[len(keys)-3])})
		if err != nil || len(after.Contents) != 2 {
			t.Fatalf("%+v, %v", after, err)
		}
		first, err := client.ListObjects(ctx, &s3.ListObjectsInput{Bucket: bucket, Marker: aws.String(keys[len(keys)-3])})
		if err != nil || len(first.Contents) != 2 {
			t.Fatalf("%+v, %v", first, err)
		}
		key := aws.String(keys[0])
		body, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(*key)))
		if err != nil {
			t.Fatal(err)
		}
		for spec, want := range map[string][]byte{"": body, "bytes=0-9": body[:10], "bytes=10-": body[10:], "bytes=-5": body[len(body)-5:]} {
			in := &s3.GetObjectInput{Bucket: bucket, Key: key}
			if spec != "" {
				in.Range = aws.String(spec)
			}
			out, err := client.GetObject(ctx, in)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(out.Body)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%q: %d bytes, want %d; %v", spec, len(got), len(want), err)
			}
		}
		if _, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key, Range: aws.String("bytes=99999999-")}); code(err) != "InvalidRange" {
			t.Errorf("error %v", err)
		}
		digest := ""
		for _, k := range keys {
			if strings.Contains(k, "Digest") {
				digest = k
			}
		}
		head, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: &digest})
		if err != nil || len(head.Metadata["signature"]) != 512 || head.Metadata["signature-algorithm"] != "SHA256withRSA" || *head.ContentLength == 0 {
			t.Errorf("%+v, %v", head, err)
		}
		location, err := client.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: bucket})
		if err != nil || location.LocationConstraint != "" {
			t.Errorf("%+v, %v", location, err)
		}
		for _, no := range []string{"nothing", simulate.PublicKeysFile, digest + simulate.SignatureSuffix, "../server_test.go"} {
			if _, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: &no}); code(err) != "NoSuchKey" {
				t.Errorf("%s: error %v", no, err)
			}
		}
		if _, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("another-bucket")}); code(err) != "NoSuchBucket" {
			t.Errorf("error %v", err)
		}
		s.SetFaults(faults(t, "kms-denied"))
		if _, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key}); code(err) != "AccessDenied" || !strings.Contains(err.Error(), "kms:Decrypt") {
			t.Errorf("error %v", err)
		}
		if _, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: key}); err != nil {
			t.Error(err)
		}
		s.SetFaults(server.Faults{})
	}
}

func TestTrail(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s, w, _ := trailed(t, server.Faults{})
	client := trail(s, "dummy", "us-east-1")
	out, err := client.DescribeTrails(ctx, &cloudtrail.DescribeTrailsInput{})
	if err != nil || len(out.TrailList) != 1 || *out.TrailList[0].S3BucketName != simulate.TrailBucket || *out.TrailList[0].TrailARN != w.TrailARN() {
		t.Fatalf("%+v, %v", out, err)
	}
	status, err := client.GetTrailStatus(ctx, &cloudtrail.GetTrailStatusInput{Name: out.TrailList[0].TrailARN})
	if err != nil || !*status.IsLogging {
		t.Errorf("%+v, %v", status, err)
	}
	if _, err := client.GetTrailStatus(ctx, &cloudtrail.GetTrailStatusInput{Name: aws.String("other")}); code(err) != "TrailNotFoundException" {
		t.Errorf("error %v", err)
	}
	keys, err := client.ListPublicKeys(ctx, &cloudtrail.ListPublicKeysInput{StartTime: aws.Time(end.AddDate(0, 0, -7)), EndTime: aws.Time(end)})
	if err != nil || len(keys.PublicKeyList) != 1 {
		t.Fatalf("%+v, %v", keys, err)
	}
	want, err := w.DigestKey("us-east-1")
	if err != nil || !bytes.Equal(keys.PublicKeyList[0].Value, want.PublicDER) || *keys.PublicKeyList[0].Fingerprint != want.Fingerprint {
		t.Errorf("%+v, %v", keys, err)
	}
	bare := start(t, server.Options{})
	none, err := trail(bare, "dummy", "us-east-1").DescribeTrails(ctx, &cloudtrail.DescribeTrailsInput{})
	if err != nil || len(none.TrailList) != 0 {
		t.Errorf("%+v, %v", none, err)
	}
}

// What is no request of AWS's is refused in good order.
func TestStrayRequests(t *testing.T) {
	t.Parallel()
	s := start(t, server.Options{})
	signed := "AWS4-HMAC-SHA256 Credential=dummy/20261122/us-east-1/%/aws4_request, SignedHeaders=host, Signature=0"
	for _, c := range []struct {
		method, path, service, target, kind, body string
		want                                      int
		says                                      string
	}{
		{"GET", "/", "", "", "", "", 403, "AccessDenied"},
		{"POST", "/", "", "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents", "application/x-amz-json-1.1", "{}", 400, "MissingAuthenticationTokenException"},
		{"POST", "/", "", "", "application/x-www-form-urlencoded", "Action=GetCallerIdentity", 403, "MissingAuthenticationToken"},
		{"POST", "/", "cloudtrail", "x.LookupEvents", "application/cbor", "", 415, "UnsupportedMediaTypeException"},
		{"POST", "/", "cloudtrail", "x.LookupEvents", "application/x-amz-json-1.1", "{", 400, "SerializationException"},
		{"POST", "/", "cloudtrail", "x.StopLogging", "application/x-amz-json-1.1", "{}", 400, "UnknownOperationException"},
		{"POST", "/", "organizations", "x.LeaveOrganization", "application/x-amz-json-1.1", "{}", 400, "UnknownOperationException"},
		{"POST", "/", "sso", "x.DeleteInstance", "application/x-amz-json-1.1", "{}", 400, "UnknownOperationException"},
		{"POST", "/", "sts", "", "", "Action=AssumeRoot", 400, "InvalidAction"},
		{"POST", "/", "ec2", "", "", "Action=RunInstances", 400, "InvalidAction"},
		{"POST", "/", "iam", "", "", "Action=CreateUser", 400, "InvalidAction"},
		{"POST", "/", "sns", "", "", "Action=%zz", 400, "MalformedQueryString"},
		{"POST", "/enableRegion", "account", "", "application/json", "{}", 400, "UnknownOperationException"},
		{"PUT", "/bucket/key", "s3", "", "", "x", 404, "NoSuchBucket"},
		{"POST", "/", "lambda", "", "", "", 404, "UnknownService"},
		{"POST", "/", "sts", "", "", strings.Repeat("x", 1<<20+1), 413, "RequestEntityTooLarge"},
	} {
		r, err := http.NewRequestWithContext(context.Background(), c.method, server.Endpoint+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if c.service != "" {
			r.Header.Set("Authorization", strings.Replace(signed, "%", c.service, 1))
		}
		r.Header.Set("X-Amz-Target", c.target)
		r.Header.Set("Content-Type", c.kind)
		out, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(out.Body)
		_ = out.Body.Close()
		if err != nil || out.StatusCode != c.want || !strings.Contains(string(body), c.says) {
			t.Errorf("%+v: %d %s %v", c, out.StatusCode, body, err)
		}
		if out.Header.Get("Date") != end.Format(http.TimeFormat) {
			t.Errorf("Date is %q", out.Header.Get("Date"))
		}
	}
}
