package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// FileName is the settings file that is looked for in the data directory.
const FileName = "iamtrack.yaml"

// Input is where settings come from.
type Input struct {
	// Flags are the settings given on the command line, by flag name without
	// dashes; only those that were given.
	Flags map[string]string
	// LookupEnv is os.LookupEnv, or a test's. An empty variable counts as unset.
	LookupEnv func(string) (string, bool)
	// File is --config: must exist, and may name the data directory. Empty:
	// IAMTRACK_CONFIG, else iamtrack.yaml in the data directory, if it is there.
	File string
}

// Error says which setting is wrong, and what would be right.
type Error struct {
	Setting, Value, Origin string
	Allowed                string
}

func (e *Error) Error() string {
	shown := userInfo().ReplaceAllString(e.Value, "://***@")
	return fmt.Sprintf("setting %s: %q (%s) is not allowed: use %s", e.Setting, shown, e.Origin, e.Allowed)
}

// userInfo is where a URL has a name and a password.
var userInfo = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`://[^/?#]*@`) })

// FileError says what is wrong with the settings file.
type FileError struct {
	Path string
	Line int // 0: the whole file
	What string
}

func (e *FileError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("settings file %s: %s", e.Path, e.What)
	}
	return fmt.Sprintf("settings file %s, line %d: %s", e.Path, e.Line, e.What)
}

// Load reads all settings. Errors are *Error, *FileError, or say that no data
// directory could be found.
func Load(in Input) (Config, error) {
	l := loader{in: in, c: Config{origins: map[string]string{}}}
	err := l.load()
	return l.c, err
}

type loader struct {
	in Input
	c  Config
}

// value is a setting as text, and where it was found.
type value struct {
	text, origin string
	base         string // the folder that a relative path starts from
}

func (l *loader) load() error {
	dir := &definitions[0]
	given, hasDir := l.given(dir)
	file := l.in.File
	if file == "" {
		file, _ = l.in.LookupEnv("IAMTRACK_CONFIG")
	}
	explicit := file != ""
	var values map[string]value
	var err error
	if explicit {
		if values, err = readFile(file); err != nil {
			return err
		}
		if v, ok := values[dir.key]; ok && !hasDir {
			given, hasDir = v, true
		}
	}
	if !hasDir {
		path, err := defaultDataDir(l.in.LookupEnv)
		if err != nil {
			return err
		}
		given = value{text: path, origin: "default"}
	}
	if err := l.put(dir, given); err != nil {
		return err
	}
	if file := fileInPath(l.c.DataDir); file != "" {
		return &Error{Setting: dir.key, Value: l.c.DataDir, Origin: given.origin, Allowed: dir.allowed + ": " + file + " is a file"}
	}
	if !explicit {
		file = filepath.Join(l.c.DataDir, FileName)
		values, err = readFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			file, err = "", nil
		}
		if err != nil {
			return err
		}
		if v, ok := values[dir.key]; ok {
			return &FileError{Path: file, What: fmt.Sprintf("data_dir (%s) can't be set by the file in the data directory itself: name the file with --config", v.origin)}
		}
	}
	l.c.File = file
	for i := range definitions[1:] {
		d := &definitions[1+i]
		v, ok := l.given(d)
		if !ok {
			v, ok = values[d.key]
		}
		if !ok {
			v = value{text: d.deflt, origin: "default"}
			if d.key == "off_hours_tz" {
				v = l.offHoursZone(values)
			}
		}
		if err := l.put(d, v); err != nil {
			return err
		}
	}
	if l.c.Organization && l.c.AccountsFile != "" {
		return &Error{Setting: "organization", Value: "true", Origin: l.c.origins["organization"],
			Allowed: "either that or accounts_file (" + l.c.origins["accounts_file"] + "), not both"}
	}
	return nil
}

// fileInPath returns the part of a folder's path that is a file, and so can't
// hold anything; "" when there is none.
func fileInPath(dir string) string {
	for {
		info, err := os.Stat(dir)
		switch parent := filepath.Dir(dir); {
		case err == nil && !info.IsDir():
			return dir
		case err == nil, parent == dir:
			return ""
		default:
			dir = parent
		}
	}
}

// offHoursZone is tz without its flag: which alerts there are must not depend
// on how somebody wants to see an answer.
func (l *loader) offHoursZone(file map[string]value) value {
	tz := definitions[2]
	if v, ok := l.environment(&tz); ok {
		return value{text: v.text, origin: "tz, " + v.origin}
	}
	if v, ok := file[tz.key]; ok {
		return value{text: v.text, origin: "tz, " + v.origin}
	}
	return value{text: tz.deflt, origin: "default"}
}

// given looks at flags, then at the environment.
func (l *loader) given(d *definition) (value, bool) {
	if text, ok := l.in.Flags[d.flag]; ok && d.flag != "" {
		return value{text: text, origin: "flag --" + d.flag}, true
	}
	return l.environment(d)
}

