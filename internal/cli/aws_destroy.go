package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/stack"
)

type destroyOptions struct {
	yes  string
	data bool
}

func newAWSDestroyCmd(e *env) *cobra.Command {
	var o destroyOptions
	cmd := ofStack(&cobra.Command{
		Use:   "destroy",
		Short: "Delete a stack, and keep its data unless told otherwise",
		Long: `Delete a stack. Table, bucket and dead letters are kept, and the commands that
delete them are printed, unless --delete-data says that they go, too; the bucket is
emptied then. Before anything is deleted, the stack's name must be typed, or given
with --yes. That there is no such stack is said, and is no failure.

JSON is an object with stack, deleted, kept (type, name, commands).`,
		Example: "  iamtrack aws destroy\n  iamtrack aws destroy --stack audit --yes audit --delete-data",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runAWSDestroy(cmd.Context(), e, o) },
	})
	cmd.Flags().StringVar(&o.yes, "yes", "", "the stack's name, instead of typing it when asked")
	cmd.Flags().BoolVar(&o.data, "delete-data", false, "delete table and bucket, with all that was ever collected, too")
	return cmd
}

// destroyView is what `aws destroy --format json` prints.
type destroyView struct {
	Stack   string       `json:"stack"`
	Deleted bool         `json:"deleted"`
	Kept    []stack.Kept `json:"kept"`
}

func runAWSDestroy(ctx context.Context, e *env, o destroyOptions) error {
	name := e.stackName()
	if o.yes != "" && o.yes != name {
		return withHint(usagef("--yes %s is not the stack's name, %s: nothing was deleted", o.yes, name), "--stack names another stack")
	}
	if o.yes == "" && !e.asksPeople() {
		return withHint(usagef("there is no terminal to type the stack's name on"), "--yes "+name+" deletes it without asking")
	}
	session, err := e.aws(ctx)()
	if err != nil {
		return err
	}
	st, err := session.Stack(ctx, name)
	if errors.Is(err, awsapi.ErrNotFound) {
		// So it is after a deletion that was interrupted, and given again.
		e.warn("there is no stack %s in %s: nothing was deleted (--stack, --aws-region and --profile name another)", name, session.Region())
		return e.object(destroyView{Stack: name, Kept: []stack.Kept{}}, func() string { return "" })
	}
	if err != nil {
		return awsHint(err)
	}
	standing, why := stack.StandingOf(st)
	if standing == stack.Busy && st.Status != "DELETE_IN_PROGRESS" {
		return withHint(fmt.Errorf("the stack %s: %s", name, why), "`iamtrack aws deploy` follows it to its end")
	}
	if err := stack.Foreign(st); err != nil {
		return err
	}
	if st.Parameters["DeleteData"] == "true" && !o.data {
		return withHint(fmt.Errorf("the data of the stack %s goes with it (its parameter DeleteData is true)", name),
			"--delete-data says that this is meant; `iamtrack aws update --parameter DeleteData=false` keeps the data")
	}
	view := destroyView{Stack: name, Kept: []stack.Kept{}}
	if !o.data {
		kept, err := stack.Keeps(ctx, session, st)
		if err != nil {
			return err
		}
		view.Kept = append(view.Kept, kept...)
	}
	e.sayKept(&view, o.data)
	if o.yes == "" {
		typed, err := e.askLine(ctx, fmt.Sprintf("Type the stack's name, %s, to delete it:", name))
		if err != nil {
			return err
		}
		if typed != name {
			return fmt.Errorf("%q is not the stack's name, %s: nothing was deleted", typed, name)
		}
	}
	out, err := stack.Delete(ctx, session, st, stack.DeleteOptions{Data: o.data, Now: e.now(), Step: func(text string) { e.note("%s", text) }, See: e.stackEvent})
	if err != nil {
		e.failures(out)
		if errors.Is(err, stack.ErrChangeFailed) {
			return withHint(err, "mend what failed; the same command goes on")
		}
		return err
	}
	view.Deleted = true
	return e.object(view, func() string {
		t := e.newPage()
		t.line("the stack " + name + " is deleted")
		for _, k := range view.Kept {
			for _, c := range k.Commands {
				t.line("  " + c)
			}
		}
		return t.String()
	})
}

// sayKept says what stays and what goes, before it does.
func (e *env) sayKept(v *destroyView, data bool) {
	switch {
	case data:
		e.warn("the table and the bucket of the stack %s go with it, and all that was ever collected", v.Stack)
	case len(v.Kept) == 0:
		e.note("the stack %s has nothing that is kept", v.Stack)
	default:
		for _, k := range v.Kept {
			e.note("kept: %s %s", k.Type, k.Name)
		}
		e.note("the commands that delete them are printed at the end")
	}
}
