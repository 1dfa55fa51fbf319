package athenatest

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/iamtrack/iamtrack/internal/query"
)

// cell is a value as Athena writes it; nil is NULL.
func cell(v any) *string {
	text := ""
	switch v := v.(type) {
	case nil:
		return nil
	case string:
		text = v
	case bool:
		text = strconv.FormatBool(v)
	case int64:
		text = strconv.FormatInt(v, 10)
	case float64:
		text = strconv.FormatFloat(v, 'G', -1, 64)
	case query.Date:
		text = string(v)
	case time.Time:
		text = v.UTC().Format("2006-01-02 15:04:05.000")
	case []any:
		parts := make([]string, len(v))
		for i, item := range v {
			parts[i] = "null"
			if p := cell(item); p != nil {
				parts[i] = *p
			}
		}
		text = "[" + strings.Join(parts, ", ") + "]"
	default:
		text = fmt.Sprint(v)
	}
	return &text
}

// typeOf is Athena's name of an engine's type, with the numbers that it has.
func typeOf(name string) (kind string, precision, scale int) {
	name = strings.ToLower(name)
	kind, rest, _ := strings.Cut(name, "(")
	_, zone, _ := strings.Cut(rest, ")")
	switch {
	case strings.HasSuffix(name, "[]"):
		return "array", 0, 0
	case kind == "hugeint":
		return "bigint", 19, 0
	case kind == "decimal":
		if _, err := fmt.Sscanf(rest, "%d,%d", &precision, &scale); err != nil {
			return "decimal", 38, 0
		}
		return kind, precision, scale
	case strings.HasPrefix(kind, "timestamp"):
		if strings.Contains(kind+zone, "with time zone") {
			return "timestamp with time zone", 3, 0
		}
		return "timestamp", 3, 0
	case kind == "real":
		return "float", 0, 0
	}
	return kind, 0, 0
}
