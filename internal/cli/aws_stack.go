package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/iamtrack/iamtrack/internal/app"
	"github.com/iamtrack/iamtrack/internal/awsapi"
	"github.com/iamtrack/iamtrack/internal/render"
	"github.com/iamtrack/iamtrack/internal/stack"
)

func newAWSCmd(e *env) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "aws",
		Short: "The stack in AWS: deploy, fill, watch and delete it",
		Long: `The stack in AWS: deploy, fill, watch and delete it. It collects every five minutes,
keeps what it finds in a table and a lake of your own account, and sends alerts;
` + "`iamtrack --stack NAME …`" + ` asks it. The stack's name is that of --stack, of the setting
stack, of STACK_NAME, or else ` + stack.DefaultName + `.

Each of these commands may be interrupted and given again: it goes on.`,
		Example: "  iamtrack aws deploy\n  iamtrack aws init\n  iamtrack aws status",
	})
	cmd.AddCommand(newAWSDeployCmd(e), newAWSInitCmd(e), newAWSUpdateCmd(e), newAWSStatusCmd(e), newAWSLogsCmd(e), newAWSTestAlertsCmd(e), newAWSDestroyCmd(e))
	return cmd
}

// ofStack makes a command one of a stack, whose name has a default.
func ofStack(cmd *cobra.Command) *cobra.Command {
	onStack(cmd)
	cmd.Annotations[withoutStack] = strings.Join(stackFlagNames, " ")
	return cmd
}

// stackName is the name of the stack that aws commands work on. From here on it is the
// one that all else works on, too.
func (e *env) stackName() string {
	if e.config.Stack == "" {
		e.config.Stack = stack.DefaultName
		if v, ok := e.lookupEnv("STACK_NAME"); ok && v != "" {
			e.config.Stack = v
		}
	}
	return e.config.Stack
}

// hintDeploy is for who names a stack that isn't there.
const hintDeploy = "`iamtrack aws deploy` makes one"

// theStack finds the stack that is to be worked on, which must be there and usable.
func (e *env) theStack(ctx context.Context, session *awsapi.Session) (awsapi.Stack, error) {
	name := e.stackName()
	st, err := session.Stack(ctx, name)
	if errors.Is(err, awsapi.ErrNotFound) {
		return st, withHint(err, hintDeploy)
	}
	if err != nil {
		return st, awsHint(err)
	}
	switch standing, why := stack.StandingOf(st); standing {
	case stack.Absent:
		return st, withHint(fmt.Errorf("the stack %s isn't made yet: its state is %s", name, st.Status), "`iamtrack aws deploy` makes it")
	case stack.Ruined, stack.Blocked:
		return st, withHint(fmt.Errorf("the stack %s: %s", name, why), "`iamtrack aws deploy` goes on from there")
	}
	if st.Outputs[app.OutputTable] == "" {
		if standing, why := stack.StandingOf(st); standing == stack.Busy {
			return st, withHint(fmt.Errorf("the stack %s: %s", name, why), "`iamtrack aws deploy` follows it to its end")
		}
	}
	return st, stack.Foreign(st)
}

// output is the value of one of a stack's outputs; its absence means that a parameter
// is off.
func output(st awsapi.Stack, name, parameter string) (string, error) {
	if v := st.Outputs[name]; v != "" {
		return v, nil
	}
	return "", withHint(fmt.Errorf("the stack %s has no output %s: its parameter %s is %s", st.Name, name, parameter, st.Parameters[parameter]),
		"`iamtrack aws update --parameter "+parameter+"=true` turns it on")
}

// asksPeople reports whether there is somebody to ask.
func (e *env) asksPeople() bool {
	if e.answers != nil {
		return true
	}
	f, ok := e.stdin.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// askLine asks a question and returns what is typed, without spaces around.
func (e *env) askLine(ctx context.Context, question string) (string, error) {
	if _, err := fmt.Fprint(e.stderr, render.Text(question)+" "); err != nil {
		return "", err
	}
	if e.answers == nil {
		e.answers = bufio.NewReader(e.stdin)
	}
	type typed struct {
		line string
		err  error
	}
	got := make(chan typed, 1)
	go func() { // a terminal's read can't be interrupted
		line, err := e.answers.ReadString('\n')
		got <- typed{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case t := <-got:
		if t.err != nil && !errors.Is(t.err, io.EOF) {
			return "", t.err
		}
		return strings.TrimSpace(t.line), nil
	}
}

// confirm asks a question to be answered with yes or no; no answer is no.
func (e *env) confirm(ctx context.Context, question string) (bool, error) {
	for {
		line, err := e.askLine(ctx, question+" [y/N]")
		if err != nil {
			return false, err
		}
		switch strings.ToLower(line) {
		case "y", "yes":
			return true, nil
		case "", "n", "no":
			return false, nil
		}
		e.say("please answer y or n")
	}
}

// stackEvent says what happens to a resource.
func (e *env) stackEvent(ev awsapi.StackEvent) {
	if ev.Type == "AWS::CloudFormation::Stack" && !strings.HasSuffix(ev.Status, "_FAILED") && !strings.Contains(ev.Status, "ROLLBACK") {
		e.note("%s  stack %s", ev.At.In(e.config.Zone).Format(time.TimeOnly), ev.Status)
		return
	}
	text := fmt.Sprintf("%s  %-28s %-34s %s", ev.At.In(e.config.Zone).Format(time.TimeOnly), ev.Status, ev.Resource, ev.Type)
	if strings.HasSuffix(ev.Status, "_FAILED") && ev.Reason != "" {
		text += ": " + ev.Reason
	}
	e.note("%s", text)
}

// failures names what went wrong with a change of a stack.
func (e *env) failures(out stack.Outcome) {
	for _, f := range out.Failures {
		e.fail("%s", f)
	}
}
