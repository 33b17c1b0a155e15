// Package flowql prepares FlowQL texts for the server: it puts in what only Grafana knows (the time range, the interval, variables and
// filters of a dashboard), and does so in a way that a value can never become syntax: values travel as parameters of the
// request, and the few that have to stand in the text are checked or escaped.
//
// Nothing here keeps state; all functions may be called from any goroutine.
package flowql

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// EscapeText escapes what stands between quotes of either kind (LANGUAGE.md, "string").
func EscapeText(value string) string {
	var out strings.Builder
	for _, r := range value {
		switch {
		case r == '\\' || r == '"' || r == '\'':
			out.WriteByte('\\')
			out.WriteRune(r)
		case r == '\n':
			out.WriteString(`\n`)
		case r == '\t':
			out.WriteString(`\t`)
		case r == '\r':
			out.WriteString(`\r`)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&out, `\x%02x`, r)
		default: // what is no UTF-8 comes as U+FFFD, which the server can read
			out.WriteRune(r)
		}
	}
	return out.String()
}

// TextOf reads a text as the server writes it between quotes; false: it is none.
func TextOf(literal string) (string, bool) {
	if len(literal) < 2 || literal[0] != '"' && literal[0] != '\'' || literal[len(literal)-1] != literal[0] {
		return "", false
	}
	var out strings.Builder
	for inner := literal[1 : len(literal)-1]; inner != ""; {
		at := strings.IndexByte(inner, '\\')
		if at < 0 {
			at = len(inner)
		}
		out.WriteString(inner[:at])
		if inner = inner[at:]; inner == "" {
			break
		}
		value, _, rest, err := strconv.UnquoteChar(inner, 0)
		if len(inner) > 1 && (inner[1] == '"' || inner[1] == '\'') {
			value, rest, err = rune(inner[1]), inner[2:], nil
		}
		if err != nil {
			return "", false
		}
		if inner[1] == 'x' { // a byte, and no letter
			out.WriteByte(byte(value))
		} else {
			out.WriteRune(value)
		}
		inner = rest
	}
	return out.String(), utf8.ValidString(out.String())
}

// EscapeRegex makes a text stand for itself in a regular expression, also between slashes.
func EscapeRegex(value string) string {
	return strings.NewReplacer("/", `\/`, "\n", `\n`, "\r", `\r`).Replace(regexp.QuoteMeta(value))
}

// What a column may be called where the name comes from outside: plain parts with dots, as LANGUAGE.md says.
var plainName = regexp.MustCompile(`^@?[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$`)

// Column writes a name from outside as a column. Back-quotes keep it a name whatever the language calls so (`by`, `limit`).
func Column(value string) (string, error) {
	if !plainName.MatchString(value) {
		return "", fmt.Errorf("%q is not the name of a column", value)
	}
	// What the source said and no column holds is read part by part.
	if rest, ok := strings.CutPrefix(value, "extra."); ok {
		return "extra.`" + rest + "`", nil
	}
	return "`" + value + "`", nil
}

// Timestamp is a time as FlowQL writes it.
func Timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999999999Z") }

// Duration is a length of time as FlowQL writes it, in the greatest unit that leaves no rest. Never less than a millisecond:
// a bin of no length would be none.
func Duration(d time.Duration) string {
	if d < time.Millisecond {
		d = time.Millisecond
	}
	ms := d.Milliseconds()
	for _, unit := range []struct {
		name string
		ms   int64
	}{{"d", 86_400_000}, {"h", 3_600_000}, {"m", 60_000}, {"s", 1000}} {
		if ms%unit.ms == 0 {
			return strconv.FormatInt(ms/unit.ms, 10) + unit.name
		}
	}
	return strconv.FormatInt(ms, 10) + "ms"
}
