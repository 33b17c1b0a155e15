package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
	"github.com/grafana/grafana-plugin-sdk-go/data"

	"sluice/client/grafana/pkg/flowql"
)

func datasource(t *testing.T, url string, settings map[string]any, secrets map[string]string) *Datasource {
	t.Helper()
	encoded, _ := json.Marshal(settings)
	instance, err := New(context.Background(), backend.DataSourceInstanceSettings{URL: url, UID: "sluice", Type: "sluice-flowql-datasource", JSONData: encoded, DecryptedSecureJSONData: secrets})
	if err != nil {
		t.Fatal(err)
	}
	return instance.(*Datasource)
}

func ask(t *testing.T, d *Datasource, q Query) backend.DataResponse {
	t.Helper()
	encoded, _ := json.Marshal(q)
	response, err := d.QueryData(context.Background(), &backend.QueryDataRequest{Queries: []backend.DataQuery{{RefID: "A", JSON: encoded, Interval: 10 * time.Minute,
		TimeRange: backend.TimeRange{From: fixtureFrom, To: fixtureTo}}}})
	if err != nil {
		t.Fatal(err)
	}
	return response.Responses["A"]
}

// What queries become, held against testdata/NAME.json. Accounts (elapsed time, memory) are left out: they are never the same twice.
func TestGoldenFrames(t *testing.T) {
	d := datasource(t, server(t), nil, nil)
	hosts := map[string]flowql.Variable{"hosts": {Values: []string{"10.0.0.1", "10.0.0.2"}}, "none": {Values: []string{"x"}, All: true}}
	for name, q := range map[string]Query{
		"series":          {Expr: "timeseries b = sum(bytes) every $__interval by src_ip limit 2"},
		"series_ports":    {Expr: "timeseries flows = count(), bytes = sum(bytes) every $__interval by dst_port", Legend: ""},
		"series_legend":   {Expr: "timeseries sum(bytes) every 30m by action", Legend: "{{action}} ({{nothing}})"},
		"series_service":  {Expr: "extend port = if(src_port < dst_port, src_port, dst_port) | timeseries bytes = sum(bytes) every $__interval by protocol, port limit 2 | extend service = service(port, protocol)", Legend: "{{service}}"},
		"series_hostile":  {Expr: "timeseries count() every 30m by src_interface_id"},
		"series_no_time":  {Expr: "stats count() by src_ip"},
		"table":           {QueryType: Table, Expr: "src_ip in $hosts | stats flows = count(), bytes = sum(bytes), first = min(ts) by src_ip, dst_port | sort bytes desc", Variables: hosts},
		"table_numeric":   {QueryType: Table, Expr: "where $__conditionalAll(src_ip in $none, $none) | top 2 src_ip by sum(bytes)", Variables: hosts},
		"table_filtered":  {QueryType: Table, Expr: "stats flows = count() by src_ip", Filters: []flowql.Filter{{Key: "action", Operator: "=", Value: "reject"}}},
		"table_cut":       {QueryType: Table, Expr: "select src_port | sort src_port", Limit: 3},
		"table_own_range": {QueryType: Table, Expr: "from flows between 2025-11-20T10:00:00Z and 2025-11-20T10:05:00Z | stats flows = count()", OwnRange: true},
		"table_empty":     {QueryType: Table, Expr: "dst_port == 1 | stats count() by src_ip"},
		"logs":            {QueryType: Logs, Expr: "dst_port in (22, 8443) | drop received_at | sort ts desc"},
		"logs_grouped":    {QueryType: Logs, Expr: "stats flows = count() by dst_port, bin(30m)"},
		"volume":          {QueryType: LogsVolume, Expr: "from flows"},
		"graph":           {QueryType: NodeGraph, Expr: "top 10 src_ip, dst_ip by sum(bytes), count() with others"},
		"map":             {QueryType: Geomap, Expr: "stats flows = count() by src_region"},
		"alerts_empty":    {QueryType: Alerts},
	} {
		t.Run(name, func(t *testing.T) {
			response := ask(t, d, q)
			if response.Error != nil {
				t.Fatal(response.Error)
			}
			for _, frame := range response.Frames {
				frame.Meta.Stats = nil
			}
			var got bytes.Buffer
			for _, frame := range response.Frames {
				encoded, err := data.FrameToJSON(frame, data.IncludeAll)
				if err != nil {
					t.Fatal(err)
				}
				if err := json.Indent(&got, encoded, "", " "); err != nil {
					t.Fatal(err)
				}
				got.WriteByte('\n')
			}
			path := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%s has changed; if it should, go test ./pkg/plugin -update\n got %s\nwant %s", path, got.Bytes(), want)
			}
		})
	}
}

