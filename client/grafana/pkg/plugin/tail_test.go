package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
	"github.com/grafana/grafana-plugin-sdk-go/data"
)

// A stand-in for the server's streams: what it sends is written by each test.
func streaming(t *testing.T, send func(n int, w http.ResponseWriter, r *http.Request)) *Datasource {
	t.Helper()
	var n atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"columns":[{"name":"name","type":"string"},{"name":"type","type":"string"}],"rows":[["flow_end","timestamp"],["src_ip","ip"],["bytes","uint"]],"stats":{}}`)
			return
		}
		if r.Header.Get("Accept") != "text/event-stream" {
			t.Errorf("asks for %q", r.Header.Get("Accept"))
		}
		w.Header().Set("Content-Type", "text/event-stream")
		send(int(n.Add(1)), w, r)
	}))
	t.Cleanup(s.Close)
	return datasource(t, s.URL, nil, map[string]string{"token": "s3cret"})
}

// Bodies that a tail sends, until there are `want` of them.
func listen(t *testing.T, d *Datasource, q Query, want int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	encoded, _ := json.Marshal(q)
	asked, err := readTail("tail/x", encoded)
	if err != nil {
		t.Fatal(err)
	}
	var bodies []string
	if err := d.tail(ctx, asked, func(frame *data.Frame) error {
		field, _ := frame.FieldByName("body")
		for i := 0; i < field.Len(); i++ {
			bodies = append(bodies, field.At(i).(string))
		}
		if len(bodies) >= want {
			cancel()
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return bodies
}

func flush(w http.ResponseWriter, text string) {
	fmt.Fprint(w, text)
	w.(http.Flusher).Flush()
}

func TestTailReadsRows(t *testing.T) {
	d := streaming(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/tail" || r.URL.Query().Get("q") != "src_ip in $hosts\n| where `action` == $__filter_0" || strings.Join(r.URL.Query()["param.hosts"], " ") != "a b" ||
			r.URL.Query().Get("param.__filter_0") != `x" or true` || r.Header.Get("Authorization") != "Bearer s3cret" {
			t.Errorf("asked %s with %v", r.URL, r.Header)
		}
		flush(w, ": hello\n\nid: 1\ndata: {\"flow_end\":\"2025-11-20T10:00:00Z\",\"src_ip\":\"10.0.0.1\",\"dst_ip\":\"10.0.0.2\",\"protocol\":6,\"bytes\":1500}\n\n")
		flush(w, "event: columns\ndata: {\"columns\":[{\"name\":\"flow_end\",\"type\":\"timestamp\"},{\"name\":\"src_ip\",\"type\":\"ip\"},{\"name\":\"dst_ip\",\"type\":\"ip\"}]}\n\n")
		flush(w, "event: rows\r\ndata: {\"rows\":[[\"2025-11-20T10:00:01Z\",\"10.0.0.3\",\"\\u001b[31m10.0.0.4\"],\r\ndata: [\"2025-11-20T10:00:02Z\",\"10.0.0.5\",null]]}\r\n\r\n")
		flush(w, "event: alive\nid: 2\ndata: {}\n\nevent: dropped\ndata: {\"dropped\":7}\n\nevent: lost\ndata: {\"lost\":3,\"of\":\"flows that came in\",\"reason\":\"too fast\"}\n\n")
		flush(w, "event: gap\ndata: {\"reason\":\"started anew\"}\n\nevent: error\ndata: {\"error\":{\"message\":\"a batch is broken\"}}\n\n")
		<-r.Context().Done()
	})
	q := Query{Expr: "src_ip in $hosts", Filters: nil}
	q.Variables = variables("hosts", "a", "b")
	q.Filters = append(q.Filters, filter("action", "=", `x" or true`))
	got := strings.Join(listen(t, d, q, 7), "\n")
	for _, part := range []string{"TCP 10.0.0.1 → 10.0.0.2 1.5 kB", "? 10.0.0.3 → \\u{1b}[31m10.0.0.4", "? 10.0.0.5 → ?", "left out 7 flows", "3 flows that came in (too fast)", "a gap here: started anew", "a batch is broken"} {
		if !strings.Contains(got, part) {
			t.Errorf("%q is not in %s", part, got)
		}
	}
}

