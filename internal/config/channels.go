package config

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// Channel is where alerts are sent, as the settings say it. Its texts may name
// secrets instead of having them: see Resolved.
type Channel struct {
	Name        string   `yaml:"name"`         // unique; letters, digits, - and _
	Type        string   `yaml:"type"`         // terminal, file, webhook, sns, mail, slack, teams, discord, telegram, ntfy or shoutrrr
	URL         string   `yaml:"url"`          // where to send; ${NAME} is a variable
	URLFile     string   `yaml:"url_file"`     // a file with the url instead
	Path        string   `yaml:"path"`         // of type file
	TopicARN    string   `yaml:"topic_arn"`    // of type sns
	Secret      string   `yaml:"secret"`       // signs what a webhook gets; ${NAME} is a variable
	SecretFile  string   `yaml:"secret_file"`  // a file with the secret instead
	From        string   `yaml:"from"`         // of type mail
	To          []string `yaml:"to"`           // of type mail
	MinSeverity string   `yaml:"min_severity"` // info, low, medium, high or critical; default info
	Rules       []string `yaml:"rules"`        // ids of rules; default all
	Accounts    []string `yaml:"accounts"`     // account ids; default all
	Off         bool     `yaml:"off"`          // true: nothing is sent
}

// ChannelError says what is wrong with a channel. It never has a value that may be
// a secret.
type ChannelError struct {
	Origin  string // where the setting comes from
	Channel string // name, or "number N"
	Key     string // empty: the channel as a whole
	What    string
}

func (e *ChannelError) Error() string {
	where := "setting channels (" + e.Origin + ")"
	if e.Channel != "" {
		where += ", channel " + e.Channel
	}
	if e.Key != "" {
		where += ", key " + e.Key
	}
	return where + ": " + e.What
}

// channelKeys are the keys that a type needs, and those that it also takes,
// besides the ones that all take.
var channelKeys = map[string]struct{ needs, takes []string }{
	"terminal": {},
	"file":     {needs: []string{"path"}},
	"webhook":  {needs: []string{"url"}, takes: []string{"secret"}},
	"sns":      {needs: []string{"topic_arn"}},
	"mail":     {needs: []string{"url", "from", "to"}},
	"slack":    {needs: []string{"url"}},
	"teams":    {needs: []string{"url"}},
	"discord":  {needs: []string{"url"}},
	"telegram": {needs: []string{"url"}},
	"ntfy":     {needs: []string{"url"}},
	"shoutrrr": {needs: []string{"url"}},
}

// channelTypes in the order in which people are told them.
var channelTypes = []string{"terminal", "file", "webhook", "sns", "mail", "slack", "teams", "discord", "telegram", "ntfy", "shoutrrr"}

// commonKeys are those of every channel.
var commonKeys = []string{"name", "type", "min_severity", "rules", "accounts", "off"}

