// Package cost estimates what a stack costs a month: from the events of an account, what
// the stack was measured to use for each (units.yaml), and AWS's prices (prices.yaml,
// which has a date; a file of the user's may take its place). It is pure, and asks
// nobody. docs/cost.md is made with it.
package cost

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
)

//go:embed prices.yaml
var pricesFile []byte

//go:embed units.yaml
var unitsFile []byte

// Prices are what AWS asks for.
type Prices struct {
	Date   time.Time `yaml:"date"`
	Region string    `yaml:"region"`
	Free   struct {
		// Used: something else in the account uses what is free.
		Used            bool    `yaml:"used"`
		WriteCapacity   float64 `yaml:"provisioned_write_units"`
		ReadCapacity    float64 `yaml:"provisioned_read_units"`
		TableGB         float64 `yaml:"table_gb"`
		LambdaRequests  float64 `yaml:"lambda_requests"`
		LambdaGBSeconds float64 `yaml:"lambda_gb_seconds"`
		LogGB           float64 `yaml:"log_gb"`
		Metrics         float64 `yaml:"metrics"`
		Alarms          float64 `yaml:"alarms"`
	} `yaml:"free"`
	Prices struct {
		WriteCapacityHour     float64 `yaml:"provisioned_write_unit_hour"`
		ReadCapacityHour      float64 `yaml:"provisioned_read_unit_hour"`
		WriteUnitsMillion     float64 `yaml:"write_units_million"`
		ReadUnitsMillion      float64 `yaml:"read_units_million"`
		TableGB               float64 `yaml:"table_gb"`
		BackupGB              float64 `yaml:"backup_gb"`
		LambdaRequestsMillion float64 `yaml:"lambda_requests_million"`
		LambdaGBSecondARM     float64 `yaml:"lambda_gb_second_arm64"`
		LambdaGBSecondX86     float64 `yaml:"lambda_gb_second_x86_64"`
		S3GB                  float64 `yaml:"s3_gb"`
		S3PutsThousand        float64 `yaml:"s3_puts_thousand"`
		S3GetsThousand        float64 `yaml:"s3_gets_thousand"`
		AthenaTB              float64 `yaml:"athena_tb"`
		LogGB                 float64 `yaml:"log_gb"`
		LogGBKept             float64 `yaml:"log_gb_kept"`
		Metric                float64 `yaml:"metric"`
		Alarm                 float64 `yaml:"alarm"`
	} `yaml:"prices"`
}

// Units are what the stack uses; units.yaml says of each how it was found.
type Units struct {
	WriteUnitsPerEvent            float64 `yaml:"write_units_per_event"`
	WriteUnitsPerStreamRun        float64 `yaml:"write_units_per_stream_run"`
	ReadUnitsPerEvent             float64 `yaml:"read_units_per_event"`
	WriteUnitsPerRealtimeEvent    float64 `yaml:"write_units_per_realtime_event"`
	ReadUnitsPerRealtimeEvent     float64 `yaml:"read_units_per_realtime_event"`
	RealtimeShare                 float64 `yaml:"realtime_share"`
	ReadUnitsPerStreamRun         float64 `yaml:"read_units_per_stream_run"`
	ReadUnitsPerNotifierRun       float64 `yaml:"read_units_per_notifier_run"`
	TableBytesPerEvent            float64 `yaml:"table_bytes_per_event"`
	RunSeconds                    float64 `yaml:"run_seconds"`
	RunStreams                    float64 `yaml:"run_streams"`
	SecondsPerThousandEvents      float64 `yaml:"seconds_per_thousand_events"`
	NotifierSeconds               float64 `yaml:"notifier_seconds"`
	ExportSeconds                 float64 `yaml:"export_seconds"`
	ExportSecondsPerMillionEvents float64 `yaml:"export_seconds_per_million_events"`
	RealtimeSecondsPerEvent       float64 `yaml:"realtime_seconds_per_event"`
	LakeBytesPerEvent             float64 `yaml:"lake_bytes_per_event"`
	KeysBytesPerEvent             float64 `yaml:"keys_bytes_per_event"`
	FilteredBytesPerEvent         float64 `yaml:"filtered_bytes_per_event"`
	EventsPerInboxObject          float64 `yaml:"events_per_inbox_object"`
	PutsPerExportedDay            float64 `yaml:"puts_per_exported_day"`
	ExportedDays                  float64 `yaml:"exported_days"`
	LogBytesPerRun                float64 `yaml:"log_bytes_per_run"`
	Metrics                       float64 `yaml:"metrics"`
	Alarms                        float64 `yaml:"alarms"`
	AllAlarms                     float64 `yaml:"all_alarms"`
}

// DefaultPrices are those that the program comes with.
func DefaultPrices() Prices {
	p, err := ReadPrices(pricesFile)
	if err != nil {
		panic(err) // a test reads it
	}
	return p
}

