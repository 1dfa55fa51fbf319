package cli

import (
	"encoding/xml"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// accepted parses a command line, without the program's name, as the program does.
func accepted(args []string) error {
	root := newRoot(&env{now: time.Now, lookupEnv: os.LookupEnv})
	cmd, rest, err := root.Find(args)
	switch {
	case err != nil:
		return err
	case cmd == root:
		return errors.New("no command")
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}

// The files that keep a collection running start the program as it can be started.
func TestContrib(t *testing.T) {
	const program = "/usr/local/bin/iamtrack"
	files := map[string]func(*testing.T, string) []string{
		"systemd/iamtrack-collect.service":          serviceCommand,
		"launchd/com.github.iamtrack.collect.plist": plistCommand,
		"cron/iamtrack": cronCommand,
	}
	page := read(t, filepath.Join(repository, "docs", "collect.md"))
	for name, command := range files {
		t.Run(name, func(t *testing.T) {
			words := command(t, filepath.Join(repository, "contrib", name))
			if len(words) < 2 || words[0] != program {
				t.Fatalf("it starts %q", words)
			}
			if err := accepted(words[1:]); err != nil {
				t.Errorf("%q: %v", words, err)
			}
			if !strings.Contains(page, "contrib/"+name) {
				t.Errorf("docs/collect.md doesn't name it")
			}
		})
	}
	var found int
	err := filepath.WalkDir(filepath.Join(repository, "contrib"), func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found++
		}
		return err
	})
	if err != nil || found != len(files) {
		t.Errorf("%d files, %v", found, err)
	}
}

func serviceCommand(t *testing.T, file string) []string {
	var command []string
	section := ""
	for line := range strings.Lines(read(t, file)) {
		switch line = strings.TrimSpace(line); {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = line
		default:
			key, value, ok := strings.Cut(line, "=")
			if !ok || section == "" || value == "" {
				t.Errorf("line %q", line)
			}
			if key == "ExecStart" {
				command = strings.Fields(value)
			}
		}
	}
	if tool, err := exec.LookPath("systemd-analyze"); err == nil {
		out, err := exec.CommandContext(t.Context(), tool, "verify", "--user", "--man=no", file).CombinedOutput() //nolint:gosec // our file
		// Where the program is not installed, that is all there is to say.
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, filepath.Base(file)) && !strings.Contains(line, "is not executable") {
				t.Errorf("systemd-analyze (%v): %s", err, line)
			}
		}
	}
	return command
}

func plistCommand(t *testing.T, file string) []string {
	var plist struct {
		Dict struct {
			Keys  []string `xml:"key"`
			Array []string `xml:"array>string"`
		} `xml:"dict"`
	}
	if err := xml.Unmarshal([]byte(read(t, file)), &plist); err != nil {
		t.Fatal(err)
	}
	keys := strings.Join(plist.Dict.Keys, " ")
	if !strings.Contains(keys, "Label ProgramArguments ") {
		t.Errorf("keys %s", keys)
	}
	shell := plist.Dict.Array
	if len(shell) != 3 || shell[0] != "/bin/sh" || shell[1] != "-c" {
		t.Fatalf("it starts %q", shell)
	}
	line, _, _ := strings.Cut(strings.TrimPrefix(shell[2], "exec "), " 2>>")
	words, err := shellWords(line)
	if err != nil {
		t.Fatal(err)
	}
	return words
}

func cronCommand(t *testing.T, file string) []string {
	var command []string
	for line := range strings.Lines(read(t, file)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		words, err := shellWords(strings.TrimSpace(line))
		if err != nil || len(words) < 7 || command != nil || strings.Contains(line, "%") {
			t.Fatalf("line %q: %v", line, err)
		}
		for _, field := range words[:5] {
			if strings.Trim(field, "*/0123456789,-") != "" {
				t.Errorf("time %q", field)
			}
		}
		command = words[5:]
	}
	return command
}