// Flows as lines: the latest first and no more than asked for, each with an id that is the same in every answer.
func TestLogsOfFlows(t *testing.T) {
	d := datasource(t, server(t), nil, nil)
	ids := func(q Query) (out []string, executed string) {
		response := ask(t, d, q)
		if response.Error != nil {
			t.Fatal(response.Error)
		}
		field, _ := response.Frames[0].FieldByName("id")
		seen := map[string]bool{}
		for i := 0; i < field.Len(); i++ {
			id := field.At(i).(string)
			if seen[id] {
				t.Errorf("two lines are called %s", id)
			}
			seen[id] = true
			out = append(out, id)
		}
		return out, response.Frames[0].Meta.ExecutedQueryString
	}
	all, executed := ids(Query{QueryType: Logs})
	if len(all) != 44 || !strings.HasSuffix(executed, "| sort ts desc | limit 1000") {
		t.Errorf("%d lines of %s", len(all), executed)
	}
	first, executed := ids(Query{QueryType: Logs, Limit: 5})
	if strings.Join(first, " ") != strings.Join(all[:5], " ") || !strings.HasSuffix(executed, "| limit 5") {
		t.Errorf("%v of %s, and %v", first, executed, all[:5])
	}
}

func TestErrorsSayWhere(t *testing.T) {
	d := datasource(t, server(t), nil, nil)
	for _, c := range []struct {
		q     Query
		parts []string
	}{
		{Query{Expr: "src_prt == 1 | timeseries count() every 5m"}, []string{"unknown column 'src_prt' (line 1, column 1): did you mean 'src_port'?", "^~~~~~~"}},
		{Query{Expr: "src_ip == $who", QueryType: Table}, []string{"no value was given for the parameter '$who'"}},
		{Query{Expr: "where $__nothing"}, []string{"no macro $__nothing"}},
		{Query{Expr: "drop rule x"}, []string{"changes something"}},
		{Query{Expr: "select src_ip", QueryType: Logs}, []string{"no time column"}},
		{Query{Expr: "stats count()", QueryType: LogsVolume}, []string{"for flows only"}},
		{Query{Expr: "stats count()", QueryType: NodeGraph}, []string{"two columns that say who and whom"}},
		{Query{Expr: "stats count()", QueryType: Geomap}, []string{"countries or cloud regions"}},
		{Query{Expr: "stats count()", QueryType: Alerts}, []string{"columns ts and rule"}},
		{Query{Expr: "x", QueryType: "nothing"}, []string{"x"}},
		{Query{QueryType: Tail}, []string{"no answer that ends"}},
	} {
		response := ask(t, d, c.q)
		if response.Error == nil {
			t.Errorf("%+v: no error", c.q)
			continue
		}
		for _, part := range c.parts {
			if !strings.Contains(response.Error.Error(), part) {
				t.Errorf("%+v: %v", c.q, response.Error)
			}
		}
		if response.ErrorSource != backend.ErrorSourceDownstream {
			t.Errorf("%+v: the error is called ours", c.q)
		}
	}
	if response := ask(t, d, Query{}); response.Error != nil || len(response.Frames) != 0 {
		t.Errorf("an empty query answers %+v", response)
	}
}

