package cli

import (
	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/render"
)

func newConfigCmd(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Print the settings in force, and where each is from",
		Long: `Print the settings in force, and where each is from: flags come before the
environment, that before the settings file, that before defaults.

The file is iamtrack.yaml in the data directory, or --config FILE: lines of
"key: value", lists as YAML lists or with commas. Each setting is also an
environment variable: IAMTRACK_ and its key in capitals; the names of the
earlier IAM Activity Tracker (OFF_HOURS_START, FILTERED_ROLES, …) work too.`,
		Example: "  iamtrack config\n  iamtrack config --format json",
		Args:    noArgs,
		RunE:    func(*cobra.Command, []string) error { return runConfig(e) },
	}
}

func runConfig(e *env) error {
	if err := app.CheckChannels(e.config, true, e.lookupEnv); err != nil {
		return err
	}
	cols := render.Columns("setting", "value", "from", "meaning", "allowed", "environment")
	people := !e.format().Machine()
	if people {
		cols = cols[:4]
	}
	return e.answer(cols, func(p render.Printer) error {
		for _, s := range e.config.Settings() {
			row := []any{s.Key, s.Value, s.Origin, s.Meaning, s.Allowed, s.Env}
			if err := p.Row(row[:len(cols)]); err != nil {
				return err
			}
		}
		return nil
	})
}
