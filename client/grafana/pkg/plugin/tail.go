package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
	"github.com/grafana/grafana-plugin-sdk-go/backend/log"
	"github.com/grafana/grafana-plugin-sdk-go/data"

	"sluice/client/grafana/pkg/flowql"
	"sluice/client/grafana/pkg/frames"
	"sluice/client/grafana/pkg/sluice"
)

// A channel's path is tail/ID, where the page makes ID of the query, so that two panels that ask the same share a stream. What
// is asked comes as the subscription's data.
const tailPath = "tail/"

// The routes that a live tail reads: flows that meet a query, or alerts as they happen.
const (
	flowStream  = "/v1/tail"
	alertStream = "/v1/alerts/stream"
)

type tailed struct {
	route  string
	params url.Values
	note   string // said first, or ""
}

func readTail(path string, raw json.RawMessage) (tailed, error) {
	if !strings.HasPrefix(path, tailPath) || len(path) == len(tailPath) {
		return tailed{}, fmt.Errorf("there is no channel %q", path)
	}
	var q Query
	if err := json.Unmarshal(raw, &q); err != nil {
		return tailed{}, fmt.Errorf("the query of the stream cannot be read: %w", err)
	}
	q.QueryType = Tail
	now := time.Now()
	expanded, err := flowql.Expand(q.text(), flowql.Context{From: now.Add(-time.Hour), To: now, Interval: time.Second, Variables: q.Variables, Filters: q.Filters})
	if err != nil {
		return tailed{}, err
	}
	params := url.Values{"q": {expanded.Text}}
	for name, value := range expanded.Params {
		switch v := value.(type) {
		case string:
			params.Add("param."+name, v)
		case []string:
			for _, one := range v {
				params.Add("param."+name, one)
			}
		}
	}
	if words := strings.Fields(strings.ToLower(q.text())); len(words) > 1 && words[0] == "from" && words[1] == "alerts" {
		note := ""
		if len(words) > 2 {
			note = "All alerts are followed: what stands behind `from alerts` is not applied to a live tail."
		}
		return tailed{alertStream, url.Values{}, note}, nil
	}
	return tailed{flowStream, params, expanded.FiltersLeftOut}, nil
}

// SubscribeStream lets in who asks for something that makes sense. Who may see the data source may see its streams.
func (d *Datasource) SubscribeStream(_ context.Context, req *backend.SubscribeStreamRequest) (*backend.SubscribeStreamResponse, error) {
	if _, err := readTail(req.Path, req.Data); err != nil {
		log.DefaultLogger.Warn("A live tail is refused", "error", err)
		return &backend.SubscribeStreamResponse{Status: backend.SubscribeStreamStatusNotFound}, nil
	}
	return &backend.SubscribeStreamResponse{Status: backend.SubscribeStreamStatusOK}, nil
}

// PublishStream: nobody publishes here.
func (d *Datasource) PublishStream(context.Context, *backend.PublishStreamRequest) (*backend.PublishStreamResponse, error) {
	return &backend.PublishStreamResponse{Status: backend.PublishStreamStatusPermissionDenied}, nil
}

// RunStream reads the server's stream and sends what comes, a few times a second, until nobody listens. A stream that breaks is asked
// for again where it ended, with growing pauses; each break is a line of its own, so that a gap is seen.
func (d *Datasource) RunStream(ctx context.Context, req *backend.RunStreamRequest, sender *backend.StreamSender) error {
	asked, err := readTail(req.Path, req.Data)
	if err != nil {
		return err
	}
	return d.tail(ctx, asked, func(frame *data.Frame) error { return sender.SendFrame(frame, data.IncludeAll) })
}

// arrival is an event or what ended the stream.
type arrival struct {
	event sluice.Event
	ended bool
	err   error
}

