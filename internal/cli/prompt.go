package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/term"

	"github.com/iamtrack/iamtrack/internal/query"
)

const promptHelp = `A statement ends with ";" and may span lines; an empty line ends it too.
  .tables         the tables and their columns
  .help           this
  Ctrl-C          drop what was typed, or end the answer under way
  .quit, Ctrl-D   leave
Tab completes words; up and down walk through the history.`

// lineReader is what the prompt needs of a terminal.
type lineReader interface {
	ReadLine() (string, error)
	SetPrompt(string)
}

// prompt reads statements from a terminal and answers them, until its end. The
// prompt itself is on standard error: standard output has answers only.
func (e *env) prompt(ctx context.Context, stdin *os.File, engine query.Engine) error {
	history, err := openHistory(e.historyDir())
	if err != nil {
		e.warn("no history: %v", err)
	}
	c := completer{words: promptWords()}
	keys := &keyReader{r: stdin}
	r := &rawLines{fd: int(stdin.Fd()), keys: keys, screen: e.stderr, editor: func() *term.Terminal {
		t := term.NewTerminal(struct {
			io.Reader
			io.Writer
		}{keys, e.stderr}, "")
		t.History = history
		t.AutoCompleteCallback = c.onKey(t)
		return t
	}}
	r.t = r.editor()
	e.note("SQL over events and filtered; .help for help, Ctrl-D to leave")
	return e.converse(r, func(text string) error {
		// An interrupt ends this answer only.
		ctx, stop := signal.NotifyContext(context.WithoutCancel(ctx), os.Interrupt, syscall.SIGTERM)
		defer stop()
		err := e.ask(ctx, engine, nil, text, "")
		if err != nil && ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		return err
	})
}

// interrupted is what a lineReader returns when Ctrl-C was typed.
type interrupted struct {
	idle bool // nothing else was typed on that line
}

func (*interrupted) Error() string { return "interrupted" }

// keyReader reads what is typed up to a Ctrl-C, which it returns as an error:
// term.Terminal doesn't tell it from the end of input. What was typed ahead after
// it is dropped, as terminals do.
type keyReader struct {
	r     io.Reader
	typed bool // something since the line began
	stop  bool // Ctrl-C comes next
}

func (k *keyReader) Read(p []byte) (int, error) {
	if !k.stop {
		n, err := k.r.Read(p)
		i := bytes.IndexByte(p[:n], 0x03)
		if i < 0 {
			k.typed = k.typed || n > 0
			return n, err
		}
		k.stop = true
		if i > 0 {
			k.typed = true
			return i, nil
		}
	}
	k.stop = false
	return 0, &interrupted{idle: !k.typed}
}

// rawLines reads lines with the terminal in raw mode, and leaves it as it was
// in between, so that an answer can be interrupted.
type rawLines struct {
	t      *term.Terminal
	editor func() *term.Terminal
	keys   *keyReader
	fd     int
	screen io.Writer
}

func (r *rawLines) SetPrompt(s string) { r.t.SetPrompt(s) }

func (r *rawLines) ReadLine() (line string, err error) {
	r.keys.typed = false
	state, err := term.MakeRaw(r.fd)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, term.Restore(r.fd, state)) }()
	if w, h, err := term.GetSize(r.fd); err == nil && w > 0 { // some don't know theirs
		_ = r.t.SetSize(w, h) // it only clears what is on the line
	}
	line, err = r.t.ReadLine()
	var stop *interrupted
	switch {
	case errors.Is(err, term.ErrPasteIndicator):
		err = nil
	case errors.As(err, &stop):
		// The editor can't be told to forget its line.
		_, _ = io.WriteString(r.screen, "^C\r\n") // only an echo
		r.t = r.editor()
	}
	return line, err
}

