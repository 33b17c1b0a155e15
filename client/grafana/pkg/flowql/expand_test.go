package flowql

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

var (
	from = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	to   = from.Add(6 * time.Hour)
)

func context(variables map[string]Variable, filters ...Filter) Context {
	return Context{From: from, To: to, Interval: 5 * time.Minute, Variables: variables, Filters: filters}
}

func expand(t *testing.T, text string, c Context) *Expanded {
	t.Helper()
	e, err := Expand(text, c)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return e
}

func TestMacros(t *testing.T) {
	for text, want := range map[string]string{
		"timeseries count() every $__interval":                    "timeseries count() every 5m",
		"timeseries count() every ${__interval}":                  "timeseries count() every 5m",
		"extend a = $__interval_ms, b = $__range_s, c = $__range": "extend a = 300000, b = 21600, c = 6h",
		"from flows | where $__timeFilter":                        "from flows | where (`ts` >= 2026-11-20T10:00:00Z and `ts` < 2026-11-20T16:00:00Z)",
		"from flows | where $__timeFilter(flow_start) and a == 1": "from flows | where (`flow_start` >= 2026-11-20T10:00:00Z and `flow_start` < 2026-11-20T16:00:00Z) and a == 1",
		"from flows $__timeRange | limit 1":                       "from flows between 2026-11-20T10:00:00Z and 2026-11-20T16:00:00Z | limit 1",
		"where ts > $__from and ts < ${__to:date:iso}":            "where ts > 2026-11-20T10:00:00Z and ts < 2026-11-20T16:00:00Z",
		"from flows | where $__adHocFilters()":                    "from flows | where true",
		// Nothing is replaced where it is no code.
		"a == '$__interval' -- $__interval\n| limit 1 /* $__range */": "a == '$__interval' -- $__interval\n| limit 1 /* $__range */",
		"host matches /x$__interval$/":                                "host matches /x$__interval$/",
		// A division is no regular expression, and a block is no division.
		"extend a = bytes / $__range_s / 2":                           "extend a = bytes / 21600 / 2",
		"src_ip in 10.0.0.0/8 | where $__timeFilter(ts) and b == 1/2": "src_ip in 10.0.0.0/8 | where (`ts` >= 2026-11-20T10:00:00Z and `ts` < 2026-11-20T16:00:00Z) and b == 1/2",
		// Parameters of FlowQL that no variable is called as are left to the server.
		"src_ip == $host": "src_ip == $host",
		// A sequence's steps in brackets are no variable.
		"sequence by src_ip within 1h [[x]] then [a]": "sequence by src_ip within 1h [[x]] then [a]",
	} {
		if got := expand(t, text, context(nil)).Text; got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
	for text, part := range map[string]string{
		"limit $__nothing":                    "no macro $__nothing",
		"where $__timeFilter(ts":              "not closed",
		"where $__timeFilter(1 or true)":      "not the name of a column",
		"where ${host} == 1":                  "no variable \"host\"",
		"where $__conditionalAll(a == 1)":     "takes a condition and a variable",
		"where $__conditionalAll(a == 1, b)":  "is none",
		"where $__conditionalAll(a == 1, $b)": "no variable \"b\"",
		"where ts > ${__from:raw}":            "formats are",
		"create list x (1)":                   "changes something",
		" -- harmless\n/* x */ DROP rule x":   "changes something",
		strings.Repeat(" ", QueryBytesMax+1):  "too long",
	} {
		if _, err := Expand(text, context(nil)); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%.60s: got %v, want %q", text, err, part)
		}
	}
}

