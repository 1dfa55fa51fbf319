package render

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Terminal returns the width of the terminal that w is, in columns, and whether
// it is one at all.
func Terminal(w io.Writer) (width int, ok bool) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		width = 80
	}
	return width, true
}

// ColourWanted says whether colours are due on a stream: it is a terminal, and
// neither NO_COLOR (no-color.org: any non-empty value) nor TERM=dumb objects.
func ColourWanted(terminal bool, lookupEnv func(string) (string, bool)) bool {
	if !terminal {
		return false
	}
	if v, _ := lookupEnv("NO_COLOR"); v != "" {
		return false
	}
	v, _ := lookupEnv("TERM")
	return v != "dumb"
}