// converse reads statements and commands until the end of input; an error of a
// statement is shown, and the next one read. Ctrl-C drops what was typed so far.
func (e *env) converse(lines lineReader, ask func(string) error) error {
	var statement []string
	for {
		lines.SetPrompt("iamtrack> ")
		if len(statement) > 0 {
			lines.SetPrompt("     ...> ")
		}
		line, err := lines.ReadLine()
		if errors.Is(err, io.EOF) {
			return nil
		}
		var stop *interrupted
		if errors.As(err, &stop) {
			if stop.idle && len(statement) == 0 {
				e.say("Ctrl-D leaves")
			}
			statement = nil
			continue
		}
		if err != nil {
			return err
		}
		word := strings.TrimSpace(line)
		if len(statement) == 0 {
			switch strings.TrimRight(strings.ToLower(word), ";") {
			case "":
				continue
			case ".quit", ".exit", "quit", "exit", `\q`:
				return nil
			case ".help", "help", `\?`:
				for l := range strings.SplitSeq(promptHelp, "\n") {
					e.say(l)
				}
				continue
			case ".tables", ".schema", `\d`:
				e.sayTables()
				continue
			}
			if strings.HasPrefix(word, ".") {
				e.report(unknown("command", word, []string{".help", ".tables", ".quit"}, ""))
				continue
			}
		}
		if word != "" {
			statement = append(statement, line)
			if !strings.HasSuffix(word, ";") {
				continue
			}
		}
		text := strings.TrimRight(strings.Join(statement, "\n"), "; \n\t")
		statement = nil
		if text != "" {
			if err := ask(text); err != nil {
				e.report(err)
			}
		}
	}
}

func (e *env) sayTables() {
	for _, t := range []struct {
		name    string
		columns []query.SchemaColumn
	}{{"events", query.EventColumns()}, {"filtered", query.FilteredColumns()}} {
		e.say(t.name)
		for _, c := range t.columns {
			e.say("  " + c.Name + strings.Repeat(" ", max(1, 24-len(c.Name))) + strings.ToLower(c.Type))
		}
	}
}

// promptWords are what Tab completes: SQL's words, tables, columns.
func promptWords() []string {
	words := []string{"events", "filtered", ".help", ".tables", ".quit"}
	for _, list := range [][]query.SchemaColumn{query.EventColumns(), query.FilteredColumns()} {
		for _, c := range list {
			words = append(words, c.Name)
		}
	}
	words = append(words, strings.Fields(`SELECT FROM WHERE GROUP ORDER BY HAVING LIMIT OFFSET DISTINCT AS AND OR NOT IN IS NULL LIKE ILIKE
		BETWEEN CASE WHEN THEN ELSE END JOIN LEFT INNER ON USING UNION ALL WITH DESC ASC DATE TIMESTAMP INTERVAL DAY HOUR CAST FILTER OVER
		PARTITION EXPLAIN DESCRIBE count sum min max avg lower upper date_trunc json_extract_string regexp_matches coalesce strftime`)...)
	slices.Sort(words)
	return slices.Compact(words)
}

// completer completes the word before the cursor.
type completer struct{ words []string }

// onKey is term.Terminal's AutoCompleteCallback; it lists choices on w.
func (c *completer) onKey(w io.Writer) func(string, int, rune) (string, int, bool) {
	return func(line string, pos int, key rune) (string, int, bool) {
		if key != '\t' {
			return "", 0, false
		}
		line, pos, choices := c.complete(line, pos)
		if len(choices) > 1 {
			_, _ = w.Write([]byte(strings.Join(choices, "  ") + "\n")) // only a help
		}
		return line, pos, true
	}
}

// complete returns the line and position after Tab, and, when nothing could be
// added since several words fit, those words.
func (c *completer) complete(line string, pos int) (string, int, []string) {
	start := strings.LastIndexFunc(line[:pos], func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.", r)
	}) + 1
	prefix := line[start:pos]
	if prefix == "" {
		return line, pos, nil
	}
	var fit []string
	for _, w := range c.words {
		if len(w) >= len(prefix) && strings.EqualFold(w[:len(prefix)], prefix) {
			fit = append(fit, w)
		}
	}
	if len(fit) == 0 {
		return line, pos, nil
	}
	common := fit[0]
	for _, w := range fit[1:] {
		n := 0
		for n < len(common) && n < len(w) && strings.EqualFold(common[n:n+1], w[n:n+1]) {
			n++
		}
		common = common[:n]
	}
	if len(fit) == 1 {
		common += " "
	}
	if len(common) <= len(prefix) {
		return line, pos, fit
	}
	return line[:start] + common + line[pos:], start + len(common), nil
}
