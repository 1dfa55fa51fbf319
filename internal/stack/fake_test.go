package stack

import (
	"crypto/md5" //nolint:gosec // as S3 does
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
)

const (
	testAccount = "111122223333"
	testID      = "arn:aws:cloudformation:us-east-1:111122223333:stack/prod/1"
)

// step is what a stack is in next, with the events that lead there.
type step struct {
	status string
	reason string
	events []awsapi.StackEvent
}

// fake is one stack of CloudFormation and what is around it. Each look at the stack
// goes one step on.
type fake struct {
	t       *testing.T
	mu      sync.Mutex
	stack   awsapi.Stack // ID "": there is none
	events  []awsapi.StackEvent
	pending []step
	// onExecute and onDelete begin with these steps.
	onExecute []step
	onDelete  [][]step
	// changeSet is what CloudFormation works out; failed says why it can't.
	changeSet, failed string
	asked             url.Values // of CreateChangeSet
	resources         []awsapi.StackResource
	buckets           map[string]string // and who owns them
	objects           map[string][]byte
	versions          map[string]int // objects of a bucket, to be emptied
	deny              map[string]bool
	functions         map[string][]string // what they answer, one after the other
	calls             []string
}

func newFake(t *testing.T) (*fake, *awsapi.Session) {
	t.Helper()
	poll, breathe = time.Millisecond, time.Millisecond
	t.Cleanup(func() { poll, breathe = 3*time.Second, breather })
	f := &fake{t: t, buckets: map[string]string{}, objects: map[string][]byte{}, versions: map[string]int{}, deny: map[string]bool{}, functions: map[string][]string{}}
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	s, err := awsapi.Open(t.Context(), awsapi.Config{
		EndpointURL: srv.URL, Region: "us-east-1", Alone: true, Keys: &awsapi.Keys{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "secret"},
		Record: func(c awsapi.Call) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.calls = append(f.calls, c.Action)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return f, s
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Error(err)
	}
	w.Header().Set("X-Amzn-RequestId", "1")
	q, _ := url.ParseQuery(string(body))
	switch {
	case strings.Contains(r.Header.Get("Authorization"), "/sts/"):
		f.xml(w, "GetCallerIdentity", "<Account>"+testAccount+"</Account><Arn>arn:aws:iam::"+testAccount+":user/me</Arn><UserId>AIDA</UserId>")
	case strings.Contains(r.URL.Path, "/functions/"):
		f.lambda(w, strings.Split(r.URL.Path, "/")[3], body)
	case q.Get("Action") != "":
		f.cloudformation(w, q)
	default:
		f.s3(w, r, body)
	}
}

func (f *fake) xml(w http.ResponseWriter, action, inner string) {
	w.Header().Set("Content-Type", "text/xml")
	_, _ = fmt.Fprintf(w, "<%[1]sResponse><%[1]sResult>%[2]s</%[1]sResult></%[1]sResponse>", action, inner)
}

func (f *fake) refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>", code, html.EscapeString(message))
}

func (f *fake) lambda(w http.ResponseWriter, name string, _ []byte) {
	answers := f.functions[name]
	w.Header().Set("Content-Type", "application/json")
	if len(answers) == 0 {
		w.Header().Set("X-Amzn-Errortype", "ResourceNotFoundException")
		w.WriteHeader(404)
		_, _ = io.WriteString(w, `{"Message":"Function not found"}`)
		return
	}
	answer := answers[0]
	if len(answers) > 1 {
		f.functions[name] = answers[1:]
	}
	switch {
	case answer == "busy":
		w.Header().Set("X-Amzn-Errortype", "TooManyRequestsException")
		w.WriteHeader(429)
		_, _ = io.WriteString(w, `{"message":"Rate Exceeded."}`)
		return
	case strings.Contains(answer, "errorMessage"):
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
	}
	_, _ = io.WriteString(w, answer)
}

