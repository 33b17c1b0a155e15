package frames

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/grafana/grafana-plugin-sdk-go/data"

	"sluice/client/grafana/pkg/sluice"
)

// Printable writes what a terminal or a reader's eye would take as a command (control characters, colours, changes of the writing
// direction) as its number. Log panels read ANSI colours, and flows carry text of strangers.
func Printable(s string) string {
	isPlain := func(r rune) bool { return r == ' ' || unicode.IsPrint(r) && !unicode.Is(unicode.Bidi_Control, r) }
	if strings.IndexFunc(s, func(r rune) bool { return !isPlain(r) }) < 0 {
		return s
	}
	var out strings.Builder
	for _, r := range s {
		if isPlain(r) {
			out.WriteRune(r)
		} else {
			fmt.Fprintf(&out, `\u{%x}`, r)
		}
	}
	return out.String()
}

// Severity of a flow, as log panels call it: what was refused is a warning. Alerts have their own.
func Severity(action, severity string) string {
	switch severity {
	case "critical":
		return "critical"
	case "high":
		return "error"
	case "medium":
		return "warning"
	case "low", "info":
		return "info"
	}
	switch action {
	case "accept":
		return "info"
	case "reject", "drop":
		return "warning"
	}
	return "unknown"
}

// Logs turns rows into lines, as the log panel and Explore want them. Columns that a row lacks are no labels of it.
// Without a time column it fails: a log runs over time.
func Logs(a *sluice.Answer) (*data.Frame, error) {
	over := TimeColumn(a)
	if over == nil {
		return nil, fmt.Errorf("lines of a log want a time, and the answer has no time column: keep ts, or show it as a table")
	}
	times, bodies, severities, ids := []time.Time{}, []string{}, []string{}, []string{}
	labels := []json.RawMessage{}
	seen := map[string]int{}
	for row := 0; row < a.Rows; row++ {
		if over.Times[row] == nil {
			continue
		}
		values, label := rowText(a, over, row)
		times = append(times, *over.Times[row])
		bodies = append(bodies, lineOf(a, values, over))
		severities = append(severities, Severity(values["action"], values["severity"]))
		labels = append(labels, label)
		// The same row has the same id in every answer; rows that say the same are counted through.
		digest := sha256.Sum256(append([]byte(over.Times[row].Format(time.RFC3339Nano)), label...))
		id := hex.EncodeToString(digest[:12])
		if n := seen[id]; n > 0 {
			seen[id]++
			id += "-" + strconv.Itoa(n)
		} else {
			seen[id] = 1
		}
		ids = append(ids, id)
	}
	frame := data.NewFrame("", data.NewField("timestamp", nil, times), data.NewField("body", nil, bodies), data.NewField("severity", nil, severities),
		data.NewField("id", nil, ids), data.NewField("labels", nil, labels))
	frame.Meta = &data.FrameMeta{PreferredVisualization: data.VisTypeLogs, Type: data.FrameTypeLogLines, TypeVersion: data.FrameTypeVersion{0, 0}}
	return frame, nil
}

// Values by column that are not null, and the same as JSON in the order of the names.
func rowText(a *sluice.Answer, over *sluice.Column, row int) (map[string]string, json.RawMessage) {
	values := make(map[string]string, len(a.Columns))
	for _, c := range a.Columns {
		if c == over {
			continue
		}
		if text, known := c.Label(row); known {
			if len(text) > LabelBytesMax {
				text = strings.ToValidUTF8(text[:LabelBytesMax], "") + "…"
			}
			values[c.Name] = Printable(text)
		}
	}
	encoded, _ := json.Marshal(values) // a map of texts always encodes
	return values, encoded
}