func (d *Datasource) tail(ctx context.Context, asked tailed, send func(*data.Frame) error) error {
	// Types come with the columns. A line wants its time, also where the list of columns cannot be had.
	types := map[string]sluice.Type{}
	for _, name := range []string{"ts", "flow_end", "flow_start", "fired_at", "ended_at"} {
		types[name] = sluice.Timestamp
	}
	if columns, err := d.columns(ctx); err == nil {
		for _, c := range columns {
			types[c.Name] = sluice.Type(c.Type)
		}
	}
	t := &tailState{types: types, send: send, now: time.Now}
	// Something at once, so that a page knows that it listens, also where nothing comes.
	nothing, err := frames.Logs(&sluice.Answer{Columns: []*sluice.Column{{Name: "ts", Type: sluice.Timestamp}}})
	if err != nil {
		return err
	}
	if err := send(nothing); err != nil {
		return err
	}
	if asked.note != "" {
		if err := t.line("warning", asked.note); err != nil {
			return err
		}
	}
	pause := TailRetryMin
	lastID := ""
	for {
		arrivals := make(chan arrival)
		reading, stop := context.WithCancel(ctx)
		go func() {
			err := d.client.Stream(reading, asked.route, asked.params, lastID, func(e sluice.Event) error {
				select {
				case arrivals <- arrival{event: e}:
					return nil
				case <-reading.Done():
					return reading.Err()
				}
			})
			select {
			case arrivals <- arrival{ended: true, err: err}:
			case <-reading.Done():
			}
		}()
		ended, err := t.read(ctx, arrivals, &lastID, &pause)
		stop()
		if ctx.Err() != nil {
			return nil // nobody listens any more
		}
		if err != nil {
			return err
		}
		var told *sluice.Error
		if errors.As(ended, &told) && told.Status >= 400 && told.Status < 500 && told.Status != 408 && told.Status != 429 {
			// It will not get better by asking again: say so, and wait until nobody listens.
			if err := t.line("error", "The live tail cannot run: "+told.Error()); err != nil {
				return err
			}
			<-ctx.Done()
			return nil
		}
		why := "the server ended it"
		if ended != nil {
			why = ended.Error()
		}
		if err := t.line("warning", fmt.Sprintf("The live tail broke off (%s) and is asked for again in %s.", why, pause)); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, TailRetryMax)
	}
}

// tailState gathers rows until the next flush. Used by one goroutine.
type tailState struct {
	types    map[string]sluice.Type
	send     func(*data.Frame) error
	now      func() time.Time
	names    []string // columns of the stream where it told them
	rows     []json.RawMessage
	left     int       // rows of this second beyond the bound
	second   time.Time // the second that is being counted
	thisMany int
}

// read until the stream ends; returns why it did. The second value is an error of sending.
func (t *tailState) read(ctx context.Context, arrivals <-chan arrival, lastID *string, pause *time.Duration) (error, error) {
	tick := time.NewTicker(TailFlush)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err(), nil
		case <-tick.C:
			if err := t.flush(); err != nil {
				return nil, err
			}
		case a := <-arrivals:
			if a.ended {
				return a.err, t.flush()
			}
			*pause = TailRetryMin
			if a.event.ID != "" {
				*lastID = a.event.ID
			}
			if err := t.take(a.event); err != nil {
				// What the server says of one batch does not end the stream; where it does, that comes next.
				text := "An event of the stream cannot be read: " + err.Error()
				var told *sluice.Error
				if errors.As(err, &told) {
					text = "The server says: " + told.Error()
				}
				if err := t.line("error", text); err != nil {
					return nil, err
				}
			}
		}
	}
}

