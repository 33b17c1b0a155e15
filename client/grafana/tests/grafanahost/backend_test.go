package grafanahost

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
)

// What the real program answers over gRPC, asked as Grafana asks it. The server behind it is played: what it says is held against a real one in pkg/plugin.
func TestProgram(t *testing.T) {
	program := filepath.Join(t.TempDir(), "gpx_sluice")
	if out, err := exec.Command("go", "build", "-o", program, "../../pkg").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":{"code":"unauthorized","message":"no good token"}}`)
			return
		}
		switch r.URL.Path {
		case "/v1/query":
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"columns":[{"name":"ts","type":"timestamp"},{"name":"src_ip","type":"ip"},{"name":"flows","type":"uint"}],"rows":[["2026-01-01T00:00:00Z","10.0.0.1",3]],"stats":{}}`)
		case "/v1/tail":
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "data: {\"flow_end\":\"2026-01-01T00:00:00Z\",\"src_ip\":\"10.0.0.1\",\"dst_ip\":\"10.0.0.2\"}\n\n")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer server.Close()

	start := func(token string) *Backend {
		var logs bytes.Buffer
		b, err := Start(program, backend.DataSourceInstanceSettings{ID: 1, UID: "sluice", URL: server.URL, JSONData: []byte(`{}`), Updated: time.Unix(1, 0),
			DecryptedSecureJSONData: map[string]string{"token": token}}, &logs)
		if err != nil {
			t.Fatal(err, logs.String())
		}
		t.Cleanup(b.Stop)
		return b
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	b := start("s3cret")

	if health, err := b.Health(ctx); err != nil || health.Status != backend.HealthStatusOk {
		t.Errorf("%v %+v", err, health)
	}
	if health, err := start("other").Health(ctx); err != nil || health.Status != backend.HealthStatusError || !strings.Contains(health.Message, "no good token") {
		t.Errorf("%v %+v", err, health)
	}

	ask := func(query string) backend.DataResponse {
		response, err := b.Query(ctx, []backend.DataQuery{{RefID: "A", JSON: json.RawMessage(query), Interval: time.Minute, TimeRange: backend.TimeRange{From: time.Unix(0, 0), To: time.Unix(3600, 0)}}})
		if err != nil {
			t.Fatal(err)
		}
		return response.Responses["A"]
	}
	series := ask(`{"expr":"timeseries count() every $__interval by src_ip"}`)
	if series.Error != nil || len(series.Frames) != 1 || series.Frames[0].Fields[1].Labels["src_ip"] != "10.0.0.1" {
		t.Errorf("%+v", series)
	}
	if failed := ask(`{"expr":"drop rule x"}`); failed.Error == nil || !strings.Contains(failed.Error.Error(), "changes something") {
		t.Errorf("%+v", failed)
	}

	if status, body, err := b.Resource(ctx, "GET", "macros", "macros", nil); err != nil || status != 200 || !strings.Contains(string(body), "$__interval") {
		t.Errorf("%v %d %s", err, status, body)
	}
	if status, _, err := b.Resource(ctx, "GET", "v1/admin/tokens", "v1/admin/tokens", nil); err != nil || status != 404 {
		t.Errorf("%v %d", err, status)
	}

	if status, err := b.Subscribe(ctx, "tail/x", []byte(`{"expr":"dst_port == 53"}`)); err != nil || status != backend.SubscribeStreamStatusOK {
		t.Errorf("%v %v", err, status)
	}
	listening, leave := context.WithCancel(ctx)
	defer leave()
	got := ""
	if err := b.Run(listening, "tail/x", []byte(`{"expr":"dst_port == 53"}`), func(frame []byte) error {
		got += string(frame)
		if strings.Contains(got, "10.0.0.1") { // the first frame is empty: it says that the stream is there
			leave()
		}
		return nil
	}); err != nil && listening.Err() == nil {
		t.Error(err)
	}
	if !strings.Contains(got, "10.0.0.1 → 10.0.0.2") {
		t.Errorf("%s", got)
	}
}

func TestMain(m *testing.M) {
	if _, err := exec.LookPath("go"); err != nil {
		fmt.Println("skipped: there is no go to build the program with")
		os.Exit(0)
	}
	os.Exit(m.Run())
}
