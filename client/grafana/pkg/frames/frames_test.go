package frames

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/grafana/grafana-plugin-sdk-go/data"

	"sluice/client/grafana/pkg/sluice"
)

func read(t *testing.T, columns string, rows ...string) *sluice.Answer {
	t.Helper()
	var described []string
	for _, c := range strings.Fields(columns) {
		name, kind, _ := strings.Cut(c, ":")
		kind, unit, _ := strings.Cut(kind, "/")
		described = append(described, fmt.Sprintf(`{"name":%q,"type":%q,"unit":%q}`, name, kind, unit))
	}
	a, err := sluice.ReadAnswer(strings.NewReader(`{"columns":[` + strings.Join(described, ",") + `],"rows":[` + strings.Join(rows, ",") + `],"stats":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func cell(t *testing.T, frame *data.Frame, name string, row int) string {
	t.Helper()
	field, _ := frame.FieldByName(name)
	if field == nil {
		t.Fatalf("there is no field %s", name)
	}
	value, _ := field.ConcreteAt(row)
	if raw, ok := value.(json.RawMessage); ok {
		return string(raw)
	}
	return fmt.Sprint(value)
}

const alertColumns = "ts:timestamp rule:string severity:string state:string key:string message:string end:timestamp techniques:list<string> tags:list<string> id:string query:string"

func TestAlerts(t *testing.T) {
	a := read(t, alertColumns, `["2026-11-25T13:00:00Z","scan","high","firing","src_ip=1","<img src=x onerror=alert(1)> \u001b[31mtried & failed",null,["T1046"],["recon","x<y"],"57df","from flows | where a < 1"]`,
		`["2026-11-25T14:00:00Z",null,"new",null,null,null,"2026-11-25T15:00:00Z",null,null,null,null]`)
	marked, err := Alerts(a, true)
	if err != nil {
		t.Fatal(err)
	}
	plain, _ := Alerts(a, false)
	for _, c := range []struct {
		frame       *data.Frame
		field, want string
	}{
		{marked, "text", `&lt;img src=x onerror=alert(1)&gt; \u{1b}[31mtried &amp; failed`}, {plain, "text", `<img src=x onerror=alert(1)> \u{1b}[31mtried & failed`},
		{marked, "tags", "high, recon, x&lt;y, T1046"}, {plain, "query", "from flows | where a < 1"}, {plain, "color", "red"}, {plain, "title", "scan"},
	} {
		if got := cell(t, c.frame, c.field, 0); got != c.want {
			t.Errorf("%s: %s", c.field, got)
		}
	}
	if cell(t, plain, "color", 1) != "gray" || cell(t, plain, "title", 1) != "" || plain.Fields[1].NilAt(1) || !plain.Fields[1].NilAt(0) {
		t.Errorf("an alert of which little is said: %v", plain)
	}
	LinkFlows(plain, "uid-1", "Sluice")
	query, _ := plain.FieldByName("query")
	link := query.Config.Links[0].Internal
	if asked := link.Query.(map[string]any); link.DatasourceUID != "uid-1" || asked["expr"] != "${__value.raw}" || asked["ownRange"] != true || asked["queryType"] != "logs" {
		t.Errorf("the way to the flows behind an alert: %v", link)
	}
}

func TestSeriesKeepGroupsApart(t *testing.T) {
	// Values that would be the same, were they joined; a null, a text that says "n", and the rest.
	a := read(t, "ts:timestamp a:string b:string others:bool v:float", `["2026-01-01T00:00:00Z","x;","y",false,1]`, `["2026-01-01T00:00:00Z","x","; y",false,2]`,
		`["2026-01-01T00:00:00Z",null,"n",false,3]`, `["2026-01-01T00:01:00Z","n",null,false,4]`, `["2026-01-01T00:00:00Z",null,null,true,5]`, `["2026-01-01T00:00:00Z",null,null,false,6]`,
		`[null,"x","y",false,7]`)
	frame := Series(a, nil, "")
	if len(frame.Fields) != 7 {
		t.Fatalf("%d fields", len(frame.Fields))
	}
	for i, name := range []string{"x;, y", "x, ; y", "(unknown), n", "n, (unknown)", "other, other", "(unknown), (unknown)"} {
		if got := frame.Fields[i+1].Config.DisplayNameFromDS; got != name {
			t.Errorf("line %d is called %q", i, got)
		}
	}
	if v := frame.Fields[4].At(0).(*float64); v != nil {
		t.Errorf("a point that is not there is %v", *v)
	}
	legend := Series(read(t, "ts:timestamp a:string v:float", `["2026-01-01T00:00:00Z","{{v}} {{a}}",1]`), nil, "<{{ a }}|{{none}}> {{")
	if got := legend.Fields[1].Config.DisplayNameFromDS; got != "<{{v}} {{a}}|> {{" {
		t.Error(got)
	}
	// A port is who, a count is how much; a key of the query is who in any case.
	ports := Series(read(t, "ts:timestamp dst_port:uint n:uint w:uint/bytes", `["2026-01-01T00:00:00Z",443,1,2]`), []string{"n"}, "")
	if len(ports.Fields) != 2 || ports.Fields[1].Labels["dst_port"] != "443" || ports.Fields[1].Labels["n"] != "1" || ports.Fields[1].Config.Unit != "decbytes" {
		t.Errorf("%+v", ports.Fields)
	}
}

func TestBounds(t *testing.T) {
	rows := func(n int) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprintf(`["2026-01-01T00:00:00Z","s%d","t",1]`, i))
		}
		return out
	}
	for n, notices := range map[int]int{SeriesMax: 0, SeriesMax + 1: 1} {
		frame := Series(read(t, "ts:timestamp a:string b:string v:float", rows(n)...), nil, "")
		if len(frame.Fields) != SeriesMax+1 || len(frame.Meta.Notices) != notices {
			t.Errorf("%d groups: %d fields, %v", n, len(frame.Fields), frame.Meta.Notices)
		}
	}
	for n, notices := range map[int]int{EdgesMax: 0, EdgesMax + 1: 1} {
		graph, err := Graph(read(t, "ts:timestamp a:string b:string v:float", rows(n)...), nil)
		if err != nil || graph[1].Rows() != EdgesMax || graph[0].Rows() != EdgesMax+1 || len(graph[0].Meta.Notices) != notices {
			t.Errorf("%d arrows: %v %v", n, err, graph[0].Meta.Notices)
		}
	}
	line, err := Logs(read(t, "ts:timestamp a:string", fmt.Sprintf(`["2026-01-01T00:00:00Z",%q]`, strings.Repeat("é", LabelBytesMax))))
	if err != nil || len(cell(t, line, "labels", 0)) > LabelBytesMax+20 {
		t.Errorf("%v: a label of %d bytes", err, len(cell(t, line, "labels", 0)))
	}
}

func TestGraphSumsUp(t *testing.T) {
	graph, err := Graph(read(t, "src_as:uint dst_as:uint b:uint/bytes n:uint others:bool", `[1,2,100,1,false]`, `[1,2,50,1,false]`, `[2,null,50,1,false]`, `[null,null,9,9,true]`), []string{"src_as", "dst_as"})
	if err != nil {
		t.Fatal(err)
	}
	nodes, edges := graph[0], graph[1]
	if edges.Rows() != 2 || cell(t, edges, "mainstat", 0) != "150" || cell(t, edges, "secondarystat", 0) != "2" || cell(t, edges, "thickness", 0) != "8" {
		t.Errorf("%v", edges)
	}
	if nodes.Rows() != 3 || cell(t, nodes, "id", 0) != "(unknown)" || cell(t, nodes, "mainstat", 2) != "200" || cell(t, nodes, "arc__received", 2) != "0.75" {
		t.Errorf("%v", nodes)
	}
}

func TestPlaces(t *testing.T) {
	frame, err := Places(read(t, "src_region:string b:uint/bytes", `["eu-central-1",1]`, `["<nowhere>",2]`))
	if err != nil || cell(t, frame, "latitude", 0) != "50.1" || !frame.Fields[2].NilAt(1) || len(frame.Meta.Notices) != 1 {
		t.Errorf("%v %v", err, frame)
	}
	frame, err = Places(read(t, "country:string b:uint", `["de",1]`, `["Atlantis",2]`))
	if err != nil || cell(t, frame, "lookup", 0) != "DE" || !frame.Fields[2].NilAt(1) {
		t.Errorf("%v %v", err, frame)
	}
	for name, at := range regions {
		if at[0] < -90 || at[0] > 90 || at[1] < -180 || at[1] > 180 {
			t.Errorf("%s is nowhere: %v", name, at)
		}
	}
}

// Numbers beyond what a float holds, and what lists and maps become.
func TestValues(t *testing.T) {
	a := read(t, "u:uint i:int d:duration l:list<string> m:map<string> f:flags at:timestamp", `[18446744073709551615,-9223372036854775808,1500.5,["a","b, c"],{"k":"v\"","a":"1"},"SA","2026-01-01T00:00:00.123456789Z"]`, `[null,null,null,null,null,null,null]`)
	frame := Table(a)
	for name, want := range map[string]string{"u": "18446744073709551615", "i": "-9223372036854775808", "d": "1500.5", "l": "a, b, c", "m": `{"a":"1","k":"v\""}`, "f": "SA", "at": "2026-01-01 00:00:00.123456789 +0000 UTC"} {
		if got := cell(t, frame, name, 0); got != want {
			t.Errorf("%s: %s", name, got)
		}
		if field, _ := frame.FieldByName(name); !field.NilAt(1) {
			t.Errorf("%s: null is a value", name)
		}
	}
}