func TestHealth(t *testing.T) {
	check := func(d *Datasource) *backend.CheckHealthResult {
		result, err := d.CheckHealth(context.Background(), &backend.CheckHealthRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	if r := check(datasource(t, server(t), nil, nil)); r.Status != backend.HealthStatusOk || !strings.Contains(r.Message, "no flows of the last hour") {
		t.Errorf("%+v", r)
	}
	if r := check(datasource(t, "http://127.0.0.1:1", nil, nil)); r.Status != backend.HealthStatusError || !strings.Contains(r.Message, "cannot be reached") {
		t.Errorf("%+v", r)
	}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }))
	defer other.Close()
	if r := check(datasource(t, other.URL, nil, nil)); r.Status != backend.HealthStatusError || !strings.Contains(r.Message, "is the URL that of a Sluice server") {
		t.Errorf("%+v", r)
	}
	for _, url := range []string{"", "127.0.0.1:8080", "file:///etc/passwd", "http://"} {
		if _, err := New(context.Background(), backend.DataSourceInstanceSettings{URL: url}); err == nil {
			t.Errorf("%q is taken as a URL", url)
		}
	}
}

// What is sent to the server: the token, the tenant, further headers, the range, bounds and parameters.
func TestRequests(t *testing.T) {
	var header http.Header
	var body map[string]any
	status, answer := 200, `{"columns":[],"rows":[],"range":null,"warnings":["careful"],"stats":{}}`
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		body = nil
		_ = json.NewDecoder(r.Body).Decode(&body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprint(w, answer)
	}))
	defer s.Close()
	d := datasource(t, s.URL+"/behind/proxy/", map[string]any{"tenant": "red", "tenantHeader": "X-Org", "httpHeaderName1": "X-More", "queryTimeoutSeconds": 7, "maxRows": 50},
		map[string]string{"token": "s3cret", "httpHeaderValue1": "yes"})
	response := ask(t, d, Query{Expr: "from flows", QueryType: Table})
	if response.Error != nil {
		t.Fatal(response.Error)
	}
	for name, want := range map[string]string{"Authorization": "Bearer s3cret", "X-Org": "red", "X-More": "yes", "Content-Type": "application/json"} {
		if header.Get(name) != want {
			t.Errorf("%s: %q", name, header.Get(name))
		}
	}
	if body["from"] != "2025-11-20T10:00:00Z" || body["to"] != "2025-11-20T11:00:00Z" || body["limit"] != 50.0 || body["timeout_ms"] != 7000.0 {
		t.Errorf("%v", body)
	}
	if notices := response.Frames[0].Meta.Notices; len(notices) != 1 || notices[0].Text != "careful" {
		t.Errorf("%+v", notices)
	}
	ask(t, d, Query{Expr: "from flows", QueryType: Table, OwnRange: true, Limit: 1 << 30})
	if body["from"] != nil || body["limit"] != 100000.0 {
		t.Errorf("%v", body)
	}
	ask(t, d, Query{Expr: "from flows"})
	if body["limit"] != 100000.0 {
		t.Errorf("a chart is cut at %v rows", body["limit"])
	}
	// Half an answer is none, and neither is what is no answer at all.
	for text, part := range map[string]string{
		`{"columns":[{"name":"a","type":"uint"}],"rows":[[1]],"error":{"code":"deadline","message":"too slow"}}`: "too slow",
		`{"columns":[{"name":"a","type":"uint"}],"rows":[[1],`:                                                   "cut off",
		`{"columns":[{"name":"a","type":"uint"}],"rows":[[1]]}`:                                                  "not whole",
		`{"columns":[{"name":"a","type":"uint"}],"rows":[[1,2]],"stats":{}}`:                                     "2 values for 1 columns",
		`{"columns":[{"name":"a","type":"uint"}],"rows":[["x"]],"stats":{}}`:                                     "column a",
		`[]`: "no query's answer",
	} {
		answer = text
		if response := ask(t, d, Query{Expr: "x", QueryType: Table}); response.Error == nil || !strings.Contains(response.Error.Error(), part) {
			t.Errorf("%s: %v", text, response.Error)
		}
	}
	status, answer = 503, `{"error":{"code":"full","message":"busy"}}`
	if response := ask(t, d, Query{Expr: "x"}); response.Status != 503 || response.Error == nil {
		t.Errorf("%+v", response)
	}
}

