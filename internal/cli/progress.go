package cli

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/iamtrack/iamtrack/internal/collect"
	"github.com/iamtrack/iamtrack/internal/render"
)

// progressEvery is how often progress is said where it isn't drawn in place.
const progressEvery = 10 * time.Second

// progress shows on standard error how far something is: a bar on a terminal, a
// plain line every ten seconds elsewhere, nothing when quiet.
type progress struct {
	e        *env
	terminal bool
	width    int
	bar      *progressbar.ProgressBar // made by the first call
	said     time.Time
}

func (e *env) newProgress() *progress {
	p := &progress{e: e, said: time.Now()}
	p.width, p.terminal = render.Terminal(e.stderr)
	return p
}

// show draws or says it. total < 0 is unknown.
func (p *progress) show(done, total int64, text string) {
	if !p.e.logs("info") {
		return
	}
	if !p.terminal {
		if now := time.Now(); now.Sub(p.said) >= progressEvery {
			p.said = now
			p.e.note("%s", text)
		}
		return
	}
	if p.bar == nil {
		p.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(p.e.stderr), progressbar.OptionSetWidth(max(5, min(30, p.width/4))),
			progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetElapsedTime(false), progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetTheme(progressbar.ThemeASCII), progressbar.OptionSpinnerType(9),
		)
	}
	if total > p.bar.GetMax64() { // a listing that goes on
		p.bar.ChangeMax64(total)
	}
	p.bar.Describe(text)
	_ = p.bar.Set64(done) // it fails only when its writer does
}

// importing is collect.ImportOptions.Progress.
func (p *progress) importing(s collect.Progress) {
	total := s.Bytes
	if total <= 0 {
		total = -1 // standard input
	}
	p.show(s.BytesDone, total, importProgress(s))
}

// importProgress is the state of an import in words: files, bytes, records,
// rate, time left.
func importProgress(s collect.Progress) string {
	text := fmt.Sprintf("%s of %s, %s", number(s.FilesDone), count(s.Files, "file"), bytesText(s.BytesDone))
	if s.Bytes > 0 {
		text += " of " + bytesText(s.Bytes)
	}
	text += ", " + count(s.Records, "record")
	if sec := s.Elapsed.Seconds(); sec > 0 {
		text += fmt.Sprintf(", %s/s", number(int64(float64(s.Records)/sec)))
	}
	if s.Months > 0 {
		text += fmt.Sprintf(", %s of %s rolled up", number(s.MonthsDone), count(s.Months, "month"))
	} else if left := timeLeft(s); left > 0 {
		text += ", " + secondsText(left.Round(time.Second)) + " left"
	}
	return text
}

// timeLeft extrapolates from the bytes read; 0 when nothing can be said.
func timeLeft(s collect.Progress) time.Duration {
	if s.BytesDone <= 0 || s.Bytes <= s.BytesDone || s.Elapsed < 2*time.Second {
		return 0
	}
	return time.Duration(float64(s.Elapsed) * float64(s.Bytes-s.BytesDone) / float64(s.BytesDone))
}

// exporting is collect.ExportOptions.Progress.
func (p *progress) exporting(done, total int) {
	p.show(int64(done), int64(total), fmt.Sprintf("%s of %s", number(done), count(total, "day")))
}

// rollingUp is the progress of collect.Pipeline.RollUp.
func (p *progress) rollingUp(done, total int) {
	p.show(int64(done), int64(total), fmt.Sprintf("%s of %s rolled up", number(done), count(total, "month")))
}

// done takes the bar away.
func (p *progress) done() {
	if p.bar != nil {
		_ = p.bar.Finish() // it fails only when its writer does
	}
}
