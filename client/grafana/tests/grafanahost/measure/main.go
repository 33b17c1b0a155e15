// Measures what a person at a dashboard waits for, through the real back end over gRPC: all panels of a dashboard, as often as asked, and lists of values for
// filters. The server holds the flows already; `scripts/grafana measure` starts all that is needed. Prints rows of a table for bench/RESULTS.md.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"

	"sluice/client/grafana/tests/grafanahost"
)

// Requests that a browser sends to one host at the same time; the other panels wait for it.
const requestsAtOnce = 6

// A dashboard's width, in pixels, on a screen of 1,920; each has its point, as Grafana asks for it.
const dashboardWidth = 1840

type panel struct {
	Title         string
	GridPos       struct{ W int }
	MaxDataPoints int
	Targets       []json.RawMessage
}

func main() {
	program := flag.String("backend", "", "the back end's program")
	server := flag.String("server", "", "URL of the Sluice server")
	dashboard := flag.String("dashboard", "", "a dashboard's file; variables are not chosen in it")
	from := flag.String("from", "", "begin of the time range")
	to := flag.String("to", "", "its end")
	rounds := flag.Int("rounds", 20, "how often the dashboard is asked for, and each list")
	columns := flag.String("columns", "src_ip,dst_ip,dst_port,protocol,src_as,exporter_ip", "columns whose values are listed")
	flag.Parse()
	begin, err1 := time.Parse(time.RFC3339, *from)
	end, err2 := time.Parse(time.RFC3339, *to)
	text, err3 := os.ReadFile(*dashboard)
	var page struct{ Panels []panel }
	if err := firstOf(err1, err2, err3, json.Unmarshal(text, &page)); err != nil {
		log.Fatal(err)
	}
	host, err := grafanahost.Start(*program, backend.DataSourceInstanceSettings{ID: 1, UID: "sluice", Name: "Sluice", URL: *server, JSONData: []byte(`{}`)}, os.Stderr)
	if err != nil {
		log.Fatal(err)
	}
	defer host.Stop()

	fmt.Println("| asked | first | least | p50 | p95 |")
	fmt.Println("| --- | --- | --- | --- | --- |")
	var whole []time.Duration
	single := make([][]time.Duration, len(page.Panels))
	for range *rounds {
		took, each, err := show(host, page.Panels, backend.TimeRange{From: begin, To: end})
		if err != nil {
			host.Stop()
			log.Fatal(err)
		}
		whole = append(whole, took)
		for i, one := range each {
			single[i] = append(single[i], one)
		}
	}
	row(fmt.Sprintf("**all %d panels**", len(page.Panels)), whole)
	for i, p := range page.Panels {
		row(p.Title, single[i])
	}
	// The back end keeps lists for half a minute: each is asked for with a range of its own, so that the server answers.
	var all []time.Duration
	for _, column := range strings.Split(*columns, ",") {
		var times []time.Duration
		for i := range *rounds {
			took, err := list(host, column, begin.Add(-time.Duration(i)*time.Minute), end)
			if err != nil {
				host.Stop()
				log.Fatal(err)
			}
			times = append(times, took)
		}
		row("values of `"+column+"`", times)
		all = append(all, times...)
	}
	row("**values, all columns**", all)
	var kept []time.Duration
	for _, column := range strings.Split(*columns, ",") {
		for range *rounds {
			took, err := list(host, column, begin, end)
			if err != nil {
				host.Stop()
				log.Fatal(err)
			}
			kept = append(kept, took)
		}
	}
	row("the same lists again, within half a minute", kept)
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// show asks for all panels at once, as a browser does; returns how long all took, and each.
func show(host *grafanahost.Backend, panels []panel, over backend.TimeRange) (time.Duration, []time.Duration, error) {
	each, errs := make([]time.Duration, len(panels)), make([]error, len(panels))
	places := make(chan struct{}, requestsAtOnce)
	var all sync.WaitGroup
	begun := time.Now()
	for i, p := range panels {
		all.Add(1)
		places <- struct{}{}
		go func() {
			defer all.Done()
			defer func() { <-places }()
			asked := time.Now()
			errs[i] = ask(host, p, over)
			each[i] = time.Since(asked)
		}()
	}
	all.Wait()
	return time.Since(begun), each, firstOf(errs...)
}

func ask(host *grafanahost.Backend, p panel, over backend.TimeRange) error {
	points := p.MaxDataPoints
	if points == 0 {
		points = max(p.GridPos.W*dashboardWidth/24, 1)
	}
	interval := max(over.To.Sub(over.From)/time.Duration(points), time.Second)
	var queries []backend.DataQuery
	for _, raw := range p.Targets {
		var q struct{ RefID, QueryType string }
		if err := json.Unmarshal(raw, &q); err != nil {
			return err
		}
		queries = append(queries, backend.DataQuery{RefID: q.RefID, QueryType: q.QueryType, JSON: raw, Interval: interval, MaxDataPoints: int64(points), TimeRange: over})
	}
	response, err := host.Query(context.Background(), queries)
	if err != nil {
		return err
	}
	for _, one := range response.Responses {
		if one.Error != nil {
			return fmt.Errorf("%s: %w", p.Title, one.Error)
		}
	}
	return nil
}

func list(host *grafanahost.Backend, column string, from, to time.Time) (time.Duration, error) {
	body, _ := json.Marshal(map[string]any{"key": column, "from": from, "to": to})
	begun := time.Now()
	status, answer, err := host.Resource(context.Background(), http.MethodPost, "tag-values", "tag-values", body)
	took := time.Since(begun)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("values of %s: %d %s", column, status, answer)
	}
	var values []string
	if err == nil && (json.Unmarshal(answer, &values) != nil || len(values) == 0) {
		err = fmt.Errorf("%s has no values from %s to %s", column, from, to)
	}
	return took, err
}

func row(what string, times []time.Duration) {
	first := times[0]
	slices.Sort(times)
	at := func(percent int) time.Duration { return times[(len(times)*percent+99)/100-1] }
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
	fmt.Printf("| %s | %s | %s | %s | %s |\n", what, ms(first), ms(times[0]), ms(at(50)), ms(at(95)))
}
