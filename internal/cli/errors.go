package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/config"
	"github.com/iamtrack/iamtrack/internal/query"
)

// usageError is a wrong command line: exit code 2.
type usageError struct{ what string }

func (u *usageError) Error() string { return u.what }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// partError says what of the work could not be done: exit code 3.
type partError struct{ what string }

func (p *partError) Error() string { return p.what }

// hintError adds what to do next.
type hintError struct {
	err  error
	hint string
}

func (h *hintError) Error() string { return h.err.Error() }
func (h *hintError) Unwrap() error { return h.err }

func withHint(err error, hint string) error { return &hintError{err, hint} }

// unknown is the usage error of a name that isn't among the known ones.
func unknown(what, name string, known []string, hint string) error {
	err := usagef("unknown %s %q", what, name)
	if near := config.Near(name, known); near != "" {
		return withHint(err, "did you mean "+near+"?")
	}
	if hint == "" {
		hint = what + "s are " + strings.Join(known, ", ")
	}
	return withHint(err, hint)
}

// explain takes an error apart for report.
func explain(err error) (message string, hints []string, code int) {
	code = exitFailed
	var (
		usage   *usageError
		part    *partError
		setting *config.Error
		file    *config.FileError
		channel *config.ChannelError
		hint    *hintError
	)
	switch {
	case errors.As(err, &usage), errors.As(err, &setting), errors.As(err, &file), errors.As(err, &channel), errors.Is(err, query.ErrNotText):
		code = exitUsage
	case errors.As(err, &part):
		code = exitInPart
	}
	if errors.As(err, &hint) {
		hints = append(hints, hint.hint)
	} else if errors.Is(err, app.ErrNoData) {
		hints = append(hints, noDataHint)
	}
	return err.Error(), hints, code
}

// noDataHint is what a newcomer needs most.
const noDataHint = "run `iamtrack demo` to see what it does, or `iamtrack import PATH` with CloudTrail files"

// flagError makes usage errors of pflag's, with the flag that was probably meant.
func flagError(cmd *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	var missing *pflag.NotExistError
	if errors.As(err, &missing) {
		name := missing.GetSpecifiedName()
		var known []string
		collect := func(f *pflag.Flag) {
			if !f.Hidden {
				known = append(known, f.Name)
			}
		}
		cmd.LocalFlags().VisitAll(collect)
		cmd.InheritedFlags().VisitAll(collect)
		if missing.GetSpecifiedShortnames() != "" {
			return withHint(usagef("unknown flag -%s", name), "`"+cmd.CommandPath()+" --help` lists the flags")
		}
		if name == "version" {
			return withHint(usagef("unknown flag --%s", name), "`"+cmd.Root().Name()+" version` tells it")
		}
		if near := config.Near(name, known); near != "" {
			return withHint(usagef("unknown flag --%s", name), "did you mean --"+near+"?")
		}
		return withHint(usagef("unknown flag --%s", name), "`"+cmd.CommandPath()+" --help` lists the flags")
	}
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		what := "is not " + flagKind(invalid.GetFlag())
		if errors.Is(err, strconv.ErrRange) {
			what = "is too large"
		}
		err = fmt.Errorf("--%s %q %s", invalid.GetFlag().Name, invalid.GetValue(), what)
	}
	return withHint(usagef("%v", err), "`"+cmd.CommandPath()+" --help` shows how")
}

// flagKind says what a flag takes, in words.
func flagKind(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "int":
		return "a whole number"
	case "bool":
		return "true or false"
	}
	return "what it takes"
}

// Argument checks with usage errors.

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return withHint(usagef("%s takes no argument, got %q", cmd.CommandPath(), args[0]), "`"+cmd.CommandPath()+" --help` shows how")
	}
	return nil
}

// argCount permits low to high arguments; high < 0 means any number.
func argCount(low, high int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= low && (high < 0 || len(args) <= high) {
			return nil
		}
		if len(args) < low {
			return withHint(usagef("%s needs %s", cmd.CommandPath(), what), "`"+cmd.CommandPath()+" --help` shows how")
		}
		return withHint(usagef("%s takes %s, got %q as well", cmd.CommandPath(), what, args[high]), "`"+cmd.CommandPath()+" --help` shows how")
	}
}

// group makes a command that only has subcommands: without one it shows its
// help, with another name it is wrong usage.
func group(cmd *cobra.Command) *cobra.Command {
	cmd.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return unknown("command", args[0], subcommands(c), "`"+c.CommandPath()+" --help` lists the commands")
	}
	cmd.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	return cmd
}

func subcommands(cmd *cobra.Command) []string {
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return names
}
