package cli

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/render"
)

// progress is a bar on standard error; on anything but a terminal, and with
// --quiet, it is nothing.
type progress struct {
	e     *env
	shown bool
	bar   *progressbar.ProgressBar
}

func (e *env) newProgress() *progress {
	_, terminal := render.Terminal(e.stderr)
	return &progress{e: e, shown: terminal && e.logs("info")}
}

// start makes the bar; a total of -1 is unknown.
func (p *progress) start(total int64, bytes bool) {
	p.bar = progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(p.e.stderr),
		progressbar.OptionShowBytes(bytes),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(total > 0),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionUseANSICodes(true),
		progressbar.OptionFullWidth(),
		progressbar.OptionClearOnFinish(),
	)
}

// importing returns the callback of an import, nil when nothing is shown.
func (p *progress) importing() func(collect.Progress) {
	if !p.shown {
		return nil
	}
	return func(g collect.Progress) {
		if p.bar == nil {
			total := g.Bytes
			if total <= 0 {
				total = -1
			}
			p.start(total, true)
		}
		rate := ""
		if s := g.Elapsed.Seconds(); s > 0.5 {
			rate = fmt.Sprintf(", %s/s", number(int64(float64(g.Records)/s)))
		}
		p.bar.Describe(fmt.Sprintf("%s/%s files, %s%s", number(g.FilesDone), number(g.Files), count(g.Records, "record"), rate))
		// A bar that can't be drawn doesn't stop the import.
		_ = p.bar.Set64(g.BytesDone)
	}
}

// exporting returns the callback of an export, nil when nothing is shown.
func (p *progress) exporting() func(done, total int) {
	if !p.shown {
		return nil
	}
	return func(done, total int) {
		if p.bar == nil {
			p.start(int64(total), false)
			p.bar.Describe("days")
		}
		_ = p.bar.Set(done)
	}
}

// end removes the bar.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}
