package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
	"github.com/grafana/grafana-plugin-sdk-go/data"

	"sluice/client/grafana/pkg/flowql"
	"sluice/client/grafana/pkg/frames"
	"sluice/client/grafana/pkg/sluice"
)

// Query types, as src/types.ts has them.
const (
	TimeSeries = "timeseries"
	Table      = "table"
	Logs       = "logs"
	LogsVolume = "logsVolume"
	NodeGraph  = "nodegraph"
	Geomap     = "geomap"
	Alerts     = "alerts"
	Tail       = "tail"
)

// Query is what the editor saves and a panel sends (src/types.ts). Values of variables and the dashboard's filters come beside the text, never in it.
type Query struct {
	Expr      string `json:"expr"`
	QueryType string `json:"queryType"`
	Legend    string `json:"legend"`
	Limit     int    `json:"limit"`
	// The unit of numbers that the server has none for (rates).
	Unit string `json:"unit"`
	// The query's own range counts alone: `last 30d` on a dashboard of one hour.
	OwnRange bool `json:"ownRange"`
	// The text of alerts will be read as HTML.
	Annotation bool                       `json:"annotation"`
	Variables  map[string]flowql.Variable `json:"variables"`
	Filters    []flowql.Filter            `json:"adHocFilters"`
}

// An empty text is a question too where the type says which.
func (q Query) text() string {
	if strings.TrimSpace(q.Expr) != "" {
		return q.Expr
	}
	switch q.QueryType {
	case Alerts:
		return "from alerts"
	case Logs, LogsVolume, Tail:
		return "from flows"
	}
	return ""
}

// stages puts behind the text what its type needs: a log the latest lines first, a log's volume its bars.
func (q Query) stages(text string) (string, error) {
	switch q.QueryType {
	case Logs:
		if flowql.KeepsFlows(text) {
			return flowql.Append(text, fmt.Sprintf("sort ts desc | limit %d", q.lines())), nil
		}
	case LogsVolume:
		if !flowql.KeepsFlows(text) {
			return "", errors.New("the volume of a log is told for flows only, and this query groups or chooses columns")
		}
		return flowql.Append(text, "timeseries flows = count() every $__interval by action"), nil
	case Alerts:
		if !flowql.HasStage(text, "sort", "limit", "tail", "top", "stats") {
			return flowql.Append(text, fmt.Sprintf("sort ts desc | limit %d", q.lines())), nil
		}
	}
	return text, nil
}

func (q Query) lines() int {
	if q.Limit > 0 {
		return min(q.Limit, sluice.RowsMax)
	}
	return LogLines
}

func (q Query) rowsMax(s Settings) int {
	if q.Limit > 0 {
		return min(q.Limit, sluice.RowsMax)
	}
	if q.QueryType == TimeSeries || q.QueryType == LogsVolume {
		// Cut, a chart would miss its end. A day of minutes for ten lines is more than tables show; how much is drawn has bounds of its own (frames/limits.go).
		return sluice.RowsMax
	}
	return s.MaxRows
}

func (d *Datasource) answerQuery(ctx context.Context, asked backend.DataQuery) backend.DataResponse {
	var q Query
	if err := json.Unmarshal(asked.JSON, &q); err != nil {
		return refused(fmt.Errorf("the query cannot be read: %w", err))
	}
	if q.QueryType == "" {
		q.QueryType = asked.QueryType
	}
	if q.QueryType == "" {
		q.QueryType = TimeSeries
	}
	text := q.text()
	if text == "" {
		return backend.DataResponse{}
	}
	text, err := q.stages(text)
	if err != nil {
		return refused(err)
	}
	expanded, err := flowql.Expand(text, flowql.Context{From: asked.TimeRange.From, To: asked.TimeRange.To, Interval: interval(asked), Variables: q.Variables, Filters: q.Filters})
	if err != nil {
		return refused(asWritten(err, text, nil))
	}
	call := sluice.Call{Query: expanded.Text, Params: expanded.Params, From: asked.TimeRange.From, To: asked.TimeRange.To, Limit: q.rowsMax(d.settings), Timeout: d.settings.timeout()}
	if q.OwnRange {
		call.From, call.To = time.Time{}, time.Time{}
	}
	answer, err := d.client.Query(ctx, call)
	if err != nil {
		return failed(asWritten(err, text, expanded), expanded)
	}
	shown, err := d.draw(q, text, answer)
	if err != nil {
		return refused(err)
	}
	for i, frame := range shown {
		frame.RefID = asked.RefID
		if frame.Meta == nil {
			frame.Meta = &data.FrameMeta{}
		}
		frame.Meta.ExecutedQueryString = executed(expanded)
		if i > 0 {
			continue
		}
		frame.Meta.Stats = stats(answer)
		for _, warning := range answer.Warnings {
			frame.AppendNotices(data.Notice{Severity: data.NoticeSeverityWarning, Text: warning})
		}
		if expanded.FiltersLeftOut != "" {
			frame.AppendNotices(data.Notice{Severity: data.NoticeSeverityInfo, Text: expanded.FiltersLeftOut})
		}
	}
	return backend.DataResponse{Frames: shown, Status: backend.StatusOK}
}