func resource(t *testing.T, d *Datasource, method, path string, body any, into any) int {
	t.Helper()
	encoded, _ := json.Marshal(body)
	var status int
	err := d.CallResource(context.Background(), &backend.CallResourceRequest{Method: method, Path: path, URL: path, Body: encoded}, backend.CallResourceResponseSenderFunc(func(r *backend.CallResourceResponse) error {
		status = r.Status
		if into != nil {
			return json.Unmarshal(r.Body, into)
		}
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	return status
}

func TestEditorsQuestions(t *testing.T) {
	d := datasource(t, server(t), nil, nil)
	at := map[string]any{"from": fixtureFrom, "to": fixtureTo}
	with := func(more map[string]any) map[string]any {
		out := map[string]any{}
		for _, m := range []map[string]any{at, more} {
			for k, v := range m {
				out[k] = v
			}
		}
		return out
	}

	var columns []columnInfo
	if status := resource(t, d, "GET", "columns", nil, &columns); status != 200 || find(columns, "src_ip") == nil || find(columns, "ip").Kind != "either side" {
		t.Errorf("%d %v", status, columns)
	}

	var v validated
	// Behind what takes two UTF-16 units and four bytes, and behind a macro that becomes longer.
	text := `app == "💥" and $__timeFilter and src_prt == $who | limit 1`
	resource(t, d, "POST", "validate", with(map[string]any{"expr": text, "variables": map[string]any{"who": map[string]any{"values": []string{"1"}}}}), &v)
	if v.Valid || len(v.Errors) != 1 || v.Errors[0].Start != strings.Index(text, "src_prt")-2 || v.Errors[0].End-v.Errors[0].Start != 7 || !strings.Contains(v.Errors[0].Hint, "src_port") {
		t.Errorf("%+v", v)
	}
	resource(t, d, "POST", "validate", with(map[string]any{"expr": "limit ${x:raw}", "variables": map[string]any{"x": map[string]any{"values": []string{"1"}}}}), &v)
	if v.Valid || v.Errors[0].Start != 6 || v.Errors[0].End != 14 {
		t.Errorf("%+v", v)
	}
	resource(t, d, "POST", "validate", with(map[string]any{"expr": "timeseries rate(sum(bytes)) every $__interval"}), &v)
	if !v.Valid {
		t.Errorf("%+v", v)
	}

	resource(t, d, "POST", "validate", with(map[string]any{"expr": "from alerts | where $__timeFilter and rool == 'x'"}), &v)
	if v.Valid || len(v.Errors) != 1 || v.Errors[0].Start != 38 || v.Errors[0].End != 42 {
		t.Errorf("%+v", v)
	}

	complete := func(text string) (c completions) {
		resource(t, d, "POST", "complete", with(map[string]any{"expr": text, "cursor": len(text)}), &c)
		return c
	}
	if c := complete("src_po"); c.Start != 0 || c.End != 6 || c.Items[0].Text != "src_port" {
		t.Errorf("%+v", c)
	}
	if c := complete("timeseries count() every $__in"); c.Start != 25 || c.Items[0].Text != "$__interval" {
		t.Errorf("%+v", c)
	}
	if c := complete("src_ip == 10."); c.Start != 10 || c.Items[0] != (completion{"10.0.0.1", "stored", "seen in this time range"}) {
		t.Errorf("%+v", c)
	}
	c := complete("src_interface_id == ")
	found := false
	for _, item := range c.Items {
		found = found || item.Text == `"`+flowql.EscapeText(hostileName)+`"`
	}
	if !found {
		t.Errorf("%+v", c)
	}

	var values []string
	resource(t, d, "POST", "tag-values", with(map[string]any{"key": "src_ip", "adHocFilters": []flowql.Filter{{Key: "dst_port", Operator: "=", Value: "22"}}}), &values)
	if len(values) != 1 || values[0] != "203.0.113.66" {
		t.Errorf("%q", values)
	}
	resource(t, d, "POST", "tag-values", with(map[string]any{"key": "action"}), &values)
	if len(values) != 4 || values[0] != "accept" {
		t.Errorf("%q", values)
	}
	for _, key := range append([]string{"src_ip or true", "`", "", "$x"}, hostileName) {
		if status := resource(t, d, "POST", "tag-values", with(map[string]any{"key": key}), nil); status != 400 {
			t.Errorf("%q: %d", key, status)
		}
	}
	for path, want := range map[string]int{"../v1/admin/tokens": 404, "v1/query": 404, "columns/x": 404} {
		if status := resource(t, d, "GET", path, nil, nil); status != want && status != 301 && status != 307 {
			t.Errorf("%s: %d", path, status)
		}
	}
	if status := resource(t, d, "POST", "validate", strings.Repeat("x", ResourceBytesMax), nil); status != 413 {
		t.Errorf("a large request: %d", status)
	}
}

// Names of rules for the form of alerts; asked once, and a failure is told and asked again.
func TestNamesOfRules(t *testing.T) {
	asks := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asks++
		w.Header().Set("Content-Type", "application/json")
		if asks == 1 {
			w.WriteHeader(503)
			fmt.Fprint(w, `{"error":{"code":"full","message":"busy"}}`)
			return
		}
		fmt.Fprint(w, `{"columns":[{"name":"name","type":"string"}],"rows":[["port_scan"],[null],["x <b>"]],"stats":{}}`)
	}))
	defer s.Close()
	d := datasource(t, s.URL, nil, nil)
	if status := resource(t, d, "GET", "rules", nil, nil); status != 503 {
		t.Errorf("a busy server: %d", status)
	}
	for range 2 {
		var names []string
		if status := resource(t, d, "GET", "rules", nil, &names); status != 200 || strings.Join(names, ",") != "port_scan,x <b>" {
			t.Errorf("%d %q", status, names)
		}
	}
	if asks != 2 {
		t.Errorf("%d asks", asks)
	}
}