// take one event: columns, one row or several, or a word about the stream itself.
func (t *tailState) take(e sluice.Event) error {
	var body struct {
		Columns []struct {
			Name string      `json:"name"`
			Type sluice.Type `json:"type"`
		} `json:"columns"`
		Rows    []json.RawMessage `json:"rows"`
		Error   *sluice.Error     `json:"error"`
		Dropped *uint64           `json:"dropped"`
		Lost    *uint64           `json:"lost"`
		Of      string            `json:"of"`
		Reason  string            `json:"reason"`
	}
	data := strings.TrimSpace(string(e.Data))
	if data == "" || data == "{}" {
		return nil
	}
	if !strings.HasPrefix(data, "{") {
		return fmt.Errorf("an event is no JSON object: %.80s", data)
	}
	// A flow may have a column called as one of these, so what is no word about the stream is read as a row first by its name.
	switch e.Name {
	case "", "message", "row", "flow", "alert":
		var probe struct {
			Rows  json.RawMessage `json:"rows"`
			Error *sluice.Error   `json:"error"`
		}
		if json.Unmarshal(e.Data, &probe) == nil && probe.Error != nil && probe.Error.Message != "" {
			return probe.Error
		}
		if len(probe.Rows) == 0 || probe.Rows[0] != '[' {
			t.add(append(json.RawMessage(nil), e.Data...))
			return nil
		}
	}
	if err := json.Unmarshal(e.Data, &body); err != nil {
		return err
	}
	if body.Error != nil {
		return body.Error
	}
	if len(body.Columns) > 0 {
		t.names = t.names[:0]
		for _, c := range body.Columns {
			t.names = append(t.names, c.Name)
			t.types[c.Name] = c.Type
		}
	}
	word := ""
	switch {
	case body.Dropped != nil && *body.Dropped > 0:
		word = fmt.Sprintf("The server left out %d flows: they came faster than they could be sent.", *body.Dropped)
	case body.Lost != nil && *body.Lost > 0:
		word = fmt.Sprintf("Not looked at: %d %s (%s).", *body.Lost, body.Of, body.Reason)
	case e.Name == "gap":
		word = "There is a gap here: " + body.Reason
	}
	if word != "" {
		if err := t.line("warning", word); err != nil {
			return err
		}
	}
	for _, row := range body.Rows {
		if len(row) > 0 && row[0] == '{' {
			t.add(row)
			continue
		}
		var values []json.RawMessage
		if err := json.Unmarshal(row, &values); err != nil {
			return err
		}
		if len(values) != len(t.names) {
			return fmt.Errorf("a row has %d values for %d columns", len(values), len(t.names))
		}
		var object strings.Builder
		object.WriteByte('{')
		for i, value := range values {
			if i > 0 {
				object.WriteByte(',')
			}
			name, _ := json.Marshal(t.names[i])
			object.Write(name)
			object.WriteByte(':')
			object.Write(value)
		}
		object.WriteByte('}')
		t.add(json.RawMessage(object.String()))
	}
	return nil
}

func (t *tailState) add(row json.RawMessage) {
	second := t.now().Truncate(time.Second)
	if !second.Equal(t.second) {
		t.second, t.thisMany = second, 0
	}
	if t.thisMany >= TailRowsPerSecond {
		t.left++
		return
	}
	t.thisMany++
	t.rows = append(t.rows, row)
}

func (t *tailState) flush() error {
	if len(t.rows) > 0 {
		rows := t.rows
		t.rows = nil
		answer, err := sluice.ReadRows(rows, t.types)
		if err != nil {
			return t.line("error", err.Error())
		}
		frame, err := frames.Logs(answer)
		if err != nil {
			return t.line("error", err.Error())
		}
		if err := t.send(frame); err != nil {
			return err
		}
	}
	if t.left > 0 {
		left := t.left
		t.left = 0
		return t.line("warning", fmt.Sprintf("%d more rows are not shown: a live tail shows %d a second. Narrow the query.", left, TailRowsPerSecond))
	}
	return nil
}

// line is one of our own, among the rows.
func (t *tailState) line(severity, text string) error {
	at := t.now()
	frame := data.NewFrame("", data.NewField("timestamp", nil, []time.Time{at}), data.NewField("body", nil, []string{frames.Printable(text)}),
		data.NewField("severity", nil, []string{severity}), data.NewField("id", nil, []string{fmt.Sprintf("sluice-%d", at.UnixNano())}),
		data.NewField("labels", nil, []json.RawMessage{json.RawMessage(`{}`)}))
	frame.Meta = &data.FrameMeta{PreferredVisualization: data.VisTypeLogs, Type: data.FrameTypeLogLines, TypeVersion: data.FrameTypeVersion{0, 0}}
	return t.send(frame)
}
