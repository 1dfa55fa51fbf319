package function

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/config"
	"github.com/iamtrack/iamtrack/internal/notify"
)

// Environment is what a function is told by its environment, besides the settings
// of package config (IAMTRACK_…, and the earlier tool's names).
type Environment struct {
	Handler string // _HANDLER: one of Names
	Stack   string // IAMTRACK_STACK: the stack's name
}

// ReadEnvironment reads and checks the environment.
func ReadEnvironment(lookup func(string) (string, bool)) (Environment, error) {
	get := func(name string) string { v, _ := lookup(name); return v }
	e := Environment{Handler: get("_HANDLER"), Stack: get("IAMTRACK_STACK")}
	if get("AWS_LAMBDA_RUNTIME_API") == "" {
		return e, errors.New("bootstrap is the program that AWS Lambda starts, and does nothing elsewhere (AWS_LAMBDA_RUNTIME_API is not set): use the command iamtrack")
	}
	return e, Known(e.Handler)
}

// Main serves the invocations of AWS Lambda until the instance ends. Nothing is
// asked of AWS before the first one: what can't be opened is the error of the
// invocation that needs it, and the next one tries again.
func Main(version string) {
	env, err := ReadEnvironment(os.LookupEnv)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bootstrap:", err)
		os.Exit(2)
	}
	var fs *Functions
	lambda.Start(func(ctx context.Context, payload json.RawMessage) (any, error) {
		if fs == nil {
			opened, err := Open(ctx, env, version, os.LookupEnv, os.Stdout, nil)
			if err != nil {
				NewLog(os.Stdout, slog.LevelInfo).ErrorContext(ctx, env.Handler+" could not start", slog.String("error", err.Error()))
				return nil, err
			}
			fs = opened
		}
		return fs.Invoke(ctx, env.Handler, payload)
	})
}

// Settings reads the settings from the environment. A function keeps nothing on its
// disk and needs no home there.
func Settings(lookup func(string) (string, bool)) (config.Config, error) {
	return config.Load(config.Input{Flags: map[string]string{"data-dir": os.TempDir()}, LookupEnv: lookup})
}

// Open opens what the functions of a stack work on, as the environment says. record,
// when it isn't nil, is told of each call to AWS.
func Open(ctx context.Context, env Environment, version string, lookup func(string) (string, bool), log io.Writer, record func(awsapi.Call)) (*Functions, error) {
	cfg, err := Settings(lookup)
	if err != nil {
		return nil, err
	}
	session, err := app.OpenAWS(ctx, cfg, version, record)
	if err != nil {
		return nil, err
	}
	parts, err := app.PartsOfEnvironment(lookup)
	if err != nil {
		return nil, err
	}
	a, err := app.OpenStack(ctx, cfg, session, parts, app.Options{Command: env.Handler, Version: version})
	if err != nil {
		return nil, err
	}
	return &Functions{
		App: a, Session: session,
		Accounts: func(ctx context.Context) ([]*awsapi.Account, error) { return app.Accounts(ctx, cfg, session) },
		Notifier: func(ctx context.Context, sends bool, o notify.Options) *notify.Notifier {
			if !sends {
				return a.NotifierWith(o, lookup, nil)
			}
			return a.Notifier(ctx, o, lookup, func() (*awsapi.Session, error) { return session, nil })
		},
		Log: NewLog(log, level(cfg.LogLevel)), Metrics: &Metrics{W: log, Stack: env.Stack}, Now: time.Now,
	}, nil
}

func level(name string) slog.Level {
	switch strings.ToLower(name) {
	case "debug":
		return slog.LevelDebug
	case "warning":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	default:
		return slog.LevelInfo
	}
}
