// Package frames makes Grafana's data frames of answers: tables, time series, log lines, graphs, places on a map and alerts.
//
// Functions here keep no state, take answers that were read whole (all columns have answer.Rows entries) and never fail on what a
// flow says: names and texts of strangers are data to the end.
package frames

import (
	"fmt"

	"github.com/grafana/grafana-plugin-sdk-go/data"

	"sluice/client/grafana/pkg/sluice"
)

// How Grafana calls the units of columns (docs/http.md). Sizes are decimal in FlowQL (10KB is 10,000 bytes), so they are here.
var units = map[string]string{
	"bytes": "decbytes", "packets": "short", "ms": "ms", "s": "s", "bytes/s": "Bps", "packets/s": "pps", "bits/s": "bps", "1/s": "cps",
}

func config(c *sluice.Column) *data.FieldConfig {
	config := &data.FieldConfig{Unit: units[c.Unit]}
	switch c.Type {
	case sluice.IP, sluice.Text, sluice.MAC:
		yes := true
		config.Filterable = &yes
	}
	return config
}

// field of a whole column, with its own type.
func field(c *sluice.Column) *data.Field {
	var f *data.Field
	switch c.Type {
	case sluice.Uint:
		f = data.NewField(c.Name, nil, c.Uints)
	case sluice.Int:
		f = data.NewField(c.Name, nil, c.Ints)
	case sluice.Float, sluice.Duration:
		f = data.NewField(c.Name, nil, c.Floats)
	case sluice.Bool:
		f = data.NewField(c.Name, nil, c.Bools)
	case sluice.Timestamp:
		f = data.NewField(c.Name, nil, c.Times)
	default:
		f = data.NewField(c.Name, nil, c.Texts)
	}
	return f.SetConfig(config(c))
}

// Table is the answer as it is. Where it is keys and numbers alone it says so, and alert rules can take it as it is.
func Table(a *sluice.Answer) *data.Frame {
	frame := data.NewFrame("")
	keys, numbers, others := 0, 0, 0
	for _, c := range a.Columns {
		frame.Fields = append(frame.Fields, field(c))
		switch {
		case c.IsNumber():
			numbers++
		case c.Type == sluice.Timestamp || c.Type == sluice.Bool:
			others++
		default:
			keys++
		}
	}
	frame.Meta = &data.FrameMeta{PreferredVisualization: data.VisTypeTable, Type: data.FrameTypeTable}
	if numbers > 0 && others == 0 && a.Rows > 0 {
		frame.Meta.Type, frame.Meta.TypeVersion = data.FrameTypeNumericLong, data.FrameTypeVersion{0, 1}
	}
	return frame
}

func notice(frame *data.Frame, format string, values ...any) {
	frame.AppendNotices(data.Notice{Severity: data.NoticeSeverityWarning, Text: fmt.Sprintf(format, values...)})
}