// DefaultUnits are those that were measured.
func DefaultUnits() Units {
	var u Units
	if err := strict(unitsFile, &u); err != nil {
		panic(err) // a test reads it
	}
	return u
}

// ReadPrices reads a file of the form of prices.yaml; every price must be there.
func ReadPrices(data []byte) (Prices, error) {
	var p Prices
	if err := strict(data, &p); err != nil {
		return p, err
	}
	if p.Date.IsZero() {
		return p, errors.New("the date is missing: of when are the prices?")
	}
	return p, nil
}

// strict decodes YAML that has each field and no other; numbers are not negative.
func strict(data []byte, to any) error {
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(to); errors.Is(err, io.EOF) {
		return errors.New("there is nothing in it")
	} else if err != nil {
		return err
	}
	var names map[string]any
	if err := yaml.Unmarshal(data, &names); err != nil {
		return err
	}
	return complete(reflect.ValueOf(to).Elem(), names, "")
}

func complete(v reflect.Value, has map[string]any, prefix string) error {
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		value, ok := has[name]
		if !ok {
			return fmt.Errorf("%s%s is missing", prefix, name)
		}
		switch f := v.Field(i); f.Kind() {
		case reflect.Float64:
			if n := f.Float(); n < 0 || math.IsNaN(n) || math.IsInf(n, 0) {
				return fmt.Errorf("%s%s: %v is no amount", prefix, name, value)
			}
		case reflect.Struct:
			if inner, ok := value.(map[string]any); ok {
				if err := complete(f, inner, name+"."); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Volume is what happens in the accounts of a stack.
type Volume struct {
	Stored   float64 // events a day that are kept
	Filtered float64 // events a day that are left out and counted
	Streams  float64 // event sources in regions of accounts
}

// Setup is how the stack is set up, as far as it matters for its cost.
type Setup struct {
	OnDemand                          bool
	ReadCapacity, WriteCapacity       float64 // provisioned, otherwise
	ARM                               bool
	Analytics, Realtime, Alerts       bool
	AllAlarms                         bool
	Runs, Exports, Notices            float64 // a day
	TrackerMB, ExporterMB, NotifierMB float64
	HotDays                           float64
	LogDays                           float64
	LakeMonths                        float64 // that the lake has grown for
	QueriesGB                         float64 // that Athena scans a month
}

// Line is one item of a bill.
type Line struct {
	Service  string
	What     string
	Quantity float64
	Unit     string
	Free     float64 // of the quantity
	USD      float64
}

// Estimate is a bill of a month.
type Estimate struct {
	Lines []Line
	// Total is in USD, the sum of the lines.
	Total float64
	// Notes say what does not fit.
	Notes []string
}

// runLimit is how many seconds the template gives a run of the tracker.
const runLimit = 300

const (
	days  = 365. / 12 // of a month
	hours = days * 24
	gb    = 1 << 30
)

// Monthly estimates a month.
func Monthly(v Volume, s Setup, u Units, p Prices) Estimate {
	var e Estimate
	add := func(service, what string, quantity float64, unit string, free, price float64) {
		if quantity == 0 {
			return
		}
		if p.Free.Used {
			free = 0
		}
		l := Line{Service: service, What: what, Quantity: quantity, Unit: unit, Free: min(free, quantity)}
		l.USD = (quantity - l.Free) * price
		e.Lines, e.Total = append(e.Lines, l), e.Total+l.USD
	}

	// Events that EventBridge delivers come one by one, before the tracker sees them.
	realtime := 0.
	if s.Realtime {
		realtime = v.Stored * u.RealtimeShare
	}
	collected := v.Stored - realtime
	writes := days * (collected*u.WriteUnitsPerEvent + realtime*u.WriteUnitsPerRealtimeEvent + s.Runs*v.Streams*u.WriteUnitsPerStreamRun)
	reads := days * (collected*u.ReadUnitsPerEvent + realtime*u.ReadUnitsPerRealtimeEvent + s.Runs*v.Streams*u.ReadUnitsPerStreamRun)
	if s.Alerts {
		reads += days * s.Notices * u.ReadUnitsPerNotifierRun
	}
	if s.OnDemand {
		add("DynamoDB", "writing", writes/1e6, "million write units", 0, p.Prices.WriteUnitsMillion)
		add("DynamoDB", "reading", reads/1e6, "million read units", 0, p.Prices.ReadUnitsMillion)
	} else {
		add("DynamoDB", "write capacity", s.WriteCapacity, "units", p.Free.WriteCapacity, hours*p.Prices.WriteCapacityHour)
		add("DynamoDB", "read capacity", s.ReadCapacity, "units", p.Free.ReadCapacity, hours*p.Prices.ReadCapacityHour)
		// The busiest hour of a day has several times the average.
		for _, c := range []struct {
			what      string
			used, has float64
		}{{"write", writes / (hours * 3600), s.WriteCapacity}, {"read", reads / (hours * 3600), s.ReadCapacity}} {
			if c.used > c.has/2 {
				e.Notes = append(e.Notes, fmt.Sprintf("the table needs %s %s units a second on average and has %s: collection would lag behind at busy hours; set BillingMode=PAY_PER_REQUEST",
					figure(c.used), c.what, figure(c.has)))
			}
		}
	}
	keptDays := s.HotDays
	if !s.Analytics {
		keptDays = max(keptDays, days*s.LakeMonths)
	}
	table := v.Stored * keptDays * u.TableBytesPerEvent / gb
	add("DynamoDB", "storage", table, "GB", p.Free.TableGB, p.Prices.TableGB)
	add("DynamoDB", "continuous backup", table, "GB", 0, p.Prices.BackupGB)

	second := p.Prices.LambdaGBSecondX86
	if s.ARM {
		second = p.Prices.LambdaGBSecondARM
	}
	all := v.Stored + v.Filtered
	run := u.RunSeconds
	if u.RunStreams > 0 {
		run *= max(1, v.Streams/u.RunStreams)
	}
	if run > runLimit {
		e.Notes = append(e.Notes, fmt.Sprintf("to look at all streams takes %s seconds, more than the %d of a run: several runs share it, and collection is behind by as much", figure(run), runLimit))
		run = runLimit
	}
	tracker := days * (s.Runs*run + all/1000*u.SecondsPerThousandEvents) * s.TrackerMB / 1024
	requests := days * s.Runs
	seconds := tracker
	if s.Analytics {
		seconds += days * (s.Exports*u.ExportSeconds + v.Stored*u.ExportedDays/1e6*u.ExportSecondsPerMillionEvents) * s.ExporterMB / 1024
		requests += days * s.Exports
	}
	if s.Alerts {
		seconds += days * s.Notices * u.NotifierSeconds * s.NotifierMB / 1024
		requests += days * s.Notices
	}
	if s.Realtime {
		seconds += days * realtime * u.RealtimeSecondsPerEvent * s.TrackerMB / 1024
		requests += days * realtime
	}
	add("Lambda", "duration", seconds, "GB-seconds", p.Free.LambdaGBSeconds, second)
	add("Lambda", "invocations", requests/1e6, "million", p.Free.LambdaRequests/1e6, p.Prices.LambdaRequestsMillion)

	if s.Analytics {
		stored := days * s.LakeMonths * (v.Stored*(u.LakeBytesPerEvent+u.KeysBytesPerEvent) + v.Filtered*u.FilteredBytesPerEvent)
		add("S3", "storage of the lake", stored/gb, "GB", 0, p.Prices.S3GB)
		// A page of a stream is an object; a quiet stream has less than a page in a run.
		objects := realtime + min(collected, collected/u.EventsPerInboxObject+s.Runs*min(v.Streams, 4))
		exported := u.ExportedDays * s.Exports * u.PutsPerExportedDay
		add("S3", "writing", days*(objects+exported)/1000, "thousand requests", 0, p.Prices.S3PutsThousand)
		add("S3", "reading", days*(2*objects+3*exported)/1000, "thousand requests", 0, p.Prices.S3GetsThousand)
		add("Athena", "scanned by queries", s.QueriesGB/1024, "TB", 0, p.Prices.AthenaTB)
	}

	logs := requests * u.LogBytesPerRun / gb
	add("CloudWatch", "logs taken in", logs, "GB", p.Free.LogGB, p.Prices.LogGB)
	add("CloudWatch", "logs kept", logs*s.LogDays/days, "GB", p.Free.LogGB, p.Prices.LogGBKept)
	add("CloudWatch", "metrics", u.Metrics, "metrics", p.Free.Metrics, p.Prices.Metric)
	alarms := u.Alarms
	if s.AllAlarms {
		alarms = u.AllAlarms
	}
	add("CloudWatch", "alarms", alarms, "alarms", p.Free.Alarms, p.Prices.Alarm)
	return e
}

// figure is a number as people read it: three digits.
func figure(f float64) string {
	switch {
	case f >= 1000:
		n := strconv.FormatFloat(math.Round(f), 'f', 0, 64)
		for i := len(n) - 3; i > 0; i -= 3 {
			n = n[:i] + "," + n[i:]
		}
		return n
	case f >= 100:
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	return strconv.FormatFloat(f, 'g', 3, 64)
}

// USD is an amount of money as people read it.
func USD(f float64) string {
	if f > 0 && f < 0.005 {
		return "< 0.01"
	}
	return strconv.FormatFloat(f, 'f', 2, 64)
}

// String is the amount in words: "21,600 GB-seconds, of which 21,600 free".
func (l Line) String() string {
	text := figure(l.Quantity) + " " + l.Unit
	switch {
	case l.Free >= l.Quantity:
		text += ", free"
	case l.Free > 0:
		text += ", " + figure(l.Free) + " of them free"
	}
	return text
}