func TestVariablesAreParameters(t *testing.T) {
	v := map[string]Variable{
		"one":          {Values: []string{"10.0.0.1"}},
		"many":         {Values: []string{"a", "b"}},
		"all":          {Values: []string{"a", "b"}, All: true},
		"none":         {Values: []string{""}},
		"key":          {Values: []string{"src_ip", "source.ip"}},
		"__user.login": {Values: []string{"x"}},
	}
	for _, c := range []struct {
		text, want string
		params     map[string]any
	}{
		{"src_ip == $one", "src_ip == $one", map[string]any{"one": "10.0.0.1"}},
		{"src_ip == ${one} or x in [[many]]", "src_ip == $one or x in $many", map[string]any{"one": "10.0.0.1", "many": []string{"a", "b"}}},
		{"stats count() by ${key:column}", "stats count() by `src_ip`, `source.ip`", map[string]any{}},
		{"h matches ${many:regex}", "h matches $many__regex", map[string]any{"many__regex": "(a|b)"}},
		{"a == ${__user.login}", "a == $__user_login", map[string]any{"__user_login": "x"}},
		{"a == \"net $one, ${many}\"", "a == \"net 10.0.0.1, a,b\"", map[string]any{}},
		{"a matches /^${one}$/", "a matches /^10\\.0\\.0\\.1$/", map[string]any{}},
		{"$__conditionalAll(x in $many, $many)", "(x in $many)", map[string]any{"many": []string{"a", "b"}}},
		{"$__conditionalAll(x in (1, 2) and y == $one, $one) | limit 1", "(x in (1, 2) and y == $one) | limit 1", map[string]any{"one": "10.0.0.1"}},
		{"$__conditionalAll(x in $all, $all) and $__conditionalAll(x == $none, $none)", "true and true", map[string]any{}},
		{"$__conditionalAll($__conditionalAll(x in $all, $all) and $__timeFilter, $one)", "(true and (`ts` >= 2026-11-20T10:00:00Z and `ts` < 2026-11-20T16:00:00Z))", map[string]any{}},
	} {
		e := expand(t, c.text, context(v))
		if e.Text != c.want || !reflect.DeepEqual(e.Params, c.params) {
			t.Errorf("%s\n got %s %v\nwant %s %v", c.text, e.Text, e.Params, c.want, c.params)
		}
	}
	// Formats that would let a value stand in the text are refused.
	for _, format := range []string{"raw", "csv", "pipe", "doublequote", "sqlstring", "json"} {
		if _, err := Expand("a == ${one:"+format+"}", context(v)); err == nil {
			t.Errorf("the format %s is taken", format)
		}
	}
	if _, err := Expand("by ${none:column}", context(v)); err == nil {
		t.Error("an empty name is taken as a column")
	}
}

