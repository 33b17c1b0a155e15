package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
	"github.com/grafana/grafana-plugin-sdk-go/backend/resource/httpadapter"

	"sluice/client/grafana/pkg/flowql"
	"sluice/client/grafana/pkg/sluice"
)

// What the editor asks. Each is a question of ours; no path of the server is passed through.
func (d *Datasource) resources() backend.CallResourceHandler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /columns", answer(func(ctx context.Context, _ struct{}) (any, error) { return d.columns(ctx) }))
	mux.HandleFunc("GET /rules", answer(func(ctx context.Context, _ struct{}) (any, error) { return d.rules(ctx) }))
	mux.HandleFunc("GET /macros", answer(func(context.Context, struct{}) (any, error) { return flowql.Macros, nil }))
	mux.HandleFunc("POST /validate", answer(d.validate))
	mux.HandleFunc("POST /complete", answer(d.complete))
	mux.HandleFunc("POST /tag-values", answer(d.tagValues))
	return httpadapter.New(mux)
}

func answer[Asked any](ask func(context.Context, Asked) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var asked Asked
		status, body := http.StatusOK, any(nil)
		var err error
		if r.Method == http.MethodPost {
			r.Body = http.MaxBytesReader(w, r.Body, ResourceBytesMax)
			if err = json.NewDecoder(r.Body).Decode(&asked); err != nil {
				status = http.StatusBadRequest
				var large *http.MaxBytesError
				if errors.As(err, &large) {
					status = http.StatusRequestEntityTooLarge
				}
			}
		}
		if err == nil {
			body, err = ask(r.Context(), asked)
			if err != nil {
				status = http.StatusBadGateway
				var told *sluice.Error
				if errors.As(err, &told) && told.Status >= 400 {
					status = told.Status
				}
			}
		}
		if err != nil {
			body = map[string]string{"message": err.Error()}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body) // the asker is gone, or has it
	}
}

// asked is what all questions about a text bring with them.
type asked struct {
	Expr      string                     `json:"expr"`
	QueryType string                     `json:"queryType"`
	From      time.Time                  `json:"from"`
	To        time.Time                  `json:"to"`
	Variables map[string]flowql.Variable `json:"variables"`
	Filters   []flowql.Filter            `json:"adHocFilters"`
}

func (a asked) context() flowql.Context {
	c := flowql.Context{From: a.From, To: a.To, Interval: time.Minute, Variables: a.Variables, Filters: a.Filters}
	if !c.From.Before(c.To) { // asked without a dashboard
		c.To = time.Now()
		c.From = c.To.Add(-time.Hour)
	}
	return c
}