func (l *loader) environment(d *definition) (value, bool) {
	for _, name := range d.envNames() {
		if text, _ := l.in.LookupEnv(name); text != "" {
			return value{text: text, origin: "environment " + name}, true
		}
	}
	return value{}, false
}

func (l *loader) put(d *definition, v value) error {
	text := strings.TrimSpace(v.text)
	if d.path && text != "" {
		var err error
		if text, err = l.absolute(text, v.base); err != nil {
			return err
		}
	}
	if d.parse != nil {
		if err := d.parse(&l.c, v); err != nil {
			return err
		}
	} else if !d.set(&l.c, text) {
		return &Error{Setting: d.key, Value: v.text, Origin: v.origin, Allowed: d.allowed}
	}
	l.c.origins[d.key] = v.origin
	return nil
}

// absolute resolves "~/" and makes a path absolute, so that an answer doesn't
// depend on a later change of folder.
func (l *loader) absolute(path, base string) (string, error) {
	if path == "~" || strings.HasPrefix(path, "~/") {
		home, _ := l.in.LookupEnv(homeVariable())
		if home == "" {
			return "", fmt.Errorf("resolve %s: %s is not set", path, homeVariable())
		}
		return filepath.Join(home, path[1:]), nil
	}
	if base != "" && !filepath.IsAbs(path) {
		path = filepath.Join(base, path)
	}
	return filepath.Abs(path)
}

func homeVariable() string {
	if runtime.GOOS == "windows" {
		return "USERPROFILE"
	}
	return "HOME"
}

func defaultDataDir(lookup func(string) (string, bool)) (string, error) {
	try := func(name string, below ...string) string {
		v, _ := lookup(name)
		if !filepath.IsAbs(v) { // the XDG specification: relative paths don't count
			return ""
		}
		return filepath.Join(append([]string{v}, below...)...)
	}
	var dir string
	switch runtime.GOOS {
	case "windows":
		dir = try("LocalAppData", "iamtrack")
	case "darwin":
		dir = try("HOME", "Library", "Application Support", "iamtrack")
	default:
		if dir = try("XDG_DATA_HOME", "iamtrack"); dir == "" {
			dir = try("HOME", ".local", "share", "iamtrack")
		}
	}
	if dir == "" {
		return "", fmt.Errorf("find the data directory: %s is not set; name a folder with --data-dir or IAMTRACK_DATA_DIR", homeVariable())
	}
	return dir, nil
}

// readFile reads a flat YAML mapping of known keys to scalars or lists of
// scalars. An empty value counts as not set.
func readFile(path string) (map[string]value, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the settings file: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, &FileError{Path: path, What: strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	values := map[string]value{}
	if doc.Kind == 0 { // empty, or only comments
		return values, nil
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		if root.Tag == "!!null" {
			return values, nil
		}
		return nil, &FileError{path, root.Line, "settings are lines of the form `key: value`"}
	}
	base, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, node := root.Content[i], root.Content[i+1]
		if !known(key.Value) {
			what := fmt.Sprintf("unknown setting %q", key.Value)
			if near := Near(key.Value, Keys()); near != "" {
				what += fmt.Sprintf(": did you mean %s?", near)
			} else {
				what += ": `iamtrack config` lists all settings"
			}
			return nil, &FileError{path, key.Line, what}
		}
		if line, twice := seen[key.Value]; twice {
			return nil, &FileError{path, key.Line, fmt.Sprintf("setting %s was already given in line %d", key.Value, line)}
		}
		seen[key.Value] = key.Line
		text, ok := nodeText(node)
		if key.Value == "channels" {
			text, ok = yamlText(node)
		}
		if !ok {
			return nil, &FileError{path, node.Line, fmt.Sprintf("setting %s: give one value, or a list of values", key.Value)}
		}
		if text != "" {
			values[key.Value] = value{text: text, origin: fmt.Sprintf("%s:%d", path, key.Line), base: base}
		}
	}
	return values, nil
}

func known(key string) bool {
	for i := range definitions {
		if definitions[i].key == key {
			return true
		}
	}
	return false
}

// nodeText is a scalar's text as it was written (22:00 must not become a
// number), or the elements of a list with commas between.
func nodeText(n *yaml.Node) (string, bool) {
	switch n.Kind {
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return "", true
		}
		return n.Value, true
	case yaml.SequenceNode:
		parts := make([]string, len(n.Content))
		for i, e := range n.Content {
			if e.Kind != yaml.ScalarNode || strings.Contains(e.Value, ",") {
				return "", false
			}
			parts[i] = e.Value
		}
		return strings.Join(parts, ","), true
	}
	return "", false
}

// yamlText is a node as YAML; "" when it's empty.
func yamlText(n *yaml.Node) (string, bool) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return "", true
	}
	text, err := yaml.Marshal(n)
	return string(text), err == nil
}