var channelName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[\w-]{1,40}$`) })

// parseChannels reads the YAML list of channels.
func parseChannels(v value) ([]Channel, error) {
	fail := func(channel, key, format string, args ...any) error {
		return &ChannelError{Origin: v.origin, Channel: channel, Key: key, What: fmt.Sprintf(format, args...)}
	}
	var doc yaml.Node
	// What yaml says quotes the text, which may hold a secret.
	if err := yaml.Unmarshal([]byte(v.text), &doc); err != nil {
		return nil, fail("", "", "it is not a YAML list of channels")
	}
	if doc.Kind == 0 || doc.Content[0].Tag == "!!null" {
		return nil, nil
	}
	list := doc.Content[0]
	if list.Kind != yaml.SequenceNode {
		return nil, fail("", "", "give a list: each channel begins with `- name: …`")
	}
	channels := make([]Channel, 0, len(list.Content))
	seen := map[string]bool{}
	for i, node := range list.Content {
		called := fmt.Sprintf("number %d", i+1)
		if node.Kind != yaml.MappingNode {
			return nil, fail(called, "", "give keys and values, such as `name: oncall`")
		}
		given := map[string]bool{}
		for k := 0; k+1 < len(node.Content); k += 2 {
			key := node.Content[k].Value
			if v := node.Content[k+1]; v.Kind != yaml.ScalarNode || v.Value != "" && v.Tag != "!!null" {
				given[key] = true
			}
			if key == "name" && channelName().MatchString(node.Content[k+1].Value) {
				called = node.Content[k+1].Value
			}
		}
		c, err := channelOf(node, given, func(key, format string, args ...any) error { return fail(called, key, format, args...) })
		if err != nil {
			return nil, err
		}
		if seen[c.Name] {
			return nil, fail(called, "name", "another channel is called so")
		}
		seen[c.Name] = true
		if c.Path, err = besideFile(c.Path, v.base); err == nil {
			if c.URLFile, err = besideFile(c.URLFile, v.base); err == nil {
				c.SecretFile, err = besideFile(c.SecretFile, v.base)
			}
		}
		if err != nil {
			return nil, fail(called, "", "%v", err)
		}
		channels = append(channels, c)
	}
	return channels, nil
}

// channelOf reads one channel and checks what can be checked without its secrets.
func channelOf(node *yaml.Node, given map[string]bool, fail func(key, format string, args ...any) error) (Channel, error) {
	var c Channel
	known := slices.Concat(commonKeys, []string{"url", "url_file", "path", "topic_arn", "secret", "secret_file", "from", "to"})
	twice := map[string]bool{}
	for k := 0; k+1 < len(node.Content); k += 2 {
		key, val := node.Content[k].Value, node.Content[k+1]
		if !slices.Contains(known, key) {
			if near := Near(key, known); near != "" {
				return c, fail(key, "no such key: did you mean %s?", near)
			}
			return c, fail(key, "no such key: there are %s", strings.Join(known, ", "))
		}
		if twice[key] {
			return c, fail(key, "it is given twice")
		}
		twice[key] = true
		isList := key == "to" || key == "rules" || key == "accounts"
		if isList && val.Kind == yaml.ScalarNode && val.Tag != "!!null" { // a, b as elsewhere
			var parts []*yaml.Node
			for _, p := range parseList(val.Value) {
				parts = append(parts, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: p})
			}
			node.Content[k+1] = &yaml.Node{Kind: yaml.SequenceNode, Content: parts}
		}
		if err := (&yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{node.Content[k], node.Content[k+1]}}).Decode(&c); err != nil {
			if key == "off" {
				return c, fail(key, "give true or false")
			}
			return c, fail(key, "give %s", map[bool]string{true: "a list", false: "one value"}[isList])
		}
	}
	if !channelName().MatchString(c.Name) {
		return c, fail("name", "give a name of at most 40 letters, digits, - and _")
	}
	keys, ok := channelKeys[c.Type]
	if !ok {
		return c, fail("type", "%q is none of %s", c.Type, strings.Join(channelTypes, ", "))
	}
	for _, need := range keys.needs {
		if !given[need] && !(need == "url" && given["url_file"]) {
			return c, fail(need, "type %s needs it", c.Type)
		}
	}
	for key := range given {
		plain := strings.TrimSuffix(key, "_file")
		if !slices.Contains(commonKeys, key) && !slices.Contains(keys.needs, plain) && !slices.Contains(keys.takes, plain) {
			return c, fail(key, "type %s has no use for it", c.Type)
		}
		if key != plain && given[plain] {
			return c, fail(key, "give %s or %s, not both", plain, key)
		}
	}
	if c.MinSeverity != "" && !slices.Contains([]string{"info", "low", "medium", "high", "critical"}, strings.ToLower(c.MinSeverity)) {
		return c, fail("min_severity", "%q is none of info, low, medium, high, critical", c.MinSeverity)
	}
	if i := slices.IndexFunc(c.Accounts, func(a string) bool { return !isAccount(a) }); i >= 0 {
		return c, fail("accounts", "%q is no account id of 12 digits (in quotes, for leading zeros)", c.Accounts[i])
	}
	return c, nil
}

// besideFile makes a path of the settings file absolute.
func besideFile(path, base string) (string, error) {
	if path == "" || filepath.IsAbs(path) {
		return path, nil
	}
	return filepath.Abs(filepath.Join(base, path))
}

// variable is ${NAME}, a variable of the environment, ${ssm:NAME}, a parameter of
// the Systems Manager's Parameter Store, or ${secretsmanager:ID}, a secret of
// Secrets Manager; ${secretsmanager:ID#KEY} is one value of a secret that is JSON.
var variable = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\$\{(?:(ssm|secretsmanager):([A-Za-z0-9/_+=.@:#-]+)|([A-Za-z_][A-Za-z0-9_]*))\}`)
})

