package simulate

import (
	"fmt"
	"strings"
)

// call is an API operation as CloudTrail records it. Its templates are JSON with
// %{verb} in places; see verbs.
type call struct {
	source   string // without .amazonaws.com
	name     string
	write    bool
	version  string // eventVersion
	kind     string // eventType; "" means AwsApiCall
	global   bool   // recorded in us-east-1
	rp, re   tmpl   // nil means null
	ad, sed  tmpl   // nil means absent
	resource tmpl
	errCode  string
	errMsg   tmpl
	bare     bool // sign-in pages and service events have no requestID
}

type verb func(dst []byte, c *renderer, arg string) []byte

type segment struct {
	lit string
	fn  verb
	arg string
}

type tmpl []segment

// compile reads a template; a mistake in one is a mistake in this package's
// source, which every test would hit.
func compile(text string) tmpl {
	var t tmpl
	for {
		lit, rest, found := strings.Cut(text, "%{")
		if lit != "" {
			t = append(t, segment{lit: lit})
		}
		if !found {
			return t
		}
		name, after, _ := strings.Cut(rest, "}")
		name, arg, _ := strings.Cut(name, ":")
		fn := verbs[name]
		if fn == nil {
			panic(fmt.Sprintf("simulate: unknown verb %q in a template", name))
		}
		t = append(t, segment{fn: fn, arg: arg})
		text = after
	}
}

func literal(text string) tmpl { return tmpl{{lit: text}} }

func (t tmpl) append(dst []byte, c *renderer) []byte {
	for i := range t {
		if s := &t[i]; s.fn != nil {
			dst = s.fn(dst, c, s.arg)
		} else {
			dst = append(dst, s.lit...)
		}
	}
	return dst
}

// verbs are the moving parts of templates. Random ones are drawn from the
// event's own stream, so both copies of a cross-account event agree.
var verbs = map[string]verb{
	"account": func(dst []byte, c *renderer, _ string) []byte { return append(dst, c.target().id...) },
	"region":  func(dst []byte, c *renderer, _ string) []byte { return append(dst, c.w.regions[c.p.region]...) },
	"hex": func(dst []byte, c *renderer, arg string) []byte {
		n := 8
		if arg == "17" {
			n = 17
		}
		return c.r.appendRandom(dst, lowerHex, n)
	},
	"uuid": func(dst []byte, c *renderer, _ string) []byte { return c.r.newUUID().append(dst) },
	"num":  func(dst []byte, c *renderer, _ string) []byte { return fmt.Appendf(dst, "%d", c.r.intn(900)+100) },
	"pick": func(dst []byte, c *renderer, arg string) []byte { return append(dst, choose(&c.r, arg)...) },
	"bucket": func(dst []byte, c *renderer, _ string) []byte {
		return append(dst, pick(&c.r, c.target().names.buckets)...)
	},
	"table": func(dst []byte, c *renderer, _ string) []byte {
		return append(dst, pick(&c.r, c.target().names.tables)...)
	},
	"volume": func(dst []byte, c *renderer, _ string) []byte {
		return append(dst, pick(&c.r, c.target().names.volumes)...)
	},
	"group": func(dst []byte, c *renderer, _ string) []byte {
		return append(dst, pick(&c.r, c.target().names.groups)...)
	},
	"cmk": func(dst []byte, c *renderer, _ string) []byte {
		return append(dst, pick(&c.r, c.target().names.keys)...)
	},
	"secret": func(dst []byte, c *renderer, _ string) []byte {
		return append(dst, pick(&c.r, c.target().names.secrets)...)
	},
	"stack": func(dst []byte, c *renderer, _ string) []byte {
		return append(dst, pick(&c.r, c.target().names.stacks)...)
	},
	"instance": func(dst []byte, c *renderer, _ string) []byte {
		return append(dst, pick(&c.r, c.target().instances).id...)
	},
	"function": func(dst []byte, c *renderer, _ string) []byte {
		return append(dst, pick(&c.r, c.target().functions).name...)
	},
	"role": func(dst []byte, c *renderer, _ string) []byte {
		return append(dst, pick(&c.r, c.target().instances).role.name...)
	},
	"user": func(dst []byte, c *renderer, _ string) []byte {
		return append(dst, pick(&c.r, c.target().users).name...)
	},
	"token":   func(dst []byte, c *renderer, _ string) []byte { return c.r.appendToken(dst) },
	"now":     func(dst []byte, c *renderer, _ string) []byte { return appendTime(dst, c.p.at) },
	"date":    func(dst []byte, c *renderer, _ string) []byte { return appendDate(dst, c.p.at) },
	"issued":  appendIssued,
	"subject": appendSubject,
}

// choose picks one of the alternatives a|b|c.
func choose(r *rng, arg string) string {
	n := r.intn(strings.Count(arg, "|") + 1)
	for range n {
		arg = arg[strings.IndexByte(arg, '|')+1:]
	}
	if i := strings.IndexByte(arg, '|'); i >= 0 {
		arg = arg[:i]
	}
	return arg
}