// What strangers could write into a label or a link to a dashboard.
var hostile = []string{
	`" or true or "`, `' or true or '`, `x" | limit 0 --`, "a\nb | drop rule x", `\`, `\"`, "$one", "${one}", "`", "a`, b", ") or (true", "/* ", "-- ",
	"//", "/", "[[one]]", "<script>alert(1)</script>", "$__timeFilter", "\x00\x1b[31m", "\u202e", "💥", "\xff\xfe", "10.0.0.0/8", "1; drop rule x",
}

// hasSameShape: the text has the same tokens outside of quotes as with a harmless value.
func shape(s string) string {
	var out strings.Builder
	for _, t := range scan(s) {
		switch t.kind {
		case text, regex:
			out.WriteString("«»")
		default:
			out.WriteString(s[t.start:t.end])
		}
	}
	return out.String()
}

func TestHostileValuesStayValues(t *testing.T) {
	const text = `src_host == $v or app == "is $v" or app == 'x${v}y' or host matches /^${v}$/ or h matches ${v:regex} | where $__conditionalAll(a in ($v), $v)`
	filters := func(value string) []Filter {
		return []Filter{{Key: "src_host", Operator: "=", Value: value}, {Key: "app", Operator: "!~", Value: value}, {Key: "app", Operator: "=|", Values: []string{value, value}}}
	}
	want := shape(expand(t, text, context(map[string]Variable{"v": {Values: []string{"plain"}}}, filters("plain")...)).Text)
	for _, value := range hostile {
		e := expand(t, text, context(map[string]Variable{"v": {Values: []string{value}}, "one": {Values: []string{"1"}}}, filters(value)...))
		if got := shape(e.Text); got != want {
			t.Errorf("%q changes the query:\n got %s\nwant %s", value, got, want)
		}
		if e.Params["v"] != value {
			t.Errorf("%q became %q", value, e.Params["v"])
		}
	}
	for _, value := range append(hostile, "a b", "a,b", "limit 1", "") {
		if _, err := Expand("stats count() by ${v:column}", context(map[string]Variable{"v": {Values: []string{value}}})); err == nil {
			t.Errorf("%q is taken as a column", value)
		}
		if _, err := Expand("from flows", context(nil, Filter{Key: value, Operator: "=", Value: "x"})); err == nil {
			t.Errorf("%q is taken as a filter's key", value)
		}
		if value != "" {
			if _, err := Expand("from flows", context(nil, Filter{Key: "app", Operator: value, Value: "x"})); err == nil {
				t.Errorf("%q is taken as a filter's operator", value)
			}
		}
	}
}

func TestFiltersStandWhereFlowsAre(t *testing.T) {
	f := []Filter{{Key: "action", Operator: "=", Value: "reject"}, {Key: "extra.Some", Operator: "!=", Value: ""}}
	const condition = "`action` == $__filter_0 and extra.`Some` != null"
	for text, want := range map[string]string{
		"from flows last 1h | stats count()":              "from flows last 1h | where " + condition + "\n| stats count()",
		"dst_port == 53 last 1h":                          "dst_port == 53 last 1h\n| where " + condition,
		"dst_port == 53 or a || b | top 3 ip":             "dst_port == 53 or a || b | where " + condition + "\n| top 3 ip",
		"a == '|' -- |\n| limit 1":                        "a == '|' -- |\n| where " + condition + "\n| limit 1",
		"a == 1; ":                                        "a == 1| where " + condition + "\n; ",
		"stats count() by src_ip":                         "where " + condition + "\n| stats count() by src_ip",
		"from flows | where x in (1|2) | limit 1":         "from flows | where " + condition + "\n| where x in (1|2) | limit 1",
		"from flows | stats c = countif($__adHocFilters)": "from flows | stats c = countif(" + condition + ")",
		"-- x\n FROM\n/* | */ Flows | limit 1":            "-- x\n FROM\n/* | */ Flows | where " + condition + "\n| limit 1",
	} {
		e := expand(t, text, context(nil, f...))
		if e.Text != want || e.FiltersLeftOut != "" {
			t.Errorf("%s\n got %s\nwant %s", text, e.Text, want)
		}
		if !reflect.DeepEqual(e.Params, map[string]any{"__filter_0": "reject"}) {
			t.Errorf("%s: %v", text, e.Params)
		}
	}
	for _, text := range []string{"from alerts | limit 1", "show exporters", "explain from flows", "replay rule x over last 1d"} {
		if e := expand(t, text, context(nil, f...)); e.Text != text || e.FiltersLeftOut == "" {
			t.Errorf("%s: filters are put in, or left out without a word: %s", text, e.Text)
		}
	}
	many := make([]Filter, AdHocFiltersMax+1)
	for i := range many {
		many[i] = f[0]
	}
	if _, err := Expand("from flows", context(nil, many[:AdHocFiltersMax]...)); err != nil {
		t.Error(err)
	}
	if _, err := Expand("from flows", context(nil, many...)); err == nil {
		t.Error("too many filters are taken")
	}
	for operator, want := range map[string]string{"<": "`a` < $__filter_0", ">": "`a` > $__filter_0", "=~": "`a` matches $__filter_0", "!~": "not (`a` matches $__filter_0)",
		"=|": "`a` in $__filter_0", "!=|": "`a` not in $__filter_0"} {
		if e := expand(t, "where $__adHocFilters", context(nil, Filter{Key: "a", Operator: operator, Value: "1"})); e.Text != "where "+want {
			t.Errorf("%s: %s", operator, e.Text)
		}
	}
}

func TestBounds(t *testing.T) {
	values := make([]string, VariableValuesMax+1)
	if _, err := Expand("a in $v", context(map[string]Variable{"v": {Values: values[1:]}})); err != nil {
		t.Error(err)
	}
	if _, err := Expand("a in $v", context(map[string]Variable{"v": {Values: values}})); err == nil {
		t.Error("too many values are taken")
	}
	nested := func(depth int) string {
		return strings.Repeat("$__conditionalAll(", depth) + "a == 1" + strings.Repeat(", $v)", depth)
	}
	v := map[string]Variable{"v": {Values: []string{"x"}}}
	if _, err := Expand(nested(MacroDepthMax), context(v)); err != nil {
		t.Error(err)
	}
	if _, err := Expand(nested(MacroDepthMax+1), context(v)); err == nil {
		t.Error("macros stand in macros without end")
	}
}