// A flow in one line: who to whom, over what, how much, and what became of it. What is no flow is name=value.
func lineOf(a *sluice.Answer, values map[string]string, over *sluice.Column) string {
	if message := values["message"]; message != "" {
		return message
	}
	if values["src_ip"] == "" && values["dst_ip"] == "" {
		parts := make([]string, 0, len(a.Columns))
		for _, c := range a.Columns {
			if text, known := values[c.Name]; known && c != over {
				if strings.ContainsAny(text, " \"=") {
					text = strconv.Quote(text)
				}
				parts = append(parts, c.Name+"="+text)
			}
		}
		return strings.Join(parts, " ")
	}
	parts := []string{protocolName(values["protocol"]), endpoint(values["src_ip"], values["src_port"]), "→", endpoint(values["dst_ip"], values["dst_port"])}
	if text := values["bytes"]; text != "" {
		parts = append(parts, humanBytes(text))
	}
	if text := values["packets"]; text != "" {
		if text != "1" {
			text += " packets"
		} else {
			text += " packet"
		}
		parts = append(parts, text)
	}
	for _, name := range []string{"tcp_flags", "action", "app"} {
		if text := values[name]; text != "" {
			parts = append(parts, text)
		}
	}
	by := values["exporter_ip"]
	if by == "" {
		by = values["source"]
	}
	if by != "" {
		parts = append(parts, "("+by+")")
	}
	return strings.Join(parts, " ")
}

func endpoint(ip, port string) string {
	switch {
	case ip == "":
		ip = "?"
	case strings.Contains(ip, ":") && port != "":
		ip = "[" + ip + "]"
	}
	if port == "" {
		return ip
	}
	return ip + ":" + port
}

// The few that nearly all flows have (IANA, Protocol Numbers); the rest stay numbers.
func protocolName(number string) string {
	switch number {
	case "":
		return "?"
	case "1":
		return "ICMP"
	case "6":
		return "TCP"
	case "17":
		return "UDP"
	case "47":
		return "GRE"
	case "50":
		return "ESP"
	case "58":
		return "ICMPv6"
	case "132":
		return "SCTP"
	}
	return "protocol " + number
}

func humanBytes(text string) string {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text
	}
	// As format_bytes and the prompt write it.
	units, i := []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}, 0
	for n >= 999.5 && i+1 < len(units) {
		n /= 1000
		i++
	}
	digits := 0
	if i > 0 && n < 99.95 {
		digits = 1
	}
	return strconv.FormatFloat(n, 'f', digits, 64) + " " + units[i]
}

// Volume makes one frame for each severity from `timeseries flows = count() every … by action`, as Explore's bars above a log want it.
func Volume(a *sluice.Answer) []*data.Frame {
	over, count, action := TimeColumn(a), a.Column("flows"), a.Column("action")
	if over == nil || count == nil {
		return nil
	}
	times := distinctTimes(over)
	at := map[int64]int{}
	for i, t := range times {
		at[t.UnixNano()] = i
	}
	order := []string{"info", "warning", "unknown"}
	bars := map[string][]float64{}
	for row := 0; row < a.Rows; row++ {
		if over.Times[row] == nil {
			continue
		}
		name := ""
		if action != nil {
			name, _ = action.Label(row)
		}
		level := Severity(name, "")
		if bars[level] == nil {
			bars[level] = make([]float64, len(times))
		}
		if n := count.Number(row); n != nil {
			bars[level][at[over.Times[row].UnixNano()]] += *n
		}
	}
	var out []*data.Frame
	for _, level := range order {
		if bars[level] == nil {
			continue
		}
		frame := data.NewFrame("", data.NewField("Time", nil, times),
			data.NewField("Value", data.Labels{"level": level}, bars[level]).SetConfig(&data.FieldConfig{DisplayNameFromDS: level}))
		frame.Meta = &data.FrameMeta{Type: data.FrameTypeTimeSeriesMulti, TypeVersion: data.FrameTypeVersion{0, 1}, PreferredVisualization: data.VisTypeGraph}
		out = append(out, frame)
	}
	return out
}