// Alerts as they happen: their message is the line, and their severity its level.
func TestTailOfAlerts(t *testing.T) {
	d := streaming(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/alerts/stream" || r.URL.RawQuery != "" {
			t.Errorf("asked %s", r.URL)
		}
		flush(w, "event: alert\nid: 1\ndata: {\"change\":\"started\",\"ts\":\"2025-11-20T10:00:00Z\",\"rule\":\"scan\",\"severity\":\"high\",\"message\":\"10.0.0.1 tried\",\"ended_at\":null,\"techniques\":[\"T1046\"]}\n\n")
		<-r.Context().Done()
	})
	if got := listen(t, d, Query{Expr: "from alerts"}, 1); len(got) != 1 || got[0] != "10.0.0.1 tried" {
		t.Errorf("%q", got)
	}
	if got := listen(t, d, Query{Expr: "from alerts | where severity == 'low'"}, 2); len(got) != 2 || !strings.Contains(got[0], "is not applied") {
		t.Errorf("%q", got)
	}
}

func TestTailGoesOnWhereItBroke(t *testing.T) {
	d := streaming(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if n == 2 && r.Header.Get("Last-Event-ID") != "41" {
			t.Errorf("goes on at %q", r.Header.Get("Last-Event-ID"))
		}
		flush(w, fmt.Sprintf("id: 4%d\ndata: {\"flow_end\":\"2025-11-20T10:00:0%dZ\",\"src_ip\":\"10.0.0.%d\"}\n\ndata: {\"cut", n, n, n))
		if n > 1 {
			<-r.Context().Done()
		}
	})
	got := strings.Join(listen(t, d, Query{Expr: "from flows"}, 3), "\n")
	for _, part := range []string{"10.0.0.1 →", "broke off (the server ended it)", "10.0.0.2 →"} {
		if !strings.Contains(got, part) {
			t.Errorf("%q is not in %s", part, got)
		}
	}
}

func TestTailSaysWhyItCannotRun(t *testing.T) {
	d := streaming(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(400)
		fmt.Fprint(w, `{"error":{"code":"parse","message":"a stream cannot be sorted","line":1,"column":3}}`)
	})
	if got := listen(t, d, Query{Expr: "sort ts"}, 1); !strings.Contains(got[0], "a stream cannot be sorted (line 1, column 3)") {
		t.Error(got)
	}
	d = streaming(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		flush(w, "data: {\"error\":{\"message\":\"the server stops\"}}\n\n")
	})
	if got := listen(t, d, Query{Expr: "a == 1"}, 1); !strings.Contains(got[0], "the server stops") {
		t.Error(got)
	}
}

func TestTailIsBounded(t *testing.T) {
	d := streaming(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		var out strings.Builder
		for range TailRowsPerSecond + 250 {
			out.WriteString("data: {\"flow_end\":\"2025-11-20T10:00:00Z\",\"src_ip\":\"10.0.0.1\"}\n\n")
		}
		flush(w, out.String())
		<-r.Context().Done()
	})
	// All may fall into one second, or a few into the next: then they are shown, but never more than the bound at once.
	got := listen(t, d, Query{Expr: "a == 1"}, TailRowsPerSecond+1)
	if last := got[len(got)-1]; len(got) < TailRowsPerSecond+250 && !strings.Contains(last, "more rows are not shown") {
		t.Errorf("%d lines, the last is %s", len(got), last)
	}
}

func TestSubscriptions(t *testing.T) {
	d := datasource(t, "http://127.0.0.1:1", nil, nil)
	for path, c := range map[string]struct {
		data string
		want backend.SubscribeStreamStatus
	}{
		"tail/abc": {`{"expr":"dst_port == 53"}`, backend.SubscribeStreamStatusOK},
		"tail/a":   {`{"expr":"drop rule x"}`, backend.SubscribeStreamStatusNotFound},
		"tail/b":   {`x`, backend.SubscribeStreamStatusNotFound},
		"tail/":    {`{}`, backend.SubscribeStreamStatusNotFound},
		"other":    {`{}`, backend.SubscribeStreamStatusNotFound},
	} {
		response, err := d.SubscribeStream(context.Background(), &backend.SubscribeStreamRequest{Path: path, Data: json.RawMessage(c.data)})
		if err != nil || response.Status != c.want {
			t.Errorf("%s: %v %v", path, response, err)
		}
	}
	if response, _ := d.PublishStream(context.Background(), &backend.PublishStreamRequest{}); response.Status != backend.PublishStreamStatusPermissionDenied {
		t.Error("publishing is let in")
	}
	asked, err := readTail("tail/x", json.RawMessage(`{"expr":" FROM\n alerts | where severity == 'high'"}`))
	if err != nil || asked.route != alertStream {
		t.Errorf("%+v %v", asked, err)
	}
}