func TestPlacesAreLedBack(t *testing.T) {
	const text = "src_ip == $h | where $__timeFilter and src_prt == 5 | limit 1"
	e := expand(t, text, context(map[string]Variable{"h": {Values: []string{"1"}}}, Filter{Key: "a", Operator: "=", Value: "1"}))
	at := strings.Index(e.Text, "src_prt")
	start, length := e.Origin(at, len("src_prt"))
	if text[start:start+length] != "src_prt" {
		t.Errorf("%d+%d: %q", start, length, text[start:start+length])
	}
	at = strings.Index(e.Text, "`ts` <")
	start, length = e.Origin(at, 4)
	if text[start:start+length] != "$__timeFilter" {
		t.Errorf("%q", text[start:start+length])
	}
	if start, length = e.Origin(len(e.Text), 1); start != len(text) || length != 0 {
		t.Errorf("behind the end: %d+%d", start, length)
	}
	if _, err := Expand("where $__timeFilter(1)", context(nil)); err.(*ExpandError).Offset != 6 {
		t.Errorf("%+v", err)
	}
}

func TestStages(t *testing.T) {
	for text, want := range map[string][]string{
		"dst_port == 53 last 1h | top 10 src_ip":                            {"where", "top"},
		"from flows | join (from flows | stats count() by a) on a | x == 1": {"where", "join", "x"},
		"stats count()": {"stats"},
		"last 1h":       {"where"},
	} {
		if got := Stages(text); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v", text, got)
		}
	}
	for text, want := range map[string]bool{"dst_port == 53": true, "from flows | where a == 1 | extend x = 2": true, "from flows | select a": false, "from flows | stats count()": false,
		"from alerts": false, "from flows | limit 5": false, "from flows | sort ts": false} {
		if KeepsFlows(text) != want {
			t.Errorf("%s: %v", text, !want)
		}
	}
	if got := Append("a == 1 -- comment", "limit 1"); got != "a == 1 -- comment\n| limit 1" {
		t.Error(got)
	}
	if got := Append("a == ';' ; -- x", "limit 1"); got != "a == ';' \n| limit 1" {
		t.Error(got)
	}
}

func TestKeys(t *testing.T) {
	for text, want := range map[string][]string{
		"timeseries sum(bytes) every 5m by dst_port, `x y` limit 10":             {"dst_port", "x y"},
		"timeseries b = sum(bytes) by p = dst_port every $__interval fill 0":     {"p"},
		"from flows | stats count() by src_ip, bin(5m), cidr(src_ip, 24) | sort": {"src_ip", "bin(5m)", "cidr(src_ip, 24)"},
		"top 10 src_ip, dst_port by sum(bytes), count() with others":             {"src_ip", "dst_port"},
		"top $n src_port by count()":                                             {"src_port"},
		"top 5 src_port":                                                         {"src_port"},
		"stats count()":                                                          nil,
		"dst_port == 53":                                                         nil,
		"from flows | stats c = count() by a | stats max(c) by limit":            {"limit"},
	} {
		if got := Keys(text); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q", text, got)
		}
	}
}

func TestLiterals(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "1ms", time.Second: "1s", 90 * time.Second: "90s", 2 * time.Hour: "2h", 48 * time.Hour: "2d", 1500 * time.Millisecond: "1500ms"} {
		if got := Duration(d); got != want {
			t.Errorf("%v: %s", d, got)
		}
	}
	if got := EscapeText("a\"b'c\\\n\x01"); got != `a\"b\'c\\\n\x01` {
		t.Error(got)
	}
}

// Whatever the text: it comes back whole when there is nothing to replace, and nothing panics.
func FuzzExpand(f *testing.F) {
	for _, s := range append(hostile, "from flows | where $__conditionalAll(a in $v, $v)", "a == \"$v\" | $__adHocFilters", "x matches /${v}/ | limit $v") {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		tokens := scan(text)
		at := 0
		for _, u := range tokens {
			if u.start != at || u.end <= u.start {
				t.Fatalf("a gap at %d in %q", at, text)
			}
			at = u.end
		}
		if at != len(text) {
			t.Fatalf("the end of %q is left out", text)
		}
		e, err := Expand(text, context(map[string]Variable{"v": {Values: []string{value}}}, Filter{Key: "a", Operator: "=", Value: value}))
		if err != nil {
			return
		}
		for i := range e.Text {
			start, length := e.Origin(i, 1)
			if start < 0 || start+length > len(text) {
				t.Fatalf("%d of %q comes from %d+%d of %q", i, e.Text, start, length, text)
			}
		}
		Stages(text)
		Keys(text)
		Append(text, "limit 1")
	})
}
