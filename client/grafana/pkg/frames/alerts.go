package frames

import (
	"fmt"
	"html"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/data"

	"sluice/client/grafana/pkg/sluice"
)

// Colours of severities, by the names that Grafana's themes know; each can be read on the background of either.
var severityColors = map[string]string{"critical": "semi-dark-red", "high": "red", "medium": "dark-orange", "low": "blue", "info": "purple"}

// Alerts turns rows of `from alerts` into marks on a time axis, and into a table that says the same: when it began and ended, the rule, what
// it says, how severe it is, and the query that shows the flows behind it. `markup`: the text will be read as HTML, as that of
// annotations is, so what it says is escaped.
func Alerts(a *sluice.Answer, markup bool) (*data.Frame, error) {
	over := TimeColumn(a)
	rule := a.Column("rule")
	if over == nil || rule == nil {
		return nil, fmt.Errorf("alerts want the columns ts and rule: begin with `from alerts`, or show this as a table")
	}
	escape := Printable
	if markup {
		escape = func(s string) string { return html.EscapeString(Printable(s)) }
	}
	text := func(name string, row int) string {
		if c := a.Column(name); c != nil {
			if s, known := c.Label(row); known {
				return escape(s)
			}
		}
		return ""
	}
	ended := a.Column("end")
	times, ends := []time.Time{}, []*time.Time{}
	texts := map[string][]string{}
	names := []string{"title", "text", "tags", "severity", "state", "key", "id", "query", "color"}
	for _, name := range names {
		texts[name] = []string{}
	}
	for row := 0; row < a.Rows; row++ {
		if over.Times[row] == nil {
			continue
		}
		times = append(times, *over.Times[row])
		var until *time.Time
		if ended != nil && ended.Type == sluice.Timestamp {
			until = ended.Times[row]
		}
		ends = append(ends, until)
		severity := text("severity", row)
		tags := severity
		for _, more := range []string{text("tags", row), text("techniques", row)} {
			if more != "" {
				tags += ", " + more
			}
		}
		color := severityColors[severity]
		if color == "" {
			color = "gray"
		}
		for _, cell := range []struct{ name, value string }{{"title", text("rule", row)}, {"text", text("message", row)}, {"tags", tags},
			{"severity", severity}, {"state", text("state", row)}, {"key", text("key", row)}, {"id", text("id", row)}, {"query", text("query", row)}, {"color", color}} {
			texts[cell.name] = append(texts[cell.name], cell.value)
		}
	}
	frame := data.NewFrame("alerts", data.NewField("time", nil, times), data.NewField("timeEnd", nil, ends))
	for _, name := range names {
		frame.Fields = append(frame.Fields, data.NewField(name, nil, texts[name]))
	}
	frame.Meta = &data.FrameMeta{PreferredVisualization: data.VisTypeTable, Type: data.FrameTypeTable}
	return frame, nil
}

// LinkFlows makes the query of an alert a way to the flows behind it: Explore asks this data source for them. The text is a value in the link, which
// Grafana puts in as it is; its own time range is what counts.
func LinkFlows(frame *data.Frame, uid, name string) {
	field, _ := frame.FieldByName("query")
	if field == nil {
		return
	}
	query := map[string]any{"refId": "A", "queryType": "logs", "mode": "code", "ownRange": true, "expr": "${__value.raw}"}
	field.SetConfig(&data.FieldConfig{Links: []data.DataLink{{Title: "Show the flows in Explore", Internal: &data.InternalDataLink{Query: query, DatasourceUID: uid, DatasourceName: name}}}})
}
