package frames

import (
	"fmt"
	"sort"
	"strings"

	"github.com/grafana/grafana-plugin-sdk-go/data"

	"sluice/client/grafana/pkg/sluice"
)

type edge struct {
	source, target string
	first, second  float64
}

type node struct {
	id                 string
	sent, received     float64
	sentTo, receivedOf int
}

// Graph draws who talks to whom: rows become arrows, their two keys circles. Keys are a pair src_X and dst_X, source and target, or the first
// two columns that are no numbers. The first number is the arrow's width and the second is told beside it. Arrows between the same two
// are summed up. Returns the frames of nodes and edges.
func Graph(a *sluice.Answer, keys []string) ([]*data.Frame, error) {
	from, to := ends(a, keys)
	if from == nil || to == nil {
		return nil, fmt.Errorf("a graph wants two columns that say who and whom, such as src_ip and dst_ip, and a number: top 50 src_ip, dst_ip by sum(bytes)")
	}
	var first, second *sluice.Column
	for _, c := range a.Columns {
		if !c.IsNumber() || c == from || c == to || identities[c.Name] {
			continue
		}
		if first == nil {
			first = c
		} else if second == nil {
			second = c
		}
	}
	rest := a.Column(restColumn)
	edges, order := map[[2]string]*edge{}, []*edge{}
	left := 0
	for row := 0; row < a.Rows; row++ {
		if rest != nil && rest.Type == sluice.Bool && rest.Bools[row] != nil && *rest.Bools[row] {
			continue // "all others" is nobody
		}
		source, target := nodeName(from, row), nodeName(to, row)
		e := edges[[2]string{source, target}]
		if e == nil {
			if len(order) >= EdgesMax {
				left++
				continue
			}
			e = &edge{source: source, target: target}
			edges[[2]string{source, target}] = e
			order = append(order, e)
		}
		if first != nil {
			if n := first.Number(row); n != nil {
				e.first += *n
			}
		} else {
			e.first++
		}
		if second != nil {
			if n := second.Number(row); n != nil {
				e.second += *n
			}
		}
	}
	nodes := nodeFrame(order, first)
	edgesFrame := edgeFrame(order, first, second)
	if left > 0 {
		notice(nodes, "%d rows are not drawn: a graph has at most %d arrows. `top %d … by …` chooses the greatest.", left, EdgesMax, EdgesMax)
	}
	return []*data.Frame{nodes, edgesFrame}, nil
}

func ends(a *sluice.Answer, keys []string) (*sluice.Column, *sluice.Column) {
	if s, t := a.Column("source"), a.Column("target"); s != nil && t != nil {
		return s, t
	}
	for _, c := range a.Columns {
		if rest, ok := strings.CutPrefix(c.Name, "src_"); ok {
			if other := a.Column("dst_" + rest); other != nil {
				return c, other
			}
		}
	}
	isKey := map[string]bool{}
	for _, k := range keys {
		isKey[k] = true
	}
	var found []*sluice.Column
	for _, c := range a.Columns {
		if c.Type != sluice.Timestamp && c.Type != sluice.Bool && (!c.IsNumber() || isKey[c.Name]) {
			found = append(found, c)
		}
	}
	if len(found) < 2 {
		return nil, nil
	}
	return found[0], found[1]
}

func nodeName(c *sluice.Column, row int) string {
	text, known := c.Label(row)
	if !known {
		return "(unknown)"
	}
	return Printable(text)
}

func nodeFrame(edges []*edge, first *sluice.Column) *data.Frame {
	nodes := map[string]*node{}
	get := func(id string) *node {
		if nodes[id] == nil {
			nodes[id] = &node{id: id}
		}
		return nodes[id]
	}
	for _, e := range edges {
		s, t := get(e.source), get(e.target)
		s.sent += e.first
		s.sentTo++
		t.received += e.first
		t.receivedOf++
	}
	sorted := make([]*node, 0, len(nodes))
	for _, n := range nodes {
		sorted = append(sorted, n)
	}
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].id < sorted[j].id })
	ids, titles, subtitles := []string{}, []string{}, []string{}
	total, sentPart, receivedPart := []float64{}, []float64{}, []float64{}
	for _, n := range sorted {
		ids = append(ids, n.id)
		titles = append(titles, n.id)
		subtitles = append(subtitles, fmt.Sprintf("to %d, from %d", n.sentTo, n.receivedOf))
		all := n.sent + n.received
		total = append(total, all)
		if all > 0 {
			sentPart = append(sentPart, n.sent/all)
			receivedPart = append(receivedPart, n.received/all)
		} else { // a circle wants its parts to add up to one
			sentPart = append(sentPart, 0)
			receivedPart = append(receivedPart, 1)
		}
	}
	frame := data.NewFrame("nodes", data.NewField("id", nil, ids), data.NewField("title", nil, titles), data.NewField("subtitle", nil, subtitles),
		data.NewField("mainstat", nil, total).SetConfig(statConfig(first, "total")),
		data.NewField("arc__sent", nil, sentPart).SetConfig(&data.FieldConfig{DisplayName: "sent", Color: fixed("orange")}),
		data.NewField("arc__received", nil, receivedPart).SetConfig(&data.FieldConfig{DisplayName: "received", Color: fixed("blue")}))
	frame.Meta = &data.FrameMeta{PreferredVisualization: data.VisTypeNodeGraph}
	return frame
}

func edgeFrame(edges []*edge, first, second *sluice.Column) *data.Frame {
	ids, sources, targets := []string{}, []string{}, []string{}
	main, secondary, thickness := []float64{}, []float64{}, []float64{}
	greatest := 0.0
	for _, e := range edges {
		greatest = max(greatest, e.first)
	}
	for i, e := range edges {
		ids = append(ids, fmt.Sprintf("e%d", i))
		sources = append(sources, e.source)
		targets = append(targets, e.target)
		main = append(main, e.first)
		secondary = append(secondary, e.second)
		width := 1.0
		if greatest > 0 {
			width += 7 * e.first / greatest
		}
		thickness = append(thickness, width)
	}
	frame := data.NewFrame("edges", data.NewField("id", nil, ids), data.NewField("source", nil, sources), data.NewField("target", nil, targets),
		data.NewField("mainstat", nil, main).SetConfig(statConfig(first, "rows")))
	if second != nil {
		frame.Fields = append(frame.Fields, data.NewField("secondarystat", nil, secondary).SetConfig(statConfig(second, "")))
	}
	frame.Fields = append(frame.Fields, data.NewField("thickness", nil, thickness))
	frame.Meta = &data.FrameMeta{PreferredVisualization: data.VisTypeNodeGraph}
	return frame
}

func statConfig(c *sluice.Column, fallback string) *data.FieldConfig {
	if c == nil {
		return &data.FieldConfig{DisplayName: fallback}
	}
	return &data.FieldConfig{DisplayName: c.Name, Unit: units[c.Unit]}
}

func fixed(color string) map[string]any { return map[string]any{"mode": "fixed", "fixedColor": color} }
