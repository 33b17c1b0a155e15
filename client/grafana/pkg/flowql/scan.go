package flowql

import "strings"

// What a stretch of FlowQL text is. Only as much is told apart as it takes to know where a variable, a macro or a stage may
// stand: the language itself is read by the server alone.
type kind int

const (
	code     kind = iota // everything outside the following
	comment              // -- …, // …, /* … */
	text                 // '…' or "…"
	name                 // `…`
	regex                // /…/
	pipe                 // | between stages, and never ||
	end                  // ; behind the statement
	opening              // ( or [
	closing              // ) or ]
	template             // $name, ${name}, ${name:format}, [[name]]
)

type token struct {
	kind       kind
	start, end int    // bytes in the text
	name       string // of a template: what is asked for
	format     string // of a template: behind the colon
	braced     bool   // of a template: ${…} or [[…]]
}

// Words behind which a value begins, so that a slash there begins a regular expression and is no division.
var valueFollows = map[string]bool{"matches": true, "contains": true, "has": true, "starts_with": true, "ends_with": true, "in": true,
	"and": true, "or": true, "not": true, "where": true, "between": true, "by": true, "select": true, "extend": true}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// scan splits a text into tokens that cover it without gaps. It never fails: what does not end (a string, a comment) goes to
// the text's end, and the server says what is wrong with it.
func scan(s string) []token {
	var out []token
	plain := -1
	flush := func(at int) {
		if plain >= 0 && at > plain {
			out = append(out, token{kind: code, start: plain, end: at})
		}
		plain = -1
	}
	valueNext := true // may a value stand here?
	for i := 0; i < len(s); {
		c := s[i]
		t := token{start: i}
		switch {
		case strings.HasPrefix(s[i:], "--") || strings.HasPrefix(s[i:], "//"):
			t.kind, t.end = comment, lineEnd(s, i)
		case strings.HasPrefix(s[i:], "/*"):
			t.kind, t.end = comment, behind(s, i+2, "*/")
		case c == '"' || c == '\'':
			t.kind, t.end = text, quoteEnd(s, i, c)
		case c == '`':
			t.kind, t.end = name, behind(s, i+1, "`")
		case c == '/' && valueNext:
			if at, ok := regexEnd(s, i); ok {
				t.kind, t.end = regex, at
			}
		case strings.HasPrefix(s[i:], "||"):
			if plain < 0 {
				plain = i
			}
			valueNext = true
			i += 2
			continue
		case c == '|':
			t.kind, t.end = pipe, i+1
		case c == ';':
			t.kind, t.end = end, i+1
		case c == '$' || strings.HasPrefix(s[i:], "[["):
			if found, ok := templateAt(s, i); ok {
				t = found
			} else if c == '[' {
				t.kind, t.end = opening, i+1
			}
		case c == '(' || c == '[':
			t.kind, t.end = opening, i+1
		case c == ')' || c == ']':
			t.kind, t.end = closing, i+1
		}
		if t.end > i {
			flush(i)
			out = append(out, t)
			switch t.kind {
			case comment:
			case pipe, end, opening:
				valueNext = true
			default:
				valueNext = false
			}
			i = t.end
			continue
		}
		if plain < 0 {
			plain = i
		}
		switch {
		case isWord(c):
			j := i
			for j < len(s) && isWord(s[j]) {
				j++
			}
			valueNext = valueFollows[strings.ToLower(s[i:j])]
			i = j
			continue
		case strings.IndexByte("=~!<>,+-*%&", c) >= 0:
			valueNext = true
		case c != ' ' && c != '\t' && c != '\n' && c != '\r':
			valueNext = false
		}
		i++
	}
	flush(len(s))
	return out
}

func lineEnd(s string, from int) int {
	if at := strings.IndexByte(s[from:], '\n'); at >= 0 {
		return from + at
	}
	return len(s)
}

func behind(s string, from int, mark string) int {
	if from > len(s) {
		return len(s)
	}
	if at := strings.Index(s[from:], mark); at >= 0 {
		return from + at + len(mark)
	}
	return len(s)
}

func quoteEnd(s string, from int, quote byte) int {
	for i := from + 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case quote:
			return i + 1
		}
	}
	return len(s)
}

// A regular expression ends on its own line, or it is none.
func regexEnd(s string, from int) (int, bool) {
	for i := from + 1; i < len(s) && s[i] != '\n'; i++ {
		switch s[i] {
		case '\\':
			i++
		case '/':
			i++
			for i < len(s) && isWord(s[i]) {
				i++
			}
			return i, true
		}
	}
	return 0, false
}

// templateAt reads $name, ${name}, ${name:format} or [[name:format]] at a place.
func templateAt(s string, at int) (token, bool) {
	t := token{kind: template, start: at}
	i := at + 1
	closing := ""
	switch {
	case strings.HasPrefix(s[at:], "${"):
		i, closing, t.braced = at+2, "}", true
	case strings.HasPrefix(s[at:], "[["):
		i, closing, t.braced = at+2, "]]", true
	}
	begin := i
	for i < len(s) && (isWord(s[i]) || closing != "" && s[i] == '.') {
		i++
	}
	t.name = s[begin:i]
	if t.name == "" {
		return token{}, false
	}
	if closing == "" {
		t.end = i
		return t, true
	}
	if i < len(s) && s[i] == ':' {
		begin = i + 1
		for i = begin; i < len(s) && (isWord(s[i]) || s[i] == ':' || s[i] == '-'); i++ {
		}
		t.format = s[begin:i]
	}
	if !strings.HasPrefix(s[i:], closing) {
		return token{}, false
	}
	t.end = i + len(closing)
	return t, true
}