// A list comes of some flows at once; of all flows it is made behind the asker, of the range's end where they are too many, and is there for the next.
func TestSuggestionsComeAtOnceAndAreMadeWholeBehind(t *testing.T) {
	var lock sync.Mutex
	var asked []string
	whole := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		_ = json.NewDecoder(r.Body).Decode(&body)
		w.Header().Set("Content-Type", "application/json")
		query, _ := body["query"].(string)
		if query == "show columns" {
			fmt.Fprint(w, `{"columns":[{"name":"name","type":"string"}],"rows":[["a"]],"stats":{}}`)
			return
		}
		lock.Lock()
		asked = append(asked, fmt.Sprint(query, " from ", body["from"]))
		n := len(asked)
		lock.Unlock()
		switch n {
		case 1:
			fmt.Fprintf(w, `{"columns":[{"name":"a","type":"string"}],"rows":[["some"]],"stats":{"rows_matched":%d}}`, SuggestionRows)
		case 2:
			<-whole // however long this takes, the first list is out
			w.WriteHeader(408)
			fmt.Fprint(w, `{"error":{"code":"deadline","message":"timeout"}}`)
		case 3:
			fmt.Fprint(w, `{"columns":[{"name":"a","type":"string"}],"rows":[["all"],["some"]],"stats":{"rows_matched":900000}}`)
		default:
			fmt.Fprint(w, `{"columns":[{"name":"a","type":"string"}],"rows":[["few"]],"stats":{"rows_matched":12}}`)
		}
	}))
	defer s.Close()
	d := datasource(t, s.URL, nil, nil)
	d.patience = time.Hour
	body := map[string]any{"key": "a", "from": fixtureFrom, "to": fixtureFrom.Add(64 * time.Hour)}
	ask := func() string {
		var values []string
		resource(t, d, "POST", "tag-values", body, &values)
		return strings.Join(values, " ")
	}
	if got := ask(); got != "some" {
		t.Errorf("first %q", got)
	}
	close(whole)
	for end := time.Now().Add(20 * time.Second); ask() != "all some"; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the list is not made whole: %q", asked)
		}
	}
	want := []string{"from flows | limit 50000 | top 200 `a` by count() from 2025-11-20T10:00:00Z", "from flows | top 200 `a` by count() from 2025-11-20T10:00:00Z"}
	if len(asked) != 3 || !slices.Equal(asked[:2], want) || !strings.Contains(asked[2], "from 2025-11-23T01:0") {
		t.Errorf("%q", asked)
	}
	// What is kept gets old; and a list that has all flows in it is not asked for twice.
	d.kept.now = func() time.Time { return time.Now().Add(SuggestionAge + time.Second) }
	if got := ask(); got != "few" || len(asked) != 4 {
		t.Errorf("%q, %q", got, asked)
	}
}

