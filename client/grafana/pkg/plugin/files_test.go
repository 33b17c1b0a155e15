package plugin

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
	"github.com/grafana/grafana-plugin-sdk-go/backend/httpclient"
	"go.yaml.in/yaml/v3"
)

// A data source as Grafana's provisioning reads it; members that it has not are refused.
type provisioned struct {
	APIVersion  int `yaml:"apiVersion"`
	Datasources []struct {
		Name           string            `yaml:"name"`
		UID            string            `yaml:"uid"`
		Type           string            `yaml:"type"`
		Access         string            `yaml:"access"`
		URL            string            `yaml:"url"`
		JSONData       map[string]any    `yaml:"jsonData"`
		SecureJSONData map[string]string `yaml:"secureJsonData"`
	} `yaml:"datasources"`
}

// what a data source is made of its settings.
type made struct {
	Settings Settings
	Headers  map[string][]string
	Options  httpclient.Options
	Error    string
}

func makeOf(instance backend.DataSourceInstanceSettings) made {
	m := made{}
	var err error
	if m.Settings, err = readSettings(instance); err != nil {
		m.Error = err.Error()
		return m
	}
	if m.Options, err = instance.HTTPClientOptions(context.Background()); err != nil {
		m.Error = err.Error()
	}
	m.Headers = m.Options.Header
	m.Options.CustomOptions = nil // the settings themselves
	return m
}

// The provisioning file, with what stands in it as a comment taken for said: Grafana's members alone, and each setting is read by somebody. A token is read where the
// connection is made (TestEveryRequestSaysWhoAsks).
func TestProvisioningFile(t *testing.T) {
	text, err := os.ReadFile("../../provisioning/datasources/sluice.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"as it is": string(text), "all of it": regexp.MustCompile(`(?m)^(\s+)# (\w+: )`).ReplaceAllString(string(text), "$1$2")} {
		var file provisioned
		decoder := yaml.NewDecoder(strings.NewReader(text))
		decoder.KnownFields(true)
		if err := decoder.Decode(&file); err != nil {
			t.Fatal(name, err)
		}
		if file.APIVersion != 1 || len(file.Datasources) != 1 {
			t.Fatalf("%+v", file)
		}
		d := file.Datasources[0]
		if d.Type != "sluice-flowql-datasource" || d.Access != "proxy" || d.UID == "" || d.Name == "" {
			t.Errorf("%+v", d)
		}
		for key, value := range d.SecureJSONData {
			if key != "httpHeaderValue1" && !strings.HasPrefix(value, "$") {
				t.Errorf("%s stands in the file: %s", key, value)
			}
		}
		settings := func(without ...string) backend.DataSourceInstanceSettings {
			plain, secrets := maps.Clone(d.JSONData), maps.Clone(d.SecureJSONData)
			for _, key := range without {
				delete(plain, key)
				delete(secrets, key)
			}
			encoded, _ := json.Marshal(plain)
			return backend.DataSourceInstanceSettings{URL: d.URL, UID: d.UID, Name: d.Name, Type: d.Type, JSONData: encoded, DecryptedSecureJSONData: secrets}
		}
		whole := makeOf(settings())
		if whole.Error != "" {
			t.Fatal(name, whole.Error)
		}
		keys := slices.Concat(slices.Collect(maps.Keys(d.JSONData)), slices.Collect(maps.Keys(d.SecureJSONData)))
		for _, key := range keys {
			if key == "tlsAuthWithCACert" { // either flag has the authority's certificate read
				if without := makeOf(settings("tlsAuth")); reflect.DeepEqual(makeOf(settings("tlsAuth", key)), without) {
					t.Errorf("%s: nobody reads %s", name, key)
				}
				continue
			}
			if key != "token" && reflect.DeepEqual(makeOf(settings(key)), whole) {
				// One that says what is so anyway is none that nobody reads.
				changed := settings(key)
				other := maps.Clone(d.JSONData)
				other[key] = 7
				changed.JSONData, _ = json.Marshal(other)
				if reflect.DeepEqual(makeOf(changed), whole) {
					t.Errorf("%s: nobody reads %s", name, key)
				}
			}
		}
		if name == "all of it" && len(keys) < 12 {
			t.Errorf("only %v", keys)
		}
	}

	var dashboards struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Folder, Type string
			Options            struct{ Path string }
		}
	}
	text, err = os.ReadFile("../../provisioning/dashboards/sluice.yaml")
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	decoder.KnownFields(true)
	if err := decoder.Decode(&dashboards); err != nil || len(dashboards.Providers) != 1 || dashboards.Providers[0].Type != "file" || !strings.HasSuffix(dashboards.Providers[0].Options.Path, "/sluice-flowql-datasource/dashboards") {
		t.Errorf("%v %+v", err, dashboards)
	}
}

