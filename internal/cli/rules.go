package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/render"
	"github.com/iamtrack/iamtrack/internal/rule"
)

func newRulesCmd(e *env) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:     "rules",
		Aliases: []string{"rule"},
		Short:   "List and explain the rules that make alerts",
		Example: "  iamtrack rules list\n  iamtrack rules show root-console-login",
	})
	cmd.AddCommand(&cobra.Command{
		Use:   "list",
		Short: "List the rules that are switched on",
		Long: `List the rules that are switched on. JSON is an array of objects with id, title,
severity, attack, event_sources, event_names, condition, why, next,
false_positives.`,
		Example: "  iamtrack rules list --format json",
		Args:    noArgs,
		RunE:    func(*cobra.Command, []string) error { return runRulesList(e) },
	}, &cobra.Command{
		Use:     "show RULE…",
		Short:   "Explain rules: what they look for, why, and what to do",
		Example: "  iamtrack rules show root-console-login",
		Args:    argCount(1, -1, "the id of a rule"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return ruleIDs(e), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error { return runRulesShow(e, args) },
	})
	return cmd
}

// loadRules returns the rules that the settings switch on. Completion calls it
// without settings, which means all.
func loadRules(e *env) ([]rule.Rule, error) {
	var c rule.Config
	if e.config.Zone != nil {
		c = e.config.RuleConfig()
	}
	engine, err := rule.NewEngine(c)
	if err != nil {
		return nil, err
	}
	return engine.Rules(), nil
}

func ruleIDs(e *env) []string {
	rules, err := loadRules(e)
	if err != nil {
		return nil // the command itself says what is wrong
	}
	ids := make([]string, len(rules))
	for i, r := range rules {
		ids[i] = r.ID
	}
	return ids
}

func runRulesList(e *env) error {
	rules, err := loadRules(e)
	if err != nil {
		return err
	}
	if e.format().Machine() {
		cols := render.Columns("id", "title", "severity", "attack", "event_sources", "event_names", "condition", "why", "next", "false_positives")
		return e.answer(cols, func(p render.Printer) error {
			for _, r := range rules {
				if err := p.Row([]any{r.ID, r.Title, r.Severity.String(), list(r.ATTACK), list(r.EventSources), list(r.EventNames), r.Condition, r.Why, r.Next, r.FalsePositives}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	cols := []render.Column{{Name: "rule", Whole: true}, {Name: "severity", Whole: true, Paint: paintSeverity}, {Name: "title"}, {Name: "events"}}
	err = e.answer(cols, func(p render.Printer) error {
		for _, r := range rules {
			if err := p.Row([]any{r.ID, r.Severity.String(), r.Title, r.EventNames}); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		e.note("%s; `iamtrack rules show RULE` explains one", count(len(rules), "rule"))
	}
	return err
}

// list is never null in JSON.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func runRulesShow(e *env, ids []string) error {
	rules, err := loadRules(e)
	if err != nil {
		return err
	}
	byID := make(map[string]rule.Rule, len(rules))
	for _, r := range rules {
		byID[r.ID] = r
	}
	chosen := make([]rule.Rule, len(ids))
	for i, id := range ids {
		r, ok := byID[id]
		if !ok {
			return unknown("rule", id, ruleIDs(e), "`iamtrack rules list` lists the rules")
		}
		chosen[i] = r
	}
	views := make([]any, len(chosen))
	for i := range chosen {
		views[i] = chosen[i]
	}
	return e.objects(views, func(i int) string { return e.ruleText(chosen[i]) })
}

func (e *env) ruleText(r rule.Rule) string {
	t := e.newPage()
	t.line(e.paint(render.Bold, render.Text(r.Title)) + "  " + e.paint(severityColour(r.Severity.String()), r.Severity.String()))
	t.field("rule", r.ID)
	t.field("ATT&CK", strings.Join(r.ATTACK, ", "))
	t.field("sources", strings.Join(r.EventSources, ", "))
	t.field("events", strings.Join(r.EventNames, ", "))
	for _, part := range []struct{ heading, text string }{
		{"Fires when", r.Condition}, {"Why it matters", r.Why}, {"What to do", r.Next}, {"When it is harmless", r.FalsePositives},
	} {
		if part.text != "" {
			t.heading(part.heading)
			t.paragraph(render.Text(part.text))
		}
	}
	return t.String()
}
