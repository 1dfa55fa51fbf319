package cli

import (
	"bufio"
	"io"
	"os"
	"path/filepath"

	"github.com/iamtrack/iamtrack/internal/render"
)

const formatParquet = "parquet"

// format is how this run prints its answer.
func (e *env) format() render.Format { return render.Format(e.config.Format) }

// limit is how many rows to print: what --limit says, else forPeople in formats
// that people read and all (0) in the others.
func (e *env) limit(forPeople int) int {
	switch {
	case e.flags.limit >= 0:
		return e.flags.limit
	case e.format().Machine():
		return 0
	}
	return forPeople
}

// printer prints rows on standard output; see answer.
func (e *env) printer(w io.Writer, cols []render.Column) render.Printer {
	o := render.Options{Format: e.format(), Zone: e.config.Zone}
	// w may buffer; what counts is where the rows end up.
	if width, ok := render.Terminal(e.stdout); ok && w != nil {
		o.Width = width
		o.Colour = e.colour()
	}
	return render.New(w, cols, o)
}

// colour says whether standard output takes colours.
func (e *env) colour() bool {
	_, terminal := render.Terminal(e.stdout)
	return !e.flags.noColour && render.ColourWanted(terminal, e.lookupEnv)
}

// paint colours text for standard output.
func (e *env) paint(c render.Colour, text string) string {
	if !e.colour() {
		return text
	}
	return c.Wrap(text)
}

// answer prints rows on standard output, buffered; f prints them.
func (e *env) answer(cols []render.Column, f func(render.Printer) error) error {
	return e.document(func(w io.Writer) error {
		p := e.printer(w, cols)
		if err := f(p); err != nil {
			return err
		}
		return p.Close()
	})
}

// document writes to standard output, buffered; what was written before an
// error is shown too.
func (e *env) document(f func(io.Writer) error) error {
	w := bufio.NewWriterSize(e.stdout, 64<<10)
	err := f(w)
	if ferr := w.Flush(); err == nil {
		err = ferr
	}
	return err
}

// toFile writes a file as a whole or not at all, for its owner only.
func toFile(path string, f func(io.Writer) error) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tmp.Close() // closed already, or of no interest beside err
			_ = os.Remove(tmp.Name())
		}
	}()
	w := bufio.NewWriterSize(tmp, 64<<10)
	if err = f(w); err != nil {
		return err
	}
	if err = w.Flush(); err != nil {
		return err
	}
	if err = tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
