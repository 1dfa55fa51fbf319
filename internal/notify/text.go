package notify

import (
	"html"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/iamtrack/iamtrack/internal/render"
)

// style is the language of a channel: how text that somebody else chose is
// written so that it can't ping, link, format or hide anything there.
type style struct {
	value func(text string) string // of text that was cleaned
	own   func(text string) string // of the program's own words
	size  func(text string) int    // as the channel counts its limit
	// line makes a line of a label and a value.
	line func(label, value string) string
}

func same(text string) string { return text }
func bytesOf(text string) int { return len(text) }
func plainLine(label, value string) string {
	return label + strings.Repeat(" ", max(1, 10-len(label))) + value
}

var (
	// terminalStyle needs no more than render.Text does.
	terminalStyle = style{value: same, own: same, size: bytesOf, line: plainLine}
	// plainStyle is for mail and such, where programs make links of what looks
	// like one.
	plainStyle = style{value: defang, own: same, size: bytesOf, line: plainLine}
	// teamsStyle counts what its lines take in the JSON of a card.
	teamsStyle = style{value: defang, own: same, size: cardSize, line: plainLine}
	// markdownStyle is for chats that know Markdown, or may: values are code, in
	// which nothing is markup, a mention or a link.
	markdownStyle = style{value: func(s string) string { return code(angles.Replace(defang(s))) }, own: same, size: utf8.RuneCountInString,
		line: func(label, value string) string { return label + ": " + value }}
	// slackStyle: Slack's documentation, "Formatting text for app surfaces": three
	// characters are entities; mentions are <!channel> and <@U…>.
	slackStyle = style{value: func(s string) string { return code(entities.Replace(s)) }, own: entities.Replace, size: utf8.RuneCountInString,
		line: markdownStyle.line}
	// telegramStyle: Telegram Bot API, "Formatting options", HTML style.
	telegramStyle = style{value: func(s string) string { return "<code>" + html.EscapeString(s) + "</code>" }, own: html.EscapeString, size: bytesOf,
		line: func(label, value string) string { return "<b>" + label + "</b> " + value }}
)

var (
	entities = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	// angles look alike and mean nothing.
	angles = strings.NewReplacer("<", "‹", ">", "›")
)

// code makes text code in Markdown. A backquote would end it, and no escape is
// known to all of them.
func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(text, "`", "'") + "`"
}

var (
	scheme  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?i)://|\b(mailto|tel|javascript|data):|www\.`) })
	mention = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(^|[^\w.%+-])[@#]|[@#](everyone|here|channel|all)`) })
)

// defang breaks what looks like a link or a mention, visibly. Mail addresses and
// ARNs stay as they are.
func defang(text string) string {
	text = scheme().ReplaceAllStringFunc(text, func(s string) string {
		s = strings.ReplaceAll(s, "://", "[:]//")
		if strings.HasSuffix(s, ":") {
			s = s[:len(s)-1] + "[:]"
		}
		if strings.HasSuffix(s, ".") { // www, in any case
			s = s[:len(s)-1] + "[.]"
		}
		return s
	})
	return mention().ReplaceAllStringFunc(text, func(s string) string {
		return strings.NewReplacer("@", "＠", "#", "＃").Replace(s)
	})
}

// clean makes text one harmless line of at most that many characters.
func clean(text string, most int) string {
	return cut(render.Text(beginning(text, most)), most)
}

// beginning is all of a text that most characters of its cleaned form can come
// from, and a little more: nobody has to clean megabytes.
func beginning(text string, most int) string {
	if len(text) <= 4*most+4 {
		return text
	}
	return strings.ToValidUTF8(text[:4*most+4], "") + "…"
}

// cut shortens text to that many characters; what was cut ends in "…".
func cut(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	n := 0
	for i := range text {
		if n++; n == most {
			return text[:i] + "…"
		}
	}
	return text
}

// lengths are how much of a value is shown; the first that fits is taken.
var lengths = []int{600, 250, 120, 60, 30, 12}

// text writes a notice within limit: values are cut as far as it takes, then lists
// to bare ids, then lines that can be missed are left out. The title and the ids
// of alerts are always there: New and Route see to it that these fit.
func (s *style) text(n *notice, limit int) (title, body string) {
	for _, bare := range []bool{false, true} {
		for _, most := range lengths {
			title, body = s.write(n, most, bare, len(n.fields))
			if s.size(title)+1+s.size(body) <= limit {
				return title, body
			}
		}
	}
	for left := len(n.fields) - 1; left >= 0; left-- {
		if title, body = s.write(n, lengths[len(lengths)-1], true, left); s.size(title)+1+s.size(body) <= limit {
			break
		}
	}
	return title, body
}

// write writes a notice with values of at most that many characters, lists as
// bare ids if so, and of the fields that can be missed only the first few.
func (s *style) write(n *notice, most int, bare bool, fields int) (title, body string) {
	title = s.own(n.label)
	if n.title != "" {
		title += ": " + s.value(clean(n.title, min(most, 200)))
	}
	var lines []string
	for i, f := range n.fields {
		switch {
		case f.value == "" || i >= fields && !f.must:
		case f.own:
			lines = append(lines, s.line(f.label, s.own(f.value)))
		default:
			lines = append(lines, s.line(f.label, s.value(clean(f.value, most))))
		}
	}
	if bare && len(n.items) > 0 {
		ids := make([]string, len(n.items))
		for i := range n.items {
			ids[i] = n.items[i].id
		}
		lines = append(lines, s.own(strings.Join(ids, " ")))
	} else {
		for _, it := range n.items {
			line := s.own(strings.TrimSpace(it.label + " " + it.id))
			sep := "  "
			for _, v := range it.values {
				if v != "" {
					line += sep + s.value(clean(v, most))
					sep = " · "
				}
			}
			lines = append(lines, line)
		}
	}
	for _, l := range n.lines {
		lines = append(lines, s.value(clean(l, most)))
	}
	if n.command != "" {
		lines = append(lines, s.own(n.command))
	}
	return title, strings.Join(lines, "\n")
}
