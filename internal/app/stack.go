package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/config"
	"github.com/iamtrack/iamtrack/internal/event"
	"github.com/iamtrack/iamtrack/internal/lake"
	"github.com/iamtrack/iamtrack/internal/lake/s3lake"
	"github.com/iamtrack/iamtrack/internal/store/dynamo"
)

// Parts are what a stack in AWS is made of, as far as programs work on it.
type Parts struct {
	Stack string
	Table string // of DynamoDB
	// Bucket has the lake; empty when the stack keeps none.
	Bucket              string
	Database, Workgroup string // of Athena
	Topic               string // ARN, of SNS
	Exporter            string // name of the function
	// What only permissions are about: the stack's ARN, where Athena writes results
	// (s3://…), and the ARN of the key that encrypts all; the last two may be empty.
	ID, Results, KMSKey string
	// HotDays and LakeDays are how long the stack's functions keep events, as its
	// parameters say; HotDays 0: not known, and the settings say.
	HotDays, LakeDays int
}

// Outputs of the stack's template that say what its parts are.
const (
	OutputTable     = "Table"
	OutputBucket    = "Bucket"
	OutputDatabase  = "Database"
	OutputWorkgroup = "Workgroup"
	OutputTopic     = "Topic"
	OutputExporter  = "ExporterFunction"
	OutputResults   = "AthenaResults"

	// ParameterKMSKey is the parameter of the template that names a customer's key.
	ParameterKMSKey = "KmsKeyArn"
	// Those that say how long events are kept, in days.
	parameterHotDays  = "HotDays"
	parameterLakeDays = "LakeDays"
)

// FindStack asks CloudFormation what a stack is made of.
func FindStack(ctx context.Context, s *awsapi.Session, name string) (Parts, error) {
	st, err := s.Stack(ctx, name)
	if err != nil {
		return Parts{}, err
	}
	p := Parts{
		Stack: st.Name, Table: st.Outputs[OutputTable], Bucket: st.Outputs[OutputBucket], Database: st.Outputs[OutputDatabase],
		Workgroup: st.Outputs[OutputWorkgroup], Topic: st.Outputs[OutputTopic], Exporter: st.Outputs[OutputExporter],
		ID: st.ID, Results: st.Outputs[OutputResults], KMSKey: st.Parameters[ParameterKMSKey],
	}
	// What isn't a number isn't one of iamtrack's stacks, which shows below.
	if hot, err := strconv.Atoi(st.Parameters[parameterHotDays]); err == nil {
		p.HotDays = hot
		p.LakeDays, _ = strconv.Atoi(st.Parameters[parameterLakeDays])
	}
	if p.Table == "" {
		why := "it isn't one of iamtrack's"
		if !strings.HasSuffix(st.Status, "_COMPLETE") || strings.HasPrefix(st.Status, "ROLLBACK_") || strings.HasPrefix(st.Status, "DELETE_") {
			why = "its state is " + st.Status
			if st.Reason != "" {
				why += " (" + st.Reason + ")"
			}
		}
		return Parts{}, fmt.Errorf("the stack %s in %s has no output %s: %s", name, s.Region(), OutputTable, why)
	}
	return p, nil
}

// PartsOfEnvironment are the parts that a function of the stack is told.
func PartsOfEnvironment(lookup func(string) (string, bool)) (Parts, error) {
	get := func(name string) string { v, _ := lookup(name); return v }
	p := Parts{Stack: get("IAMTRACK_STACK"), Table: get("IAMTRACK_TABLE"), Bucket: get("IAMTRACK_BUCKET")}
	if p.Table == "" {
		return p, errors.New("the environment variable IAMTRACK_TABLE is not set: it names the stack's table in DynamoDB")
	}
	return p, nil
}

// stackHotDays is how many days a stack's table keeps events, unless the setting
// hot_days says otherwise.
const stackHotDays = 7

// OpenStack opens the parts of a stack. The table isn't asked yet; what is wrong with
// it shows with the first call.
func OpenStack(ctx context.Context, cfg config.Config, s *awsapi.Session, p Parts, o Options) (*App, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	switch {
	case p.HotDays > 0:
		cfg.HotDays, cfg.LakeDays = p.HotDays, p.LakeDays
	case cfg.Origin("hot_days") == "default":
		cfg.HotDays = stackHotDays
	}
	d := dynamo.Options{Now: o.Now, Keep: time.Duration(cfg.HotDays) * 24 * time.Hour}
	bucket := lake.OpenMem() // stays empty: without a lake's bucket, rows stay in the table, as many days as a lake would keep
	if p.Bucket == "" {
		d.Keep = time.Duration(cfg.LakeDays) * 24 * time.Hour // 0: for ever
	} else {
		b, err := s.Bucket(ctx, p.Bucket)
		if err != nil {
			return nil, fmt.Errorf("open the lake of the stack: %w", err)
		}
		s3 := s3lake.New(b, "")
		bucket, d.Blobs = s3, blobs{s3}
	}
	a, err := New(cfg, dynamo.Open(s.DynamoDB(""), p.Table, d), bucket, o)
	if err != nil {
		return nil, err
	}
	a.Parts = p
	if p.Bucket == "" {
		a.Pipeline.Inbox, a.Pipeline.NoLake = nil, true
	}
	return a, nil
}

// blobs keeps what is too large for an item of the table in the lake's bucket.
type blobs struct{ b lake.Bucket }

func (s blobs) Put(ctx context.Context, key string, data []byte) error {
	w, err := s.b.Create(ctx, key)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return errors.Join(err, w.Abort())
	}
	if _, err := w.Commit(""); err != nil && !errors.Is(err, lake.ErrChanged) { // it is there
		return err
	}
	return nil
}

func (s blobs) Get(ctx context.Context, key string) ([]byte, error) {
	r, err := s.b.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.NewSectionReader(r, 0, r.Object().Size))
	return data, cmp.Or(err, r.Close())
}

// TableOnly reports whether this is a stack that has no lake: the table keeps all.
func (a *App) TableOnly() bool { return a.Parts.Table != "" && a.Parts.Bucket == "" }

// waiting tells what the lake of a stack lacks.
func (a *App) waiting(ctx context.Context) (Freshness, error) {
	f := Freshness{AsOf: a.now().UTC()}
	if a.TableOnly() {
		return f, nil
	}
	w, err := a.Pipeline.Inbox.Waiting(ctx)
	if err != nil {
		return f, err
	}
	if w.Objects > 0 {
		f.AsOf, f.Newer = w.Since.UTC(), w.Events
	}
	return f, nil
}

// Event reads a stored event: from the lake, or from the table of a stack that has
// none.
func (a *App) Event(ctx context.Context, key event.Key, date event.Date) (event.Event, error) {
	if a.TableOnly() {
		return a.Store.Event(ctx, key)
	}
	return a.Lake.Event(ctx, key, date)
}