// interval is what Grafana wants between two points, where so many fit (IntervalsMax); else the least round length that does. The same of every range that is as
// long, so that an answer that was kept is found again.
func interval(asked backend.DataQuery) time.Duration {
	least := asked.TimeRange.To.Sub(asked.TimeRange.From) / IntervalsMax
	if asked.Interval > 0 && asked.Interval >= least {
		return asked.Interval
	}
	for _, round := range roundIntervals {
		if round >= least {
			return round
		}
	}
	day := 24 * time.Hour
	return (least + day - 1) / day * day
}

var roundIntervals = []time.Duration{
	time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
}

// The keys of the answer's last grouping; of an answer that does not tell them, those of the text.
func keysOf(answer *sluice.Answer, text string) []string {
	if answer.Keys != nil {
		return answer.Keys
	}
	return flowql.Keys(text)
}

func (d *Datasource) draw(q Query, text string, answer *sluice.Answer) (data.Frames, error) {
	one := func(frame *data.Frame, err error) (data.Frames, error) {
		if err != nil {
			return nil, err
		}
		return data.Frames{frame}, nil
	}
	switch q.QueryType {
	case TimeSeries:
		series := frames.Series(answer, keysOf(answer, text), q.Legend)
		for _, field := range series.Fields {
			if field.Type().Numeric() && field.Config != nil && field.Config.Unit == "" {
				field.Config.Unit = q.Unit
			}
		}
		return data.Frames{series}, nil
	case Table:
		return data.Frames{frames.Table(answer)}, nil
	case Logs:
		return one(frames.Logs(answer))
	case LogsVolume:
		return frames.Volume(answer), nil
	case NodeGraph:
		return frames.Graph(answer, keysOf(answer, text))
	case Geomap:
		return one(frames.Places(answer))
	case Alerts:
		frame, err := frames.Alerts(answer, q.Annotation)
		if err == nil && !q.Annotation {
			frames.LinkFlows(frame, d.uid, d.name)
		}
		return one(frame, err)
	case Tail:
		return nil, errors.New("a live tail comes over Grafana Live, in a panel or in Explore: it has no answer that ends")
	}
	return nil, fmt.Errorf("there is no query type %q", q.QueryType)
}

// What was asked, for the query inspector: the text and its parameters, each on a line that is a comment in FlowQL.
func executed(e *flowql.Expanded) string {
	names := make([]string, 0, len(e.Params))
	for name := range e.Params {
		names = append(names, name)
	}
	sort.Strings(names)
	var out strings.Builder
	for _, name := range names {
		value, _ := json.Marshal(e.Params[name]) // has no line ends
		fmt.Fprintf(&out, "-- $%s = %s\n", name, value)
	}
	return out.String() + e.Text
}

func stats(answer *sluice.Answer) []data.QueryStat {
	var out []data.QueryStat
	for _, s := range []struct{ key, name, unit string }{
		{"elapsed_ms", "Time on the server", "ms"}, {"rows_scanned", "Flows scanned", "short"}, {"rows_matched", "Flows matched", "short"},
		{"bytes_read", "Bytes read", "decbytes"}, {"segments", "Segments", "short"}, {"segments_pruned", "Segments pruned", "short"},
		{"memory_bytes", "Memory", "decbytes"},
	} {
		if n, ok := answer.Stats[s.key]; ok {
			if value, err := n.Float64(); err == nil {
				out = append(out, data.QueryStat{FieldConfig: data.FieldConfig{DisplayName: s.name, Unit: s.unit}, Value: value})
			}
		}
	}
	return out
}

// refused: the text makes no sense, which is the asker's to mend.
func refused(err error) backend.DataResponse {
	return backend.DataResponse{Error: backend.DownstreamError(err), ErrorSource: backend.ErrorSourceDownstream, Status: backend.StatusBadRequest}
}

// failed: the server, or the way to it.
func failed(err error, expanded *flowql.Expanded) backend.DataResponse {
	response := backend.DataResponse{Error: backend.DownstreamError(err), ErrorSource: backend.ErrorSourceDownstream, Status: backend.StatusBadGateway}
	var told *sluice.Error
	switch {
	case errors.As(err, &told):
		response.Status = backend.Status(told.Status)
		if told.Status == 0 || told.Status == 499 {
			response.Status = backend.StatusBadRequest
		}
	case errors.Is(err, context.DeadlineExceeded):
		response.Status = backend.StatusTimeout
	}
	// The inspector shows what was asked also where it failed.
	if expanded != nil {
		frame := data.NewFrame("")
		frame.Meta = &data.FrameMeta{ExecutedQueryString: executed(expanded)}
		response.Frames = data.Frames{frame}
	}
	return response
}
