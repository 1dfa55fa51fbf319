package awsapi

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/athena"
	"github.com/aws/aws-sdk-go-v2/service/athena/types"
)

// Athena asks queries of one region's Athena, with the session's own credentials.
// Its requests have the SDK's retries, patient ones: whoever is throttled waits.
type Athena struct {
	s      *Session
	region string
	client *athena.Client
}

// Athena returns a region's Athena; an empty region is the session's. It asks
// nobody.
func (s *Session) Athena(region string) *Athena {
	if region == "" {
		region = s.base.Region
	}
	return &Athena{s: s, region: region, client: athena.NewFromConfig(s.base, func(o *athena.Options) {
		o.Region = region
		o.Retryer = retry.NewStandard(func(r *retry.StandardOptions) { r.MaxAttempts, r.MaxBackoff = 8, 20*time.Second })
	})}
}

// Region is where the queries are asked.
func (a *Athena) Region() string { return a.region }

// AthenaQuery is a statement to be run.
type AthenaQuery struct {
	SQL       string // at most 262,144 bytes
	Workgroup string
	Catalog   string // "": AwsDataCatalog
	Database  string
	// Output is where results are written, s3://BUCKET/PREFIX/; "": as the
	// workgroup says, which may overrule it.
	Output string
	// Token names the request, 32 to 128 characters: a second one with the same
	// token starts nothing, and has the first one's answer.
	Token string
}

// StartQuery starts a query and returns its id. Permission:
// athena:StartQueryExecution on the workgroup; what the query itself needs shows
// when it has failed.
//
// Source: Amazon Athena API Reference, "StartQueryExecution".
func (a *Athena) StartQuery(ctx context.Context, q AthenaQuery) (string, error) {
	in := &athena.StartQueryExecutionInput{
		QueryString: aws.String(q.SQL), WorkGroup: aws.String(q.Workgroup), ClientRequestToken: aws.String(q.Token),
		QueryExecutionContext: &types.QueryExecutionContext{Database: aws.String(q.Database)},
	}
	if q.Catalog != "" {
		in.QueryExecutionContext.Catalog = aws.String(q.Catalog)
	}
	if q.Output != "" {
		in.ResultConfiguration = &types.ResultConfiguration{OutputLocation: aws.String(q.Output)}
	}
	var out *athena.StartQueryExecutionOutput
	err := a.do(ctx, "start an Athena query", "athena:StartQueryExecution", "workgroup "+q.Workgroup, func(ctx context.Context) (err error) {
		out, err = a.client.StartQueryExecution(ctx, in)
		return err
	})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.QueryExecutionId), nil
}

// AthenaState is how far a query is.
type AthenaState struct {
	// State is QUEUED, RUNNING, SUCCEEDED, FAILED or CANCELLED.
	State string
	// Reason is why, one printable line; empty for a query that goes well.
	Reason string
	// Retryable: Athena says that the same query may do better.
	Retryable bool
	// Statement is DML (a SELECT is one), DDL or UTILITY.
	Statement string
	// BytesScanned is what it has read in S3 up to now.
	BytesScanned int64
}

// QueryState asks how far a query is. Permission: athena:GetQueryExecution.
//
// Source: Amazon Athena API Reference, "QueryExecution".
func (a *Athena) QueryState(ctx context.Context, id string) (AthenaState, error) {
	var out *athena.GetQueryExecutionOutput
	err := a.do(ctx, "ask for the state of an Athena query", "athena:GetQueryExecution", id, func(ctx context.Context) (err error) {
		out, err = a.client.GetQueryExecution(ctx, &athena.GetQueryExecutionInput{QueryExecutionId: aws.String(id)})
		return err
	})
	if err != nil {
		return AthenaState{}, err
	}
	var s AthenaState
	if x := out.QueryExecution; x != nil {
		s.Statement = string(x.StatementType)
		if x.Status != nil {
			s.State, s.Reason = string(x.Status.State), oneLine(aws.ToString(x.Status.StateChangeReason), maxReason)
			if e := x.Status.AthenaError; e != nil {
				s.Retryable = e.Retryable
				if s.Reason == "" {
					s.Reason = oneLine(aws.ToString(e.ErrorMessage), maxReason)
				}
			}
		}
		if x.Statistics != nil {
			s.BytesScanned = aws.ToInt64(x.Statistics.DataScannedInBytes)
		}
	}
	return s, nil
}

// maxReason bounds what Athena writes of a failure, in characters: long enough for
// the path of a file after the words about it.
const maxReason = 1500

// AthenaColumn is a column of a result.
type AthenaColumn struct {
	Name             string
	Type             string // such as varchar, in lower case, without parameters
	Precision, Scale int    // of a decimal
}

// AthenaPage is a part of a result.
type AthenaPage struct {
	Columns []AthenaColumn
	Rows    [][]*string // nil: NULL
	Token   string      // of the next page; empty at the end
}

// QueryResults returns a page of the result of a query that has succeeded, as it is:
// the first row of a SELECT has the columns' names. Permission:
// athena:GetQueryResults, and s3:GetObject where results are written.
//
// Source: Amazon Athena API Reference, "GetQueryResults".
func (a *Athena) QueryResults(ctx context.Context, id, token string) (AthenaPage, error) {
	in := &athena.GetQueryResultsInput{QueryExecutionId: aws.String(id), MaxResults: aws.Int32(1000)} // the most
	if token != "" {
		in.NextToken = aws.String(token)
	}
	var out *athena.GetQueryResultsOutput
	err := a.do(ctx, "read the result of an Athena query", "athena:GetQueryResults", id, func(ctx context.Context) (err error) {
		out, err = a.client.GetQueryResults(ctx, in)
		return err
	})
	if err != nil {
		return AthenaPage{}, err
	}
	p := AthenaPage{Token: aws.ToString(out.NextToken)}
	if out.ResultSet == nil {
		return p, nil
	}
	if m := out.ResultSet.ResultSetMetadata; m != nil {
		for i := range m.ColumnInfo {
			c := &m.ColumnInfo[i]
			p.Columns = append(p.Columns, AthenaColumn{Name: aws.ToString(c.Name), Type: aws.ToString(c.Type), Precision: int(c.Precision), Scale: int(c.Scale)})
		}
	}
	for i := range out.ResultSet.Rows {
		data := out.ResultSet.Rows[i].Data
		row := make([]*string, len(data))
		for k := range data {
			row[k] = data[k].VarCharValue
		}
		p.Rows = append(p.Rows, row)
	}
	return p, nil
}

// StopQuery stops a query; one that has ended stays as it is. Permission:
// athena:StopQueryExecution.
//
// Source: Amazon Athena API Reference, "StopQueryExecution".
func (a *Athena) StopQuery(ctx context.Context, id string) error {
	return a.do(ctx, "stop an Athena query", "athena:StopQueryExecution", id, func(ctx context.Context) error {
		_, err := a.client.StopQueryExecution(ctx, &athena.StopQueryExecutionInput{QueryExecutionId: aws.String(id)})
		return err
	})
}

func (a *Athena) do(ctx context.Context, op, action, resource string, send func(context.Context) error) error {
	_, err := a.s.own.do(ctx, call{op: op, action: action, region: a.region, resource: resource}, send)
	return err
}
