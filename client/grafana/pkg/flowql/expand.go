package flowql

import (
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Variable is a dashboard's variable as the page has it: its chosen values, and whether `All` is chosen.
type Variable struct {
	Values []string `json:"values"`
	All    bool     `json:"all,omitempty"`
}

// Context is what a text is expanded with. Interval above zero, From before To.
type Context struct {
	From, To  time.Time
	Interval  time.Duration
	Variables map[string]Variable
	Filters   []Filter
}

// Expanded is a text for the server with the values that belong to it.
type Expanded struct {
	Text   string
	Params map[string]any // string or []string; the server reads them as the type that their place wants
	// Why filters of the dashboard are not in the text, or "".
	FiltersLeftOut string
	pieces         []piece
}

// A stretch of the expanded text and where it came from.
type piece struct {
	out, in, length int
	inEnd           int
	verbatim        bool
}

// Origin says where bytes [offset, offset+length) of the expanded text stand in the text as it was written.
func (e *Expanded) Origin(offset, length int) (int, int) {
	start, end := -1, -1
	for _, p := range e.pieces {
		if offset < p.out+p.length && offset+max(length, 1) > p.out {
			from, to := p.in, p.inEnd
			if p.verbatim {
				from = p.in + max(offset-p.out, 0)
				to = min(p.in+max(offset+length-p.out, 0), p.inEnd)
			}
			if start < 0 {
				start = from
			}
			end = max(end, to)
		}
	}
	if start < 0 { // behind the end
		last := 0
		if n := len(e.pieces); n > 0 {
			last = e.pieces[n-1].inEnd
		}
		return last, 0
	}
	return start, max(end-start, 0)
}

// ExpandError is a macro or a variable that makes no sense, with its place in the text.
type ExpandError struct {
	Message        string
	Offset, Length int
}

func (e *ExpandError) Error() string { return e.Message }

type expander struct {
	in       string
	context  Context
	out      strings.Builder
	result   Expanded
	usesOwn  bool // $__adHocFilters stands in the text
	depth    int
	filterAt string
}

// Expand replaces macros and variables and puts in the filters of the dashboard.
// Comments stay as they are; in strings and regular expressions only variables are replaced.
func Expand(in string, context Context) (*Expanded, error) {
	if len(in) > QueryBytesMax {
		return nil, fmt.Errorf("a query of %d bytes is too long: the limit is %d", len(in), QueryBytesMax)
	}
	if len(context.Filters) > AdHocFiltersMax {
		return nil, fmt.Errorf("%d filters are too many: the limit is %d", len(context.Filters), AdHocFiltersMax)
	}
	e := &expander{in: in, context: context}
	e.result.Params = map[string]any{}
	filters, err := e.filters()
	if err != nil {
		return nil, err
	}
	e.filterAt = filters
	tokens := scan(in)
	if err := refuseChanges(in, tokens); err != nil {
		return nil, err
	}
	for _, t := range tokens {
		if t.kind == template && strings.HasPrefix(t.name, "__adHocFilters") {
			e.usesOwn = true
		}
	}
	insert := -1
	if filters != "" && !e.usesOwn {
		if isAboutFlows(in, tokens) {
			insert = filterPlace(in, tokens)
		} else {
			e.result.FiltersLeftOut = "the dashboard's filters are about flows and are not applied to this query; $__adHocFilters says where they belong"
		}
	}
	if insert == 0 {
		e.invent("where "+filters+"\n| ", 0, 0)
		insert = -1
	}
	if err := e.run(tokens, 0, len(in), insert, filters); err != nil {
		return nil, err
	}
	if insert == len(in) {
		e.invent("\n| where "+filters, len(in), len(in))
	}
	e.result.Text = e.out.String()
	return &e.result, nil
}

func (e *expander) copy(from, to int) {
	if to <= from {
		return
	}
	e.result.pieces = append(e.result.pieces, piece{out: e.out.Len(), in: from, inEnd: to, length: to - from, verbatim: true})
	e.out.WriteString(e.in[from:to])
}

// invent writes what stands in place of [from, to) of the text.
func (e *expander) invent(s string, from, to int) {
	e.result.pieces = append(e.result.pieces, piece{out: e.out.Len(), in: from, inEnd: to, length: len(s)})
	e.out.WriteString(s)
}

// run expands the tokens that lie in [from, to).
func (e *expander) run(tokens []token, from, to, insert int, filters string) error {
	skip := from
	for _, t := range tokens {
		if t.end <= skip || t.start >= to {
			continue
		}
		if t.start == insert {
			e.invent("| where "+filters+"\n", t.start, t.start)
		}
		start := max(t.start, skip)
		stop := min(t.end, to)
		switch t.kind {
		case template:
			used, err := e.template(t, tokens, to)
			if err != nil {
				var placed *ExpandError
				if errors.As(err, &placed) {
					return err
				}
				return &ExpandError{err.Error(), t.start, t.end - t.start}
			}
			skip = used
			continue
		case text:
			e.inside(start, stop, func(v Variable, format string) string { return EscapeText(joined(v, format)) }, true)
		case regex:
			e.inside(start, stop, func(v Variable, _ string) string { return alternatives(v) }, false)
		default:
			e.copy(start, stop)
		}
		skip = t.end
	}
	return nil
}

func joined(v Variable, format string) string {
	if format == "regex" {
		return alternatives(v)
	}
	return strings.Join(v.Values, ",")
}

func alternatives(v Variable) string {
	escaped := make([]string, len(v.Values))
	for i, value := range v.Values {
		escaped[i] = EscapeRegex(value)
	}
	if len(escaped) == 1 {
		return escaped[0]
	}
	return "(" + strings.Join(escaped, "|") + ")"
}

// inside replaces variables within quotes or slashes. A bare $name is not one in a regular expression, where $ is the end.
func (e *expander) inside(from, to int, write func(Variable, string) string, bare bool) {
	plain := from
	for i := from; i < to; i++ {
		if e.in[i] == '\\' {
			i++
			continue
		}
		if e.in[i] != '$' && e.in[i] != '[' {
			continue
		}
		t, ok := templateAt(e.in[:to], i)
		if !ok || !(t.braced || bare) {
			continue
		}
		v, known := e.context.Variables[t.name]
		if !known {
			continue
		}
		e.copy(plain, i)
		e.invent(write(v, t.format), t.start, t.end)
		plain, i = t.end, t.end-1
	}
	e.copy(plain, to)
}

// template expands one; returns where the text goes on.
func (e *expander) template(t token, tokens []token, to int) (int, error) {
	if v, known := e.context.Variables[t.name]; known {
		return t.end, e.variable(t, v)
	}
	if strings.HasPrefix(t.name, "__") {
		return e.macro(t, tokens, to)
	}
	if t.braced && e.in[t.start] == '$' {
		return 0, fmt.Errorf("the dashboard has no variable %q", t.name)
	}
	e.copy(t.start, t.end) // a parameter: the server says that it has no value
	return t.end, nil
}

func (e *expander) variable(t token, v Variable) error {
	if len(v.Values) > VariableValuesMax {
		return fmt.Errorf("the variable %q has %d values: the limit is %d", t.name, len(v.Values), VariableValuesMax)
	}
	switch t.format {
	case "":
		e.invent("$"+e.param(paramName(t.name), v.Values), t.start, t.end)
	case "regex":
		e.invent("$"+e.param(paramName(t.name)+"__regex", []string{alternatives(v)}), t.start, t.end)
	case "column":
		names := make([]string, len(v.Values))
		for i, value := range v.Values {
			written, err := Column(value)
			if err != nil {
				return fmt.Errorf("the variable %q: %w", t.name, err)
			}
			names[i] = written
		}
		if len(names) == 0 {
			return fmt.Errorf("the variable %q has no value, and a column's name is wanted", t.name)
		}
		e.invent(strings.Join(names, ", "), t.start, t.end)
	default:
		return fmt.Errorf("${%s:%s}: values are put in as parameters, so the formats are ${%s}, ${%s:regex} and ${%s:column}", t.name, t.format, t.name, t.name, t.name)
	}
	return nil
}

func paramName(name string) string { return strings.ReplaceAll(name, ".", "_") }

// param makes a parameter of the request and returns its name.
func (e *expander) param(name string, values []string) string {
	if len(values) == 1 {
		e.result.Params[name] = values[0]
	} else {
		e.result.Params[name] = append([]string{}, values...)
	}
	return name
}

// Macros, with what they become. Told in errors, in the editor's completion and in docs/grafana.md.
var Macros = []struct{ Name, Doc string }{
	{"$__interval", "a length of time that fits the panel's width, such as 5m"},
	{"$__interval_ms", "the same in milliseconds"},
	{"$__range", "the length of the dashboard's time range"},
	{"$__range_s", "the same in seconds"},
	{"$__range_ms", "the same in milliseconds"},
	{"$__from", "where the dashboard's time range begins"},
	{"$__to", "where it ends"},
	{"$__timeFilter", "ts within the dashboard's time range; $__timeFilter(column) for another column"},
	{"$__timeRange", "the dashboard's time range as a query's own: between … and …"},
	{"$__adHocFilters", "the dashboard's filters, where they do not belong right behind the source"},
	{"$__conditionalAll", "$__conditionalAll(condition, $variable): the condition, and true while the variable is All or empty"},
}

func (e *expander) macro(t token, tokens []token, to int) (int, error) {
	c := e.context
	between := func(column string) string {
		return "(" + column + " >= " + Timestamp(c.From) + " and " + column + " < " + Timestamp(c.To) + ")"
	}
	length := c.To.Sub(c.From)
	switch t.name {
	case "__interval":
		e.invent(Duration(c.Interval), t.start, t.end)
	case "__interval_ms":
		e.invent(strconv.FormatInt(max(c.Interval.Milliseconds(), 1), 10), t.start, t.end)
	case "__range":
		e.invent(Duration(length), t.start, t.end)
	case "__range_s":
		e.invent(strconv.FormatInt(int64(length.Round(time.Second)/time.Second), 10), t.start, t.end)
	case "__range_ms":
		e.invent(strconv.FormatInt(length.Milliseconds(), 10), t.start, t.end)
	case "__from", "__to":
		at := c.From
		if t.name == "__to" {
			at = c.To
		}
		switch t.format {
		case "", "date", "date:iso":
			e.invent(Timestamp(at), t.start, t.end)
		case "date:seconds":
			e.invent(strconv.FormatInt(at.Unix(), 10), t.start, t.end)
		default:
			return 0, fmt.Errorf("${%s:%s}: the formats are ${%s}, ${%s:date} and ${%s:date:seconds}", t.name, t.format, t.name, t.name, t.name)
		}
	case "__timeRange":
		e.invent("between "+Timestamp(c.From)+" and "+Timestamp(c.To), t.start, t.end)
	case "__adHocFilters":
		at, _, _ := e.arguments(t, tokens, to) // $__adHocFilters() is said too
		condition := e.filterAt
		if condition == "" {
			condition = "true"
		}
		at = max(at, t.end)
		e.invent(condition, t.start, at)
		return at, nil
	case "__timeFilter":
		at, arguments, err := e.arguments(t, tokens, to)
		if err != nil {
			return 0, err
		}
		column := "`ts`"
		if len(arguments) > 1 {
			return 0, fmt.Errorf("$__timeFilter takes one column")
		}
		if len(arguments) == 1 {
			given := strings.TrimSpace(e.in[arguments[0][0]:arguments[0][1]])
			if column, err = Column(strings.Trim(given, "`")); err != nil {
				return 0, err
			}
		}
		at = max(at, t.end)
		e.invent(between(column), t.start, at)
		return at, nil
	case "__conditionalAll":
		return e.conditionalAll(t, tokens, to)
	default:
		names := make([]string, len(Macros))
		for i, m := range Macros {
			names[i] = m.Name
		}
		sort.Strings(names)
		return 0, fmt.Errorf("there is no macro $%s; there are %s", t.name, strings.Join(names, ", "))
	}
	return t.end, nil
}

// arguments finds the parenthesis right behind a macro: where it ends, and the stretches between its commas. Without one, 0.
func (e *expander) arguments(t token, tokens []token, to int) (int, [][2]int, error) {
	if t.end >= to || e.in[t.end] != '(' {
		return 0, nil, nil
	}
	depth, begin := 0, t.end+1
	var found [][2]int
	add := func(at int) {
		if strings.TrimSpace(e.in[begin:at]) != "" || len(found) > 0 {
			found = append(found, [2]int{begin, at})
		}
	}
	for _, u := range tokens {
		if u.start < t.end {
			continue
		}
		switch u.kind {
		case opening:
			depth++
		case closing:
			if depth--; depth == 0 {
				add(u.start)
				return u.end, found, nil
			}
		case code:
			if depth != 1 {
				continue
			}
			for i := u.start; i < u.end; i++ {
				if e.in[i] == ',' {
					found = append(found, [2]int{begin, i})
					begin = i + 1
				}
			}
		}
	}
	return 0, nil, fmt.Errorf("the parenthesis of $%s is not closed", t.name)
}

func (e *expander) conditionalAll(t token, tokens []token, to int) (int, error) {
	at, arguments, err := e.arguments(t, tokens, to)
	if err != nil {
		return 0, err
	}
	if len(arguments) < 2 {
		return 0, fmt.Errorf("$__conditionalAll takes a condition and a variable: $__conditionalAll(src_ip in $hosts, $hosts)")
	}
	// The condition may hold commas of its own; the variable is what stands last.
	last := arguments[len(arguments)-1]
	asked := strings.TrimSpace(e.in[last[0]:last[1]])
	named, ok := templateAt(asked, 0)
	if !ok || named.end != len(asked) {
		return 0, fmt.Errorf("the last argument of $__conditionalAll is a variable, and %q is none", asked)
	}
	v, known := e.context.Variables[named.name]
	if !known {
		return 0, fmt.Errorf("the dashboard has no variable %q", named.name)
	}
	if v.All || len(v.Values) == 0 || len(v.Values) == 1 && v.Values[0] == "" {
		e.invent("true", t.start, at)
		return at, nil
	}
	if e.depth++; e.depth > MacroDepthMax {
		return 0, fmt.Errorf("macros stand in macros more than %d deep", MacroDepthMax)
	}
	e.invent("(", t.start, t.start)
	err = e.run(tokens, arguments[0][0], last[0]-1, -1, "")
	e.invent(")", at, at)
	e.depth--
	return at, err
}

// Parameter names that are made here begin so; a dashboard's variable cannot.
const filterParam = "__filter_"

// filters writes the dashboard's filters as one condition, "" without any.
func (e *expander) filters() (string, error) {
	conditions := make([]string, 0, len(e.context.Filters))
	for i, f := range e.context.Filters {
		column, err := Column(f.Key)
		if err != nil {
			return "", fmt.Errorf("a filter of the dashboard: %w", err)
		}
		condition, err := f.condition(column, "$"+filterParam+strconv.Itoa(i), func(values []string) {
			e.param(filterParam+strconv.Itoa(i), values)
		})
		if err != nil {
			return "", err
		}
		conditions = append(conditions, condition)
	}
	return strings.Join(conditions, " and "), nil
}