// Place of an error in the text as it was written: in UTF-16 units, as browsers count.
type place struct {
	Start   int    `json:"start"`
	End     int    `json:"end"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// utf16At turns an offset in bytes to one in UTF-16 units.
func utf16At(s string, bytes int) int {
	bytes = min(max(bytes, 0), len(s))
	n := 0
	for _, r := range s[:bytes] {
		n += max(utf16.RuneLen(r), 1)
	}
	return n
}

// byteAt is the way back.
func byteAt(s string, units int) int {
	n := 0
	for i, r := range s {
		if n >= units {
			return i
		}
		n += max(utf16.RuneLen(r), 1)
	}
	return len(s)
}

type validated struct {
	Valid  bool    `json:"valid"`
	Errors []place `json:"errors"`
}

// validate says what is wrong with a text and where, in the text as it was written: macros and variables are put in before the
// server is asked, and its places are led back.
func (d *Datasource) validate(ctx context.Context, a asked) (any, error) {
	q := Query{Expr: a.Expr, QueryType: a.QueryType}
	text := q.text()
	out := validated{Valid: true, Errors: []place{}}
	if text == "" || a.Expr == "" {
		return out, nil
	}
	context := a.context()
	expanded, err := flowql.Expand(text, context)
	if err != nil {
		p := place{End: utf16At(text, len(text)), Message: err.Error()}
		var placed *flowql.ExpandError
		if errors.As(err, &placed) {
			p.Start, p.End = utf16At(text, placed.Offset), utf16At(text, placed.Offset+placed.Length)
		}
		return validated{Errors: []place{p}}, nil
	}
	body := map[string]any{"query": expanded.Text, "from": context.From.UTC().Format(time.RFC3339Nano), "to": context.To.UTC().Format(time.RFC3339Nano)}
	if len(expanded.Params) > 0 {
		body["params"] = expanded.Params
	}
	if flowql.AsksTable(text) {
		return d.validateTable(ctx, text, expanded, context)
	}
	raw, err := d.client.Forward(ctx, http.MethodPost, "/v1/query/validate", body)
	if err != nil {
		return nil, err
	}
	var told struct {
		Valid  bool           `json:"valid"`
		Errors []sluice.Error `json:"errors"`
	}
	if err := json.Unmarshal(raw, &told); err != nil {
		return nil, fmt.Errorf("the server's answer cannot be read: %w", err)
	}
	out.Valid = told.Valid
	for _, e := range told.Errors {
		start, length := expanded.Origin(e.Offset, e.Length)
		if e.Line == 0 { // without a place: all of it
			start, length = 0, len(text)
		}
		out.Errors = append(out.Errors, place{utf16At(text, start), utf16At(text, start+length), e.Message, e.Hint})
	}
	return out, nil
}

// validateTable asks a table of the server's for one row: its validation knows flows alone, and these tables are small.
func (d *Datasource) validateTable(ctx context.Context, text string, expanded *flowql.Expanded, c flowql.Context) (any, error) {
	_, err := d.client.Query(ctx, sluice.Call{Query: expanded.Text, Params: expanded.Params, From: c.From, To: c.To, Limit: 1, Timeout: SuggestionTimeout})
	var told *sluice.Error
	if err == nil {
		return validated{Valid: true, Errors: []place{}}, nil
	}
	if !errors.As(err, &told) || told.Status != http.StatusBadRequest {
		return nil, err
	}
	start, length := expanded.Origin(told.Offset, told.Length)
	if told.Line == 0 {
		start, length = 0, len(text)
	}
	return validated{Errors: []place{{utf16At(text, start), utf16At(text, start+length), told.Message, told.Hint}}}, nil
}

type completionAsked struct {
	asked
	Cursor int `json:"cursor"` // in UTF-16 units
}

type completion struct {
	Text   string `json:"text"`
	Kind   string `json:"kind"` // the server's kinds, and macro and stored
	Detail string `json:"detail"`
}

type completions struct {
	Start int          `json:"start"` // what is replaced, in UTF-16 units
	End   int          `json:"end"`
	Items []completion `json:"items"`
}

var (
	macroBefore = regexp.MustCompile(`\$\{?[A-Za-z0-9_]*$`)
	valueBefore = regexp.MustCompile(`(?:^|[^\w.$])([A-Za-z_][\w.]*)\s*(?:==|!=|=)\s*("?)([\w.:-]*)$`)
)

// complete says what could stand at the cursor: what the server knows, our macros behind a $, and values that flows have.
func (d *Datasource) complete(ctx context.Context, a completionAsked) (any, error) {
	cursor := byteAt(a.Expr, a.Cursor)
	before := a.Expr[:cursor]
	if found := macroBefore.FindStringIndex(before); found != nil {
		out := completions{Start: utf16At(a.Expr, found[0]), End: a.Cursor, Items: []completion{}}
		for _, m := range flowql.Macros {
			out.Items = append(out.Items, completion{m.Name, "macro", m.Doc})
		}
		return out, nil
	}
	raw, err := d.client.Forward(ctx, http.MethodPost, "/v1/query/complete", map[string]any{"query": a.Expr, "cursor": cursor})
	if err != nil {
		return nil, err
	}
	var told struct {
		Replace struct{ Offset, Length int } `json:"replace"`
		Items   []completion                 `json:"items"`
	}
	if err := json.Unmarshal(raw, &told); err != nil {
		return nil, fmt.Errorf("the server's answer cannot be read: %w", err)
	}
	out := completions{utf16At(a.Expr, told.Replace.Offset), utf16At(a.Expr, told.Replace.Offset+told.Replace.Length), told.Items}
	if out.Items == nil {
		out.Items = []completion{}
	}
	if found := valueBefore.FindStringSubmatchIndex(before); found != nil {
		if stored := d.storedValues(ctx, a.asked, before[found[2]:found[3]]); len(stored) > 0 {
			start := found[4]
			// The server completes a word; a value begins with its quote.
			out.Start = utf16At(a.Expr, start)
			for _, item := range out.Items {
				// It proposes values of the newest flows too, which are mostly these.
				if !slices.ContainsFunc(stored, func(s completion) bool { return s.Text == item.Text }) {
					stored = append(stored, item)
				}
			}
			out.Items = stored
		}
	}
	return out, nil
}

// storedValues of a column as literals; none where it has none or they do not come in time.
func (d *Datasource) storedValues(ctx context.Context, a asked, name string) []completion {
	columns, err := d.columns(ctx)
	if err != nil {
		return nil
	}
	column := find(columns, name)
	if column == nil || len(column.Values) > 0 { // those of enumerations the server knows
		return nil
	}
	values, err := d.values(ctx, tagValuesAsked{asked: asked{From: a.From, To: a.To}, Key: name})
	if err != nil {
		return nil
	}
	out := make([]completion, 0, len(values))
	for _, v := range values {
		text := v
		if column.Type == "string" {
			text = `"` + flowql.EscapeText(v) + `"`
		}
		out = append(out, completion{text, "stored", "seen in this time range"})
	}
	return out
}

type tagValuesAsked struct {
	asked
	Key  string `json:"key"`
	Max  int    `json:"max"`  // how many; 0: SuggestionsMax
	Seen bool   `json:"seen"` // those that flows have, also of a column whose possible values are known
}

// tagValues are the values of a column in a time range and under filters, the most frequent first.
func (d *Datasource) tagValues(ctx context.Context, a tagValuesAsked) (any, error) {
	return d.values(ctx, a)
}

func (d *Datasource) values(ctx context.Context, a tagValuesAsked) ([]string, error) {
	columns, err := d.columns(ctx)
	if err != nil {
		return nil, err
	}
	column := find(columns, a.Key)
	if column != nil && !a.Seen {
		if len(column.Values) > 0 {
			return column.Values, nil
		}
		if column.Type == "bool" {
			return []string{"true", "false"}, nil
		}
	}
	name, err := flowql.Column(a.Key)
	if err != nil {
		return nil, &sluice.Error{Status: http.StatusBadRequest, Message: err.Error()}
	}
	context := a.context()
	// To the minute, so that "now" of two clicks is one question.
	context.From, context.To = context.From.Truncate(time.Minute), context.To.Truncate(time.Minute).Add(time.Minute)
	list := list{name: name, most: SuggestionsMax, over: context}
	if a.Max > 0 {
		list.most = min(a.Max, SuggestionsAskedMax)
	}
	if column != nil && column.Type == "string" {
		list.texts = a.Key
	}
	filters, _ := json.Marshal(a.Filters)
	list.key = d.asker(ctx) + strings.Join([]string{"values", a.Key, strconv.Itoa(list.most), strconv.FormatInt(context.From.Unix(), 10), strconv.FormatInt(context.To.Unix(), 10), string(filters)}, "\x00")
	found, err := d.kept.get(list.key, func() (any, error) { return d.firstValues(ctx, list) })
	if err != nil {
		return nil, err
	}
	return found.([]string), nil
}

// list of a column's values, as it is asked for.
type list struct {
	key   string // of what is kept
	name  string // of the column, as FlowQL writes it
	texts string // the column's plain name, where it holds texts
	most  int
	over  flowql.Context
}

// firstValues are what can be told at once: the most frequent of some flows, and of the range's end alone where filters that few flows meet keep them away.
// Where that is not all, the whole list is made behind the asker.
func (d *Datasource) firstValues(ctx context.Context, l list) (any, error) {
	few, err := l.of(SuggestionRows)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx) // who was not waited for is told to stop
	defer cancel()
	type told struct {
		answer *sluice.Answer
		err    error
	}
	ask := func(call sluice.Call) <-chan told {
		came := make(chan told, 1)
		go func() {
			answer, err := d.client.Query(ctx, call)
			came <- told{answer, err}
		}()
		return came
	}
	first, end := ask(few), (<-chan told)(nil)
	var late <-chan time.Time
	if l.over.To.Sub(l.over.From) >= SuggestionCutFrom {
		timer := time.NewTimer(d.patience)
		defer timer.Stop()
		late = timer.C
	}
	for {
		select {
		case <-late:
			end = ask(endOf(few))
		case t := <-end:
			end = nil
			if t.err == nil && t.answer.Rows > 0 {
				d.valuesBehind(ctx, l)
				return labels(t.answer), nil
			}
		case t := <-first:
			var refused *sluice.Error
			if errors.As(t.err, &refused) && refused.Status == http.StatusRequestTimeout {
				if end == nil {
					end = ask(endOf(few))
				}
				t = <-end
			}
			if t.err != nil {
				return nil, t.err
			}
			values := labels(t.answer)
			if matched, err := t.answer.Stats["rows_matched"].Int64(); err != nil || matched >= SuggestionRows {
				d.valuesBehind(ctx, l)
				values = d.withNewest(ctx, l, values)
			}
			return values, nil
		}
	}
}

// withNewest puts behind a list of texts those that the newest flows have, which the server finds in its dictionaries without reading a flow. It knows no
// filters: under them the list stays as it is. So it does where the server does not tell.
func (d *Datasource) withNewest(ctx context.Context, l list, values []string) []string {
	if l.texts == "" || len(l.over.Filters) > 0 {
		return values
	}
	text := "where " + l.texts + " == "
	raw, err := d.client.Forward(ctx, http.MethodPost, "/v1/query/complete", map[string]any{"query": text, "cursor": len(text)})
	if err != nil {
		return values
	}
	var told struct {
		Items []completion `json:"items"`
	}
	if json.Unmarshal(raw, &told) != nil {
		return values
	}
	seen := make(map[string]bool, len(values))
	for _, v := range values {
		seen[v] = true
	}
	for _, item := range told.Items {
		value, isText := flowql.TextOf(item.Text)
		if item.Kind == "value" && isText && !seen[value] && len(values) < l.most {
			seen[value] = true
			values = append(values, value)
		}
	}
	return values
}

// valuesBehind makes a list of values whole, and keeps it for the next who asks. The asker does not wait, and may be gone. What fails is left: the list
// that was given stays.
func (d *Datasource) valuesBehind(ctx context.Context, l list) {
	call, err := l.of(0)
	if err != nil {
		return
	}
	select {
	case d.behind <- struct{}{}:
	default:
		return
	}
	go func() {
		defer func() { <-d.behind }()
		ctx := context.WithoutCancel(ctx) // each question has its own end
		answer, err := d.client.Query(ctx, call)
		if err != nil {
			answer, err = d.client.Query(ctx, endOf(call))
		}
		if err == nil {
			d.kept.put(l.key, labels(answer))
		}
	}()
}

// of asks for the most frequent values, of so many flows or (0) of all.
func (l list) of(rows int) (sluice.Call, error) {
	text := "from flows | "
	if rows > 0 {
		text += fmt.Sprintf("limit %d | ", rows)
	}
	expanded, err := flowql.Expand(text+fmt.Sprintf("top %d %s by count()", l.most, l.name), l.over)
	if err != nil {
		return sluice.Call{}, &sluice.Error{Status: http.StatusBadRequest, Message: err.Error()}
	}
	return sluice.Call{Query: expanded.Text, Params: expanded.Params, From: l.over.From, To: l.over.To, Timeout: SuggestionTimeout}, nil
}

func endOf(call sluice.Call) sluice.Call {
	call.From = call.To.Add(-max(call.To.Sub(call.From)/64, 5*time.Minute))
	return call
}

// labels of the first column; unknown is no value.
func labels(answer *sluice.Answer) []string {
	values := make([]string, 0, answer.Rows)
	if len(answer.Columns) > 0 {
		for row := 0; row < answer.Rows; row++ {
			if text, known := answer.Columns[0].Label(row); known && utf8.ValidString(text) {
				values = append(values, text)
			}
		}
	}
	return values
}