func (f *fake) cloudformation(w http.ResponseWriter, q url.Values) {
	action := q.Get("Action")
	if f.deny["cloudformation:"+action] {
		f.refuse(w, 403, "AccessDenied", "User: arn:aws:iam::"+testAccount+":user/me is not authorized to perform: cloudformation:"+action+" on resource: "+testID)
		return
	}
	known := f.stack.ID != "" && (f.stack.Status != "DELETE_COMPLETE" || q.Get("StackName") == testID)
	if !known && action != "CreateChangeSet" && action != "DeleteStack" {
		f.refuse(w, 400, "ValidationError", "Stack with id "+q.Get("StackName")+" does not exist")
		return
	}
	switch action {
	case "DescribeStacks":
		if len(f.pending) > 0 {
			f.advance(f.pending[0])
			f.pending = f.pending[1:]
		}
		var b strings.Builder
		fmt.Fprintf(&b, "<Stacks><member><StackName>prod</StackName><StackId>%s</StackId><CreationTime>2026-11-22T12:00:00Z</CreationTime><StackStatus>%s</StackStatus><StackStatusReason>%s</StackStatusReason><Parameters>",
			f.stack.ID, f.stack.Status, f.stack.Reason)
		for _, k := range slices.Sorted(maps.Keys(f.stack.Parameters)) {
			fmt.Fprintf(&b, "<member><ParameterKey>%s</ParameterKey><ParameterValue>%s</ParameterValue></member>", k, f.stack.Parameters[k])
		}
		b.WriteString("</Parameters><Outputs>")
		for _, k := range slices.Sorted(maps.Keys(f.stack.Outputs)) {
			fmt.Fprintf(&b, "<member><OutputKey>%s</OutputKey><OutputValue>%s</OutputValue></member>", k, f.stack.Outputs[k])
		}
		b.WriteString("</Outputs></member></Stacks>")
		f.xml(w, action, b.String())
	case "CreateChangeSet":
		if create := q.Get("ChangeSetType") == "CREATE"; create == (f.stack.ID != "" && f.stack.Status != "REVIEW_IN_PROGRESS") {
			f.refuse(w, 400, "ValidationError", "Stack [prod] is in a state that can not be changed so")
			return
		}
		f.asked = q
		if f.stack.ID == "" {
			f.stack = awsapi.Stack{ID: testID, Status: "REVIEW_IN_PROGRESS"}
		}
		f.xml(w, action, "<Id>arn:change</Id><StackId>"+testID+"</StackId>")
	case "DescribeChangeSet":
		if f.failed != "" {
			f.xml(w, action, "<ChangeSetId>arn:change</ChangeSetId><Status>FAILED</Status><StatusReason>"+html.EscapeString(f.failed)+"</StatusReason>")
			return
		}
		execution := "AVAILABLE"
		if f.stack.Status != "REVIEW_IN_PROGRESS" && slices.Contains(f.calls, "cloudformation:ExecuteChangeSet") {
			execution = "EXECUTE_COMPLETE"
		}
		f.xml(w, action, "<ChangeSetId>arn:change</ChangeSetId><StackId>"+testID+"</StackId><Status>CREATE_COMPLETE</Status><ExecutionStatus>"+execution+"</ExecutionStatus>"+f.changeSet)
	case "ExecuteChangeSet":
		f.pending = f.onExecute
		f.xml(w, action, "")
	case "DeleteChangeSet":
		f.xml(w, action, "")
	case "DeleteStack":
		if q.Get("StackName") != testID { // of the name there may be a younger stack
			f.refuse(w, 400, "ValidationError", "not by the stack's id")
			return
		}
		if f.stack.Status == "REVIEW_IN_PROGRESS" {
			f.stack = awsapi.Stack{}
		} else if len(f.onDelete) > 0 {
			f.pending = f.onDelete[0]
			f.onDelete = f.onDelete[1:]
			f.advance(f.pending[0])
			f.pending = f.pending[1:]
		}
		f.xml(w, action, "")
	case "DescribeStackEvents":
		var b strings.Builder
		b.WriteString("<StackEvents>")
		for _, e := range slices.Backward(f.events) {
			fmt.Fprintf(&b, "<member><EventId>%s</EventId><StackId>%s</StackId><StackName>prod</StackName><Timestamp>2026-11-22T12:00:00Z</Timestamp><LogicalResourceId>%s</LogicalResourceId><ResourceType>%s</ResourceType><ResourceStatus>%s</ResourceStatus><ResourceStatusReason>%s</ResourceStatusReason></member>",
				e.ID, testID, e.Resource, e.Type, e.Status, html.EscapeString(e.Reason))
		}
		f.xml(w, action, b.String()+"</StackEvents>")
	case "ListStackResources":
		var b strings.Builder
		b.WriteString("<StackResourceSummaries>")
		for _, r := range f.resources {
			fmt.Fprintf(&b, "<member><LogicalResourceId>%s</LogicalResourceId><PhysicalResourceId>%s</PhysicalResourceId><ResourceType>%s</ResourceType><ResourceStatus>%s</ResourceStatus><LastUpdatedTimestamp>2026-11-22T12:00:00Z</LastUpdatedTimestamp></member>",
				r.Resource, r.PhysicalID, r.Type, r.Status)
		}
		f.xml(w, action, b.String()+"</StackResourceSummaries>")
	default:
		f.t.Errorf("unexpected %s", action)
	}
}

