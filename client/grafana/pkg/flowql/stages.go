package flowql

import (
	"fmt"
	"strings"
)

// Statements that change something. A dashboard is looked at by many with one token, so it only ever asks.
var changing = map[string]bool{"create": true, "drop": true, "alter": true, "replace": true}

func refuseChanges(s string, tokens []token) error {
	if word := firstWord(s, tokens, 0); changing[word] {
		return fmt.Errorf("'%s' changes something, and the data source only asks: use the server's prompt or POST /v1/query", word)
	}
	return nil
}

// firstWord is the word, in lower case, with which the tokens from a place on begin; "" if they begin otherwise.
func firstWord(s string, tokens []token, from int) string {
	for _, t := range tokens {
		if t.end <= from || t.kind == comment {
			continue
		}
		if t.kind != code {
			return ""
		}
		rest := strings.TrimLeft(s[max(t.start, from):t.end], " \t\r\n\u00a0\ufeff")
		if rest == "" {
			continue
		}
		n := 0
		for n < len(rest) && isWord(rest[n]) {
			n++
		}
		return strings.ToLower(rest[:n])
	}
	return ""
}

// AsksTable: its source is a table of the server's (`from alerts`), and no flows.
func AsksTable(s string) bool {
	tokens := scan(s)
	return firstWord(s, tokens, 0) == "from" && !isAboutFlows(s, tokens)
}

// isAboutFlows: its source is flows, said or not.
func isAboutFlows(s string, tokens []token) bool {
	switch firstWord(s, tokens, 0) {
	case "from":
		return secondWord(s, tokens) == "flows"
	case "show", "explain", "replay", "test":
		return false
	}
	return true
}

func secondWord(s string, tokens []token) string {
	seen := false
	for _, t := range tokens {
		if t.kind == comment {
			continue
		}
		if t.kind != code {
			return ""
		}
		for _, word := range strings.Fields(s[t.start:t.end]) {
			if seen {
				return strings.ToLower(word)
			}
			seen = true
		}
	}
	return ""
}

// Words with which a query without a source may begin that are no filter.
var stageWords = map[string]bool{"stats": true, "top": true, "timeseries": true, "sort": true, "limit": true, "tail": true, "sample": true,
	"distinct": true, "select": true, "drop": true, "rename": true, "extend": true, "show": true, "explain": true, "replay": true}

// filterPlace is where a condition on flows belongs: in front of a query that begins with a stage, else behind the source and its first filter.
func filterPlace(s string, tokens []token) int {
	if stageWords[firstWord(s, tokens, 0)] {
		return 0
	}
	return headEnd(s, tokens)
}

// headEnd is where the source and its first filter end: the first | outside of parentheses, a final ;, or the text's end.
func headEnd(s string, tokens []token) int {
	depth := 0
	for _, t := range tokens {
		switch t.kind {
		case opening:
			depth++
		case closing:
			depth--
		case pipe, end:
			if depth == 0 {
				return t.start
			}
		}
	}
	return len(s)
}

// Stages are the words with which the parts of a query begin, the head's own first stage included; "where" for a bare filter.
func Stages(s string) []string {
	tokens := scan(s)
	var out []string
	if head := firstWord(s, tokens, 0); stageWords[head] {
		out = append(out, head)
	} else {
		out = append(out, "where")
	}
	depth := 0
	for _, t := range tokens {
		switch t.kind {
		case opening:
			depth++
		case closing:
			depth--
		case pipe:
			if depth != 0 {
				continue
			}
			word := firstWord(s, tokens, t.end)
			if word == "" {
				word = "where"
			}
			out = append(out, word)
		}
	}
	return out
}

// Every stage that lets rows through as flows, or only shapes them.
var keepsRows = map[string]bool{"where": true, "extend": true, "dedup": true, "sample": true, "first_seen": true}

// KeepsFlows: its rows are flows with all their columns, in no order of its own and without a limit.
func KeepsFlows(s string) bool {
	if !isAboutFlows(s, scan(s)) {
		return false
	}
	for _, stage := range Stages(s) {
		if !keepsRows[stage] {
			return false
		}
	}
	return true
}

// HasStage: one of the stages stands in the query.
func HasStage(s string, names ...string) bool {
	for _, stage := range Stages(s) {
		for _, n := range names {
			if stage == n {
				return true
			}
		}
	}
	return false
}

// Append puts stages behind a query, in front of its final semicolon and clear of a comment on its last line.
func Append(s, stages string) string {
	tokens := scan(s)
	depth := 0
	for _, t := range tokens {
		switch t.kind {
		case opening:
			depth++
		case closing:
			depth--
		case end:
			if depth == 0 {
				s = s[:t.start]
			}
		}
		if len(s) <= t.start {
			break
		}
	}
	return s + "\n| " + stages
}

// Words that end the keys behind `by`.
var keysEnd = map[string]bool{"limit": true, "fill": true, "every": true, "spread": true, "window": true, "slide": true, "with": true, "over": true,
	"within": true, "seasonal": true, "min": true, "for": true, "lookback": true, "expected": true}

// Keys are the names of the grouping keys of a query's last grouping stage, as the answer calls its columns: as they are written, or
// what stands before "=". Only for answers that do not tell their keys: a query that renames them behind has none here.
func Keys(s string) []string {
	tokens := scan(s)
	depth, from := 0, 0
	var keys []string
	use := func(to int) {
		if found, ok := stageKeys(s, tokens, from, to); ok {
			keys = found
		}
	}
	for _, t := range tokens {
		switch t.kind {
		case opening:
			depth++
		case closing:
			depth--
		case pipe, end:
			if depth == 0 {
				use(t.start)
				from = t.end
			}
		}
	}
	use(len(s))
	return keys
}

func stageKeys(s string, tokens []token, from, to int) ([]string, bool) {
	stage := firstWord(s, tokens, from)
	top := stage == "top"
	switch stage {
	case "stats", "timeseries", "top", "baseline":
	default:
		return nil, false
	}
	var keys []string
	var item strings.Builder
	flush := func() {
		written := strings.TrimSpace(item.String())
		item.Reset()
		if left, _, named := strings.Cut(written, "="); named {
			written = strings.TrimSpace(left)
		}
		if written = strings.Trim(written, "`"); written != "" {
			keys = append(keys, written)
		}
	}
	inside := false
	depth, words := 0, 0
	for _, t := range tokens {
		if t.end <= from || t.start >= to || t.kind == comment {
			continue
		}
		piece := s[max(t.start, from):min(t.end, to)]
		if t.kind == opening {
			depth++
		}
		if t.kind != code || depth > 0 {
			if inside {
				item.WriteString(piece)
			}
			if t.kind == closing {
				depth--
			}
			// "top $n src_ip": the number may be a parameter.
			if top && t.kind == template && words == 1 {
				inside = true
			}
			continue
		}
		for i := 0; i < len(piece); {
			j := i
			for j < len(piece) && isWord(piece[j]) {
				j++
			}
			if j == i {
				if piece[i] == ',' && inside {
					flush()
				} else if inside {
					item.WriteByte(piece[i])
				}
				i++
				continue
			}
			word := strings.ToLower(piece[i:j])
			words++
			switch {
			case top && words == 2 && !inside: // the number
				inside = true
			case word == "by" && top:
				flush()
				return keys, true
			case word == "by" && !inside:
				inside = true
			case inside && keysEnd[word] && strings.TrimSpace(item.String()) != "":
				flush()
				inside = false
			case inside:
				item.WriteString(piece[i:j])
			}
			i = j
		}
	}
	if inside {
		flush()
	}
	return keys, true
}