// Where even some flows do not come in time, the end of the range is asked.
func TestSuggestionsOfALongRangeAskItsEnd(t *testing.T) {
	var from []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		_ = json.NewDecoder(r.Body).Decode(&body)
		w.Header().Set("Content-Type", "application/json")
		if body["query"] == "show columns" {
			fmt.Fprint(w, `{"columns":[{"name":"name","type":"string"}],"rows":[["a"]],"stats":{}}`)
			return
		}
		from = append(from, fmt.Sprint(body["from"]))
		if len(from) == 1 {
			w.WriteHeader(408)
			fmt.Fprint(w, `{"error":{"code":"deadline","message":"timeout"}}`)
			return
		}
		fmt.Fprint(w, `{"columns":[{"name":"a","type":"string"}],"rows":[["x"]],"stats":{"rows_matched":1}}`)
	}))
	defer s.Close()
	d := datasource(t, s.URL, nil, nil)
	d.patience = time.Hour
	var values []string
	resource(t, d, "POST", "tag-values", map[string]any{"key": "a", "from": fixtureFrom, "to": fixtureFrom.Add(64 * time.Hour)}, &values)
	if len(from) != 2 || len(values) != 1 || !strings.HasPrefix(from[1], "2025-11-23T01:0") {
		t.Errorf("from %q: %q", from, values)
	}
}

// Filters that few flows meet: the first list is of the range's end where all of it takes long, and the question that was not waited for ends. A short
// range is waited for, and so is one whose end has none.
func TestSuggestionsUnderRareFiltersDoNotWait(t *testing.T) {
	for _, one := range []struct {
		name, end, want string
		length          time.Duration
	}{{"long", `["end"]`, "end", 64 * time.Hour}, {"short", `["end"]`, "all", SuggestionCutFrom - time.Minute}, {"nothing at its end", "", "all", 64 * time.Hour}} {
		gone := make(chan struct{})
		asks := make(chan struct{}, 10)
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var body map[string]any
			_ = json.NewDecoder(r.Body).Decode(&body)
			w.Header().Set("Content-Type", "application/json")
			query, _ := body["query"].(string)
			rows := `["all"]`
			switch {
			case query == "show columns":
				fmt.Fprint(w, `{"columns":[{"name":"name","type":"string"}],"rows":[["a"]],"stats":{}}`)
				return
			case !strings.Contains(query, "limit 50000"): // behind
			case body["from"] != fixtureFrom.Format(time.RFC3339):
				rows = one.end
				asks <- struct{}{}
			case one.want == "end":
				<-r.Context().Done()
				close(gone)
				return
			case one.length > SuggestionCutFrom:
				<-asks // the end was asked for beside
			default:
				time.Sleep(20 * time.Millisecond) // longer than the patience of this test: the end would be asked if it might be
			}
			fmt.Fprintf(w, `{"columns":[{"name":"a","type":"string"}],"rows":[%s],"stats":{"rows_matched":1}}`, rows)
		}))
		d := datasource(t, s.URL, nil, nil)
		d.patience = time.Millisecond
		var values []string
		resource(t, d, "POST", "tag-values", map[string]any{"key": "a", "from": fixtureFrom, "to": fixtureFrom.Add(one.length - time.Minute)}, &values)
		if strings.Join(values, " ") != one.want {
			t.Errorf("%s: %q", one.name, values)
		}
		if one.want == "end" {
			<-gone
		}
		s.Close()
	}
}

