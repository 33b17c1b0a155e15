// A stand-in for Grafana's HTTP side, for tests in a browser: it starts the real back end over gRPC and serves a page, the built plugin, and the few routes that
// the plugin's page calls. It checks no user and keeps nothing. Prints "ready http://…" and runs until its standard input ends.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"

	"sluice/client/grafana/tests/grafanahost"
)

func main() {
	program := flag.String("backend", "", "the back end's program")
	page := flag.String("page", "", "folder of the host page")
	plugin := flag.String("plugin", "", "folder of the built plugin")
	server := flag.String("server", "", "URL of the Sluice server")
	flag.Parse()
	host, err := grafanahost.Start(*program, backend.DataSourceInstanceSettings{ID: 1, UID: "sluice", Name: "Sluice", URL: *server, JSONData: []byte(`{}`)}, os.Stderr)
	if err != nil {
		log.Fatal(err)
	}
	defer host.Stop()

	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/ds/query", func(w http.ResponseWriter, r *http.Request) { query(host, w, r) })
	mux.HandleFunc("/api/datasources/uid/sluice/resources/{path...}", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		path := r.PathValue("path")
		url := path
		if r.URL.RawQuery != "" {
			url += "?" + r.URL.RawQuery
		}
		status, out, err := host.Resource(r.Context(), r.Method, path, url, body)
		answer(w, status, json.RawMessage(out), err)
	})
	mux.HandleFunc("GET /api/datasources/uid/sluice/health", func(w http.ResponseWriter, r *http.Request) {
		result, err := host.Health(r.Context())
		if err != nil {
			answer(w, 0, nil, err)
			return
		}
		status := http.StatusOK
		if result.Status != backend.HealthStatusOk {
			status = http.StatusBadRequest
		}
		answer(w, status, map[string]string{"status": result.Status.String(), "message": result.Message}, nil)
	})
	mux.HandleFunc("GET /live", func(w http.ResponseWriter, r *http.Request) {
		path, data := r.URL.Query().Get("path"), []byte(r.URL.Query().Get("data"))
		if status, err := host.Subscribe(r.Context(), path, data); err != nil || status != backend.SubscribeStreamStatusOK {
			http.Error(w, "there is no such channel", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		_ = host.Run(r.Context(), path, data, func(frame []byte) error {
			_, err := fmt.Fprintf(w, "data: %s\n\n", frame)
			w.(http.Flusher).Flush()
			return err
		})
	})
	mux.Handle("/public/plugins/sluice-flowql-datasource/", http.StripPrefix("/public/plugins/sluice-flowql-datasource/", http.FileServer(http.Dir(*plugin))))
	mux.Handle("/", http.FileServer(http.Dir(*page)))

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	// However this ends, the back end ends with it.
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, os.Interrupt, syscall.SIGTERM)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		ended <- os.Interrupt
	}()
	go func() {
		<-ended
		host.Stop()
		os.Exit(0)
	}()
	fmt.Printf("ready http://%s\n", listener.Addr())
	log.Fatal(http.Serve(listener, mux))
}

func query(host *grafanahost.Backend, w http.ResponseWriter, r *http.Request) {
	var body struct {
		From, To string
		Queries  []json.RawMessage
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		answer(w, 0, nil, err)
		return
	}
	at := func(text string) time.Time {
		ms, _ := strconv.ParseInt(text, 10, 64)
		return time.UnixMilli(ms)
	}
	var queries []backend.DataQuery
	for _, raw := range body.Queries {
		var q struct {
			RefID         string
			QueryType     string
			IntervalMs    int64
			MaxDataPoints int64
		}
		if err := json.Unmarshal(raw, &q); err != nil {
			answer(w, 0, nil, err)
			return
		}
		queries = append(queries, backend.DataQuery{RefID: q.RefID, QueryType: q.QueryType, JSON: raw, Interval: time.Duration(q.IntervalMs) * time.Millisecond,
			MaxDataPoints: q.MaxDataPoints, TimeRange: backend.TimeRange{From: at(body.From), To: at(body.To)}})
	}
	response, err := host.Query(r.Context(), queries)
	if err != nil {
		answer(w, 0, nil, err)
		return
	}
	status := http.StatusOK
	for _, one := range response.Responses {
		if one.Error != nil {
			status = http.StatusBadRequest // Grafana's answer, also where only one of several failed (207 with a feature switch)
		}
	}
	answer(w, status, response, nil)
}

func answer(w http.ResponseWriter, status int, body any, err error) {
	if err != nil {
		status, body = http.StatusInternalServerError, map[string]string{"message": err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