func (f *fake) advance(s step) {
	f.stack.Status, f.stack.Reason = s.status, s.reason
	for _, e := range s.events {
		e.ID = fmt.Sprintf("event-%d", len(f.events)+1)
		f.events = append(f.events, e)
	}
}

func (f *fake) s3(w http.ResponseWriter, r *http.Request, body []byte) {
	w.Header().Set("X-Amz-Request-Id", "1")
	name, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	owner, exists := f.buckets[name]
	want := r.Header.Get("X-Amz-Expected-Bucket-Owner")
	query := r.URL.Query()
	s3error := func(status int, code string) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, code)
	}
	action := map[string]string{"PUT": "s3:PutObject", "HEAD": "s3:GetObject"}[r.Method]
	switch {
	case r.Method == http.MethodPut && key == "" && query.Has("policy"):
		action = "s3:PutBucketPolicy"
	case r.Method == http.MethodPut && key == "" && query.Has("publicAccessBlock"):
		action = "s3:PutBucketPublicAccessBlock"
	case r.Method == http.MethodPut && key == "":
		action = "s3:CreateBucket"
	}
	switch {
	case f.deny[action]:
		s3error(403, "AccessDenied")
	case action == "s3:CreateBucket":
		if exists && owner == testAccount {
			s3error(409, "BucketAlreadyOwnedByYou")
		} else if exists {
			s3error(409, "BucketAlreadyExists")
		} else {
			f.buckets[name] = testAccount
		}
	case !exists:
		s3error(404, "NoSuchBucket")
	case want != "" && want != owner:
		s3error(403, "AccessDenied")
	case r.Method == http.MethodHead && key == "":
		w.Header().Set("X-Amz-Bucket-Region", "us-east-1")
	case query.Has("policy"):
		if !json.Valid(body) {
			f.t.Errorf("policy %s", body)
		}
		f.objects[name+"?policy"] = body
		w.WriteHeader(204)
	case query.Has("publicAccessBlock"):
		f.objects[name+"?public"] = body
	case query.Has("versions"):
		w.Header().Set("Content-Type", "application/xml")
		var b strings.Builder
		for i := range min(f.versions[name], 2) {
			fmt.Fprintf(&b, "<Version><Key>k%d</Key><VersionId>v</VersionId></Version>", i)
		}
		_, _ = fmt.Fprintf(w, "<ListVersionsResult><IsTruncated>%v</IsTruncated><NextKeyMarker>k</NextKeyMarker>%s</ListVersionsResult>", f.versions[name] > 2, b.String())
	case query.Has("delete"):
		f.versions[name] -= strings.Count(string(body), "<Object>")
		w.Header().Set("Content-Type", "application/xml")
		_, _ = io.WriteString(w, "<DeleteResult></DeleteResult>")
	case r.Method == http.MethodPut:
		if _, there := f.objects[name+"/"+key]; there && r.Header.Get("If-None-Match") == "*" {
			s3error(412, "PreconditionFailed")
			return
		}
		f.objects[name+"/"+key] = body
	case r.Method == http.MethodHead:
		data, there := f.objects[name+"/"+key]
		if !there {
			w.WriteHeader(404)
			return
		}
		sum := md5.Sum(data) //nolint:gosec // as S3 does
		w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:])+`"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	default:
		f.t.Errorf("unexpected %s %s", r.Method, r.URL)
	}
}
