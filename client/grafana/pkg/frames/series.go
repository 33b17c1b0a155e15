package frames

import (
	"sort"
	"strings"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/data"

	"sluice/client/grafana/pkg/sluice"
)

// Numbers that say who and not how much. The keys of a query are known from its text; these also where it was reshaped behind.
var identities = map[string]bool{"port": true, "src_port": true, "dst_port": true, "protocol": true, "proto": true, "ip_version": true, "asn": true,
	"src_as": true, "dst_as": true, "input_if": true, "output_if": true, "vlan": true, "inner_vlan": true, "vni": true, "tos": true,
	"icmp_type": true, "icmp_code": true, "observation_domain": true, "exporter_port": true, "sampling_rate": true, "traffic_path": true}

// The column that marks "the rest" of a `timeseries … limit N` and a `top … with others`.
const restColumn = "others"

type line struct {
	value  *sluice.Column
	labels data.Labels
	name   string
	points []*float64
}

// TimeColumn is the column that an answer runs over: ts, flow_end, or the first time there is; nil without one.
func TimeColumn(a *sluice.Answer) *sluice.Column {
	var first *sluice.Column
	for _, name := range []string{"ts", "flow_end"} {
		if c := a.Column(name); c != nil && c.Type == sluice.Timestamp {
			return c
		}
	}
	for _, c := range a.Columns {
		if c.Type == sluice.Timestamp && first == nil {
			first = c
		}
	}
	return first
}

// Series turns rows into lines: one for each number and combination of keys, over the time column, on one frame that has every
// time once. `keys` are the names of key columns (flowql.Keys); all columns that are no numbers are keys too. `legend` names lines, with
// {{key}} for a key's value; "" names them after their keys. Without a time column there are no lines: the answer comes back as a
// table with a notice.
func Series(a *sluice.Answer, keys []string, legend string) *data.Frame {
	over := TimeColumn(a)
	if over == nil {
		frame := Table(a)
		if len(a.Columns) > 0 {
			notice(frame, "The answer has no time column, so it is shown as a table. `timeseries … every $__interval` or `by bin($__interval)` makes one.")
		}
		return frame
	}
	isKey := map[string]bool{}
	for _, k := range keys {
		isKey[k] = true
	}
	var labels, values []*sluice.Column
	var rest *sluice.Column
	for _, c := range a.Columns {
		switch {
		case c == over || c.Type == sluice.Timestamp:
		case c.Name == restColumn && c.Type == sluice.Bool:
			rest = c
		case c.IsNumber() && !isKey[c.Name] && !identities[c.Name]:
			values = append(values, c)
		default:
			labels = append(labels, c)
		}
	}

	times := distinctTimes(over)
	at := make(map[int64]int, len(times))
	for i, t := range times {
		at[t.UnixNano()] = i
	}
	groups := map[string][]*line{}
	var lines []*line
	left := map[string]bool{}
	for row := 0; row < a.Rows; row++ {
		if over.Times[row] == nil {
			continue
		}
		isRest := rest != nil && rest.Bools[row] != nil && *rest.Bools[row]
		key := groupKey(labels, row, isRest)
		group, known := groups[key]
		if !known {
			if (len(groups)+1)*len(values) > SeriesMax || (len(lines)+len(values))*len(times) > PointsMax {
				left[key] = true
				continue
			}
			for _, v := range values {
				l := &line{value: v, labels: labelsOf(labels, row, isRest), points: make([]*float64, len(times))}
				l.name = lineName(legend, v.Name, len(values), labels, l.labels)
				group = append(group, l)
				lines = append(lines, l)
			}
			groups[key] = group
		}
		for _, l := range group {
			l.points[at[over.Times[row].UnixNano()]] = l.value.Number(row)
		}
	}

	frame := data.NewFrame("", data.NewField("time", nil, times))
	frame.Meta = &data.FrameMeta{PreferredVisualization: data.VisTypeGraph, Type: data.FrameTypeTimeSeriesWide, TypeVersion: data.FrameTypeVersion{0, 1}}
	for _, l := range lines {
		c := &data.FieldConfig{Unit: units[l.value.Unit], DisplayNameFromDS: l.name}
		frame.Fields = append(frame.Fields, data.NewField(l.value.Name, l.labels, l.points).SetConfig(c))
	}
	if len(left) > 0 {
		notice(frame, "%d groups are not drawn: a panel has at most %d lines. `limit 10` behind the keys of `timeseries` keeps the greatest and sums up the rest.", len(left), SeriesMax)
	}
	if len(values) == 0 {
		notice(frame, "The answer has no number to draw.")
	}
	return frame
}

func distinctTimes(c *sluice.Column) []time.Time {
	seen := map[int64]bool{}
	times := []time.Time{}
	for _, t := range c.Times {
		if t != nil && !seen[t.UnixNano()] {
			seen[t.UnixNano()] = true
			times = append(times, *t)
		}
	}
	sort.Slice(times, func(i, j int) bool { return times[i].Before(times[j]) })
	return times
}

// Lengths in front, so that no value can look like two.
func groupKey(labels []*sluice.Column, row int, isRest bool) string {
	var key strings.Builder
	if isRest {
		key.WriteByte('r')
	}
	for _, c := range labels {
		text, known := c.Label(row)
		if !known {
			key.WriteString("n;")
			continue
		}
		key.WriteString("v")
		key.WriteString(strings.ReplaceAll(strings.ReplaceAll(text, `\`, `\\`), ";", `\;`))
		key.WriteByte(';')
	}
	return key.String()
}

func labelsOf(labels []*sluice.Column, row int, isRest bool) data.Labels {
	if len(labels) == 0 {
		return nil
	}
	out := data.Labels{}
	for _, c := range labels {
		text, known := c.Label(row)
		switch {
		case isRest:
			text = "other"
		case !known:
			text = "(unknown)"
		}
		out[c.Name] = Printable(text)
	}
	return out
}

func lineName(legend, value string, values int, columns []*sluice.Column, labels data.Labels) string {
	if legend != "" {
		return fillLegend(legend, labels)
	}
	texts := make([]string, 0, len(columns))
	for _, c := range columns {
		texts = append(texts, labels[c.Name])
	}
	name := strings.Join(texts, ", ")
	switch {
	case name == "":
		return value
	case values > 1:
		return value + " " + name
	}
	return name
}

// In one pass, so that a label that looks like {{…}} stays what it is.
func fillLegend(legend string, labels data.Labels) string {
	var out strings.Builder
	for {
		open := strings.Index(legend, "{{")
		if open < 0 {
			break
		}
		length := strings.Index(legend[open:], "}}")
		if length < 0 {
			break
		}
		out.WriteString(legend[:open])
		out.WriteString(labels[strings.TrimSpace(legend[open+2:open+length])])
		legend = legend[open+length+2:]
	}
	return out.String() + legend
}
