package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/config"
)

// globalFlags are the flags of every command.
type globalFlags struct {
	dataDir, stack, format, tz, configFile, queries string
	since, until                                    string
	limit                                           int
	quiet, noColour                                 bool
	coverage                                        bool // rows of JSON come with their coverage
	fresh                                           bool // a stack's lake is brought up to date first
	engine                                          string
}

// What a command's annotation "takes" may list, besides what all take.
const (
	takes        = "takes"
	takesRange   = "since until"
	takesLimit   = "limit"
	takesParquet = "parquet"
	takesStack   = "stack"
)

// taking notes which global flags mean something to the command; others are
// refused rather than ignored.
func taking(cmd *cobra.Command, what ...string) *cobra.Command {
	if cmd.Annotations == nil {
		cmd.Annotations = map[string]string{}
	}
	cmd.Annotations[takes] = strings.Join(what, " ")
	return cmd
}

func newRoot(e *env) *cobra.Command {
	root := group(&cobra.Command{
		Use:   "iamtrack",
		Short: "Who did what in our AWS accounts, when, from where, and with whose authority",
		Long: `iamtrack reads CloudTrail records, keeps them for years, finds what is dangerous,
and answers questions about them. Start with:

  iamtrack demo            a simulated organization with an attack in it
  iamtrack collect         your own account, from CloudTrail's event history
  iamtrack import PATH     your own CloudTrail files`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return e.prepare(cmd) },
	})
	// Two misspelt names of one command aren't better than one good suggestion.
	root.DisableSuggestions = true
	root.SetFlagErrorFunc(flagError)
	root.SetUsageTemplate(root.UsageTemplate() + exitHelp)
	f := root.PersistentFlags()
	f.SortFlags = false
	f.StringVar(&e.flags.dataDir, "data-dir", "", "folder with everything that is stored (setting data_dir)")
	f.StringVar(&e.flags.stack, "stack", "", "stack in AWS whose data is asked instead (setting stack)")
	f.StringVar(&e.flags.format, "format", "", "how to print: table, json, csv or markdown; parquet for query and sql")
	f.StringVar(&e.flags.tz, "tz", "", "zone in which times are shown and dates are read, such as Europe/Berlin (default UTC)")
	f.StringVar(&e.flags.since, "since", "", "only events at or after that time: "+timeHelp)
	f.StringVar(&e.flags.until, "until", "", "only events before that time (a date means its start, so the day itself is left out)")
	f.IntVar(&e.flags.limit, "limit", -1, "at most that many rows; 0: all (default: what a person reads, for json and csv all)")
	f.StringVar(&e.flags.configFile, "config", "", "settings file (default: iamtrack.yaml in the data directory)")
	f.StringVar(&e.flags.queries, "queries", "", "folder with your own queries (setting queries_dir)")
	f.BoolVarP(&e.flags.quiet, "quiet", "q", false, "say nothing but errors on standard error")
	f.BoolVar(&e.flags.noColour, "no-color", false, "no colours (so does NO_COLOR=1)")
	complete(root, "format", "table", "json", "csv", "markdown", "parquet")

	root.AddCommand(
		newDemoCmd(e), newImportCmd(e), newCollectCmd(e), newWaitCmd(e), newDoctorCmd(e), newPermissionsCmd(e), newStatusCmd(e), newEventsCmd(e), newWhoCmd(e), newTimelineCmd(e), newTraceCmd(e), newAlertsCmd(e), newRulesCmd(e),
		newQueryCmd(e), newSQLCmd(e), newExportCmd(e), newVerifyCmd(e), newAWSCmd(e), newPushCmd(e), newPullCmd(e), newSimulateCmd(e), newConfigCmd(e), newVersionCmd(e),
	)
	return root
}

const exitHelp = `
Exit codes: 0 done; 1 failed; 2 wrong usage; 3 done in part (what is missing is on standard error).
`

// complete offers fixed values of a flag to the shell.
func complete(cmd *cobra.Command, flag string, values ...string) {
	// It fails only for a flag that doesn't exist, which TestFlagCompletion finds.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// prepare reads the settings and the global flags before a command runs.
func (e *env) prepare(cmd *cobra.Command) error {
	accepted := strings.Fields(cmd.Annotations[takes])
	given := map[string]string{}
	for _, name := range append([]string{"data-dir", "stack", "aws-region", "format", "tz", "queries", "sources", "management-only", "since", "until", "limit"}, awsFlagNames...) {
		flag := cmd.Flags().Lookup(name)
		if flag == nil || !flag.Changed {
			continue
		}
		switch name {
		case "since", "until", "limit", "stack":
			if !slices.Contains(accepted, name) {
				return withHint(usagef("--%s does not apply to `%s`", name, cmd.CommandPath()), "`"+cmd.CommandPath()+" --help` shows what does")
			}
		}
		if name == "since" || name == "until" || name == "limit" {
			continue
		}
		given[name] = flag.Value.String()
		if list, ok := flag.Value.(pflag.SliceValue); ok {
			given[name] = strings.Join(list.GetSlice(), ",")
		}
	}
	if given["format"] == formatParquet {
		if !slices.Contains(accepted, takesParquet) {
			return withHint(usagef("--format parquet does not apply to `%s`", cmd.CommandPath()), "use table, json, csv or markdown")
		}
		delete(given, "format")
	}
	c, err := config.Load(config.Input{Flags: given, LookupEnv: e.lookupEnv, File: e.flags.configFile})
	if cmd.Name() == cobra.ShellCompRequestCmd || cmd.Name() == cobra.ShellCompNoDescRequestCmd {
		// What a shell asks for while somebody types is no place for errors.
		if err == nil {
			e.config = c
		}
		return nil
	}
	if err != nil {
		return err
	}
	if err := e.pickTier(cmd, &c, given); err != nil {
		return err
	}
	e.config = c
	if err := app.CheckChannels(c, false, e.lookupEnv); err != nil {
		return err
	}
	if c.File != "" {
		e.debug("settings from %s", c.File)
	}
	if flag := cmd.Flags().Lookup("limit"); flag != nil && flag.Changed && e.flags.limit < 0 {
		return withHint(usagef("--limit %d is not a number of rows", e.flags.limit), "use a positive number, or 0 for all")
	}
	e.since, e.until, err = parseRange(e.flags.since, e.flags.until, e.now(), c.Zone)
	return err
}