// What the server knows of the newest flows' texts is put behind a list that is not whole: read as texts, each once, and no more than were asked for.
func TestSuggestionsOfTextsHaveTheNewest(t *testing.T) {
	var completed []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		_ = json.NewDecoder(r.Body).Decode(&body)
		w.Header().Set("Content-Type", "application/json")
		query, _ := body["query"].(string)
		switch {
		case r.URL.Path == "/v1/query/complete":
			completed = append(completed, query)
			fmt.Fprint(w, `{"replace":{"offset":0,"length":0},"items":[{"text":"\"some\"","kind":"value"},{"text":"\"new\\\" \\\\ \\n\\x01é\"","kind":"value"},{"text":"\"late\"","kind":"column"},{"text":"echo","kind":"value"},{"text":"\"third\"","kind":"value"}]}`)
		case query == "show columns":
			fmt.Fprint(w, `{"columns":[{"name":"name","type":"string"},{"name":"type","type":"string"},{"name":"values","type":"string"}],"rows":[["a","string",null],["n","uint",null],["e","string","x, y"]],"stats":{}}`)
		case !strings.Contains(query, "limit 50000"):
			w.WriteHeader(503) // what is made behind fails: the first list stays
		default:
			fmt.Fprintf(w, `{"columns":[{"name":"a","type":"string"}],"rows":[["some"]],"stats":{"rows_matched":%d}}`, SuggestionRows)
		}
	}))
	defer s.Close()
	d := datasource(t, s.URL, nil, nil)
	d.patience = time.Hour
	ask := func(more map[string]any) string {
		body := map[string]any{"from": fixtureFrom, "to": fixtureFrom.Add(time.Hour)}
		for k, v := range more {
			body[k] = v
		}
		var values []string
		resource(t, d, "POST", "tag-values", body, &values)
		return strings.Join(values, "|")
	}
	whole := "some|new\" \\ \n\x01é|third"
	for _, one := range []struct {
		more map[string]any
		want string
	}{
		{map[string]any{"key": "a"}, whole},
		{map[string]any{"key": "a", "max": 2}, "some|new\" \\ \n\x01é"},
		{map[string]any{"key": "a", "adHocFilters": []flowql.Filter{{Key: "n", Operator: "=", Value: "1"}}}, "some"},
		{map[string]any{"key": "n"}, "some"},
		{map[string]any{"key": "e"}, "x|y"},
		{map[string]any{"key": "e", "seen": true}, whole},
	} {
		if got := ask(one.more); got != one.want {
			t.Errorf("%v: %q", one.more, got)
		}
	}
	if want := []string{"where a == ", "where a == ", "where e == "}; !slices.Equal(completed, want) {
		t.Errorf("%q", completed)
	}
}

// Every text that the builder writes (src/flowql/builder.test.ts keeps them) is one that the server takes, hostile values included.
func TestBuildersTexts(t *testing.T) {
	d := datasource(t, server(t), nil, nil)
	text, err := os.ReadFile("../../testdata/builder.json")
	if err != nil {
		t.Fatal(err)
	}
	var texts map[string]string
	if err := json.Unmarshal(text, &texts); err != nil {
		t.Fatal(err)
	}
	if len(texts) < 30 {
		t.Errorf("only %d texts", len(texts))
	}
	chosen := map[string]flowql.Variable{"hosts": {Values: []string{"10.0.0.1", "10.0.0.0/8"}}, "step": {Values: []string{"10m"}}, "rule": {Values: []string{"scan"}}, "one": {Values: []string{"1"}}}
	for name, text := range texts {
		var v validated
		if status := resource(t, d, "POST", "validate", map[string]any{"expr": text, "from": fixtureFrom, "to": fixtureTo, "variables": chosen}, &v); status != 200 || !v.Valid {
			t.Errorf("%s: %d %+v\n%s", name, status, v.Errors, text)
		}
		if strings.HasPrefix(name, "hostile") || name == "logs" {
			if stages := flowql.Stages(text); len(stages) != 2 || !flowql.KeepsFlows(text) {
				t.Errorf("%s: %v\n%s", name, stages, text)
			}
		}
	}
}