// A public dashboard sends what its file says and nothing else: no page has put in a variable, a filter or a unit. Grafana adds only the panel's resolution.
func TestBundledDashboardsNeedNoPage(t *testing.T) {
	url := server(t)
	if !isReal || *update { // too much to be recorded
		t.Skip("there is no sluiced")
	}
	d := datasource(t, url, nil, nil)
	files, err := filepath.Glob("../../src/dashboards/*.json")
	if err != nil || len(files) != 6 {
		t.Fatal(err, files)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var dashboard struct {
			Panels []struct {
				Title   string
				Targets []map[string]any
			}
		}
		if err := json.Unmarshal(text, &dashboard); err != nil {
			t.Fatal(err)
		}
		for _, panel := range dashboard.Panels {
			for _, target := range panel.Targets {
				target["intervalMs"], target["maxDataPoints"] = 600_000, 100
				encoded, _ := json.Marshal(target)
				response, err := d.QueryData(context.Background(), &backend.QueryDataRequest{Queries: []backend.DataQuery{{RefID: "A", JSON: encoded, Interval: 10 * time.Minute, MaxDataPoints: 100,
					TimeRange: backend.TimeRange{From: fixtureFrom, To: fixtureTo}}}})
				if err != nil {
					t.Fatal(err)
				}
				if answer := response.Responses["A"]; answer.Error != nil {
					t.Errorf("%s, %s: %v", filepath.Base(path), panel.Title, answer.Error)
				}
			}
		}
	}
}

// A variable's values are those of its time range, of columns and of queries; All and several values are resolved here.
func TestVariablesHaveATimeRange(t *testing.T) {
	url := server(t)
	if !isReal || *update { // too much to be recorded
		t.Skip("there is no sluiced")
	}
	d := datasource(t, url, nil, nil)
	for _, c := range []struct {
		from, to time.Time
		any      bool
	}{{fixtureFrom, fixtureTo, true}, {fixtureFrom.Add(-48 * time.Hour), fixtureFrom.Add(-24 * time.Hour), false}, {fixtureTo.Add(24 * time.Hour), fixtureTo.Add(48 * time.Hour), false}} {
		var values []string
		if status := resource(t, d, "POST", "tag-values", map[string]any{"key": "src_ip", "seen": true, "max": 1000, "from": c.from, "to": c.to}, &values); status != 200 || (len(values) > 0) != c.any {
			t.Errorf("%v: %d %v", c.from, status, values)
		}
		encoded, _ := json.Marshal(Query{QueryType: Table, Expr: "from flows | top 100 src_ip by count()", Limit: 1000})
		response, err := d.QueryData(context.Background(), &backend.QueryDataRequest{Queries: []backend.DataQuery{{RefID: "variable", JSON: encoded, TimeRange: backend.TimeRange{From: c.from, To: c.to}}}})
		if err != nil {
			t.Fatal(err)
		}
		answer := response.Responses["variable"]
		if answer.Error != nil || (answer.Frames[0].Rows() > 0) != c.any {
			t.Errorf("%v: %+v", c.from, answer)
		}
	}
}
