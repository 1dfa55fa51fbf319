package rule

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	yaml "go.yaml.in/yaml/v3"
)

//go:embed catalogue.yml
var catalogueYAML []byte

// entry is a rule's record in catalogue.yml.
type entry struct {
	ID             string   `yaml:"id"`
	Title          string   `yaml:"title"`
	Severity       string   `yaml:"severity"`
	Attack         []string `yaml:"attack"`
	Sources        []string `yaml:"sources"`
	Names          []string `yaml:"names"`
	Related        []string `yaml:"related"`
	Outcome        string   `yaml:"outcome"`
	Access         bool     `yaml:"access"`
	Condition      string   `yaml:"condition"`
	Why            string   `yaml:"why"`
	Next           string   `yaml:"next"`
	FalsePositives string   `yaml:"false_positives"`

	rule Rule
}

// attemptSuffix marks the twin of a critical rule that reports what AWS denied.
const attemptSuffix = "-attempt"

// hasAttempt reports whether denied calls are reported too.
func (en *entry) hasAttempt() bool { return en.rule.Severity == Critical && en.Outcome != "any" }

// catalogue is the parsed catalogue.yml, sorted by id. The file is part of the
// program, so a fault in it is a programming error; TestCatalogue reads it.
var catalogue = sync.OnceValue(func() []entry {
	entries, err := parseCatalogue(catalogueYAML)
	if err != nil {
		panic(err)
	}
	return entries
})

func parseCatalogue(data []byte) ([]entry, error) {
	var entries []entry
	if err := yaml.Unmarshal(data, &entries); err != nil {
		return nil, fmt.Errorf("read rule catalogue: %w", err)
	}
	for i := range entries {
		en := &entries[i]
		sev, err := ParseSeverity(en.Severity)
		if err != nil {
			return nil, fmt.Errorf("read rule catalogue: rule %s: %w", en.ID, err)
		}
		en.rule = Rule{
			ID: en.ID, Title: en.Title, Severity: sev, ATTACK: en.Attack,
			EventSources: en.Sources, EventNames: en.Names,
			Condition: en.Condition, Why: en.Why, Next: en.Next, FalsePositives: en.FalsePositives,
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.ID, b.ID) })
	return entries, nil
}

// attemptRule is the catalogue entry of a rule's twin for denied calls.
func attemptRule(r Rule) Rule {
	r.ATTACK, r.EventSources, r.EventNames = slices.Clone(r.ATTACK), slices.Clone(r.EventSources), slices.Clone(r.EventNames)
	base := r.ID
	r.ID += attemptSuffix
	r.Title = attemptTitle(r.Title)
	r.Severity = lower(r.Severity)
	r.Condition = "As " + base + ", but AWS denied the call. One level lower. Parameters are often not recorded for denied calls; then the error message is read."
	r.Next = "Find out why the actor tried. " + r.Next
	return r
}

func attemptTitle(title string) string { return "Attempted: " + title }

// lower is one level less, but never info.
func lower(s Severity) Severity { return max(s-1, Low) }
