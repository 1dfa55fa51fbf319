package cli

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/render"
)

// number prints an integer with thousands separated.
func number[T int | int64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// count prints a number with its noun; irregular plurals are given after a bar.
func count[T int | int64](n T, noun string) string {
	one, many, ok := strings.Cut(noun, "|")
	if !ok {
		many = one + "s"
	}
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + many
}

// bytesText prints a size in decimal units, as disks are labelled.
func bytesText(n int64) string {
	if n < 1000 {
		return strconv.FormatInt(n, 10) + " B"
	}
	f := float64(n)
	for _, unit := range []string{"kB", "MB", "GB"} {
		if f /= 1000; f < 999.5 {
			return strconv.FormatFloat(f, 'g', 3, 64) + " " + unit
		}
	}
	return strconv.FormatFloat(f/1000, 'f', 1, 64) + " TB"
}

// secondsText prints a duration as people read it.
func secondsText(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	default:
		return d.Round(time.Second).String()
	}
}

// shellQuote makes a word safe to paste into a POSIX shell. It reports false for
// text that has characters which can't be shown as they are: such a word can't
// be copied.
func shellQuote(s string) (string, bool) {
	if s == "" || render.Text(s) != s {
		return "", false
	}
	plain := strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@%+,-") == ""
	if plain && s[0] != '-' {
		return s, true
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'", true
}

// programName is how the program that was started as typed is to be typed again.
func programName(typed string) string {
	if !strings.ContainsRune(filepath.ToSlash(typed), '/') {
		return plainName // found in the PATH
	}
	if found, err := exec.LookPath(plainName); err == nil {
		a, errA := os.Stat(found)
		b, errB := os.Stat(typed)
		if errA == nil && errB == nil && os.SameFile(a, b) {
			return plainName
		}
	}
	if quoted, ok := shellQuote(typed); ok {
		return quoted
	}
	return plainName
}

const plainName = "iamtrack"

// typed makes the commands in a message, which stand in back-quotes, such as
// can be typed.
func (e *env) typed(message string) string {
	if e.program == "" || e.program == plainName {
		return message
	}
	return strings.ReplaceAll(message, "`"+plainName+" ", "`"+e.program+" ")
}

// command is a command line to type, which works as printed: with the data
// directory or stack, and the settings file, that this run was given. It is "" when a word of it can't be shown
// as it is. Values of flags are given as "--flag", "value".
func (e *env) command(words ...string) string {
	var b strings.Builder
	b.WriteString(cmp.Or(e.program, plainName))
	if e.flags.configFile != "" {
		words = append([]string{"--config", e.flags.configFile}, words...)
	}
	if e.flags.dataDir != "" {
		words = append([]string{"--data-dir", e.flags.dataDir}, words...)
	}
	if e.flags.stack != "" {
		words = append([]string{"--stack", e.flags.stack}, words...)
	}
	for i, w := range words {
		q, ok := shellQuote(w)
		if !ok {
			return ""
		}
		if strings.HasPrefix(w, "--") && i+1 < len(words) {
			q = w // our own flag
		}
		b.WriteString(" " + q)
	}
	return b.String()
}