// SecretRef says where in AWS a secret is kept.
type SecretRef struct {
	Service string // ssm or secretsmanager
	Name    string // of the parameter, or name or ARN of the secret
	Key     string // of a secret that is a JSON object; empty: the whole text
}

func (r SecretRef) String() string {
	text := r.Service + ":" + r.Name
	if r.Key != "" {
		text += "#" + r.Key
	}
	return text
}

// Vault reads secrets that are kept in AWS.
type Vault func(SecretRef) (string, error)

// Hidden reports whether a text of the channel is in a variable, a file or AWS.
func (c *Channel) Hidden() bool {
	return c.URLFile != "" || c.SecretFile != "" || variable().MatchString(c.URL) || variable().MatchString(c.Secret)
}

// InAWS lists the secrets of the channel that are kept in AWS.
func (c *Channel) InAWS() []SecretRef {
	var refs []SecretRef
	for _, text := range []string{c.URL, c.Secret} {
		for _, match := range variable().FindAllStringSubmatch(text, -1) {
			if match[1] != "" {
				refs = append(refs, secretRef(match))
			}
		}
	}
	return refs
}

// secretRef is what a match of variable names in AWS.
func secretRef(match []string) SecretRef {
	ref := SecretRef{Service: match[1], Name: match[2]}
	if ref.Service == "secretsmanager" {
		ref.Name, ref.Key, _ = strings.Cut(ref.Name, "#")
	}
	return ref
}

// Resolved returns the channel with its secrets, read from the environment, files
// and, with a vault, AWS. Errors name the key, never a value.
func (c Channel) Resolved(lookupEnv func(string) (string, bool), vault Vault) (Channel, error) {
	for _, s := range []struct {
		key, file string
		value     *string
	}{{"url", c.URLFile, &c.URL}, {"secret", c.SecretFile, &c.Secret}} {
		if s.file != "" {
			text, err := os.ReadFile(s.file)
			if err != nil {
				return c, fmt.Errorf("key %s_file: %w", s.key, err)
			}
			*s.value = strings.TrimSpace(string(text))
			if *s.value == "" {
				return c, fmt.Errorf("key %s_file: the file %s is empty", s.key, s.file)
			}
			continue
		}
		var failed error
		*s.value = variable().ReplaceAllStringFunc(*s.value, func(text string) string {
			v, err := reveal(variable().FindStringSubmatch(text), lookupEnv, vault)
			if err != nil && failed == nil {
				failed = fmt.Errorf("key %s: %w", s.key, err)
			}
			return v
		})
		if failed != nil {
			return c, failed
		}
	}
	return c, nil
}

// reveal returns what a match of variable stands for.
func reveal(match []string, lookupEnv func(string) (string, bool), vault Vault) (string, error) {
	if name := match[3]; name != "" {
		v, _ := lookupEnv(name)
		if v == "" {
			return "", fmt.Errorf("the environment variable %s is not set", name)
		}
		return v, nil
	}
	ref := secretRef(match)
	if vault == nil {
		return "", fmt.Errorf("%s is read where alerts are sent", ref)
	}
	return vault(ref)
}

// channelsText says which channels there are, without anything that is secret.
func channelsText(channels []Channel) string {
	parts := make([]string, len(channels))
	for i, c := range channels {
		what := c.Type
		if c.MinSeverity != "" {
			what += ", " + strings.ToLower(c.MinSeverity)
		}
		if c.Off {
			what += ", off"
		}
		parts[i] = c.Name + " (" + what + ")"
	}
	return strings.Join(parts, ", ")
}
