package plugin

import (
	"context"
	"strings"

	"sluice/client/grafana/pkg/sluice"
)

// columnInfo is one column of flows, for lists in the editor.
type columnInfo struct {
	Name   string   `json:"name"`
	Kind   string   `json:"kind"` // stored, computed, either side
	Type   string   `json:"type"`
	Unit   string   `json:"unit,omitempty"`
	Doc    string   `json:"doc,omitempty"`
	Values []string `json:"values,omitempty"` // of an enumeration
}

// columns of flows, as `show columns` has them.
func (d *Datasource) columns(ctx context.Context) ([]columnInfo, error) {
	found, err := d.kept.get(d.asker(ctx)+"columns", func() (any, error) {
		answer, err := d.client.Query(ctx, sluice.Call{Query: "show columns", Timeout: SuggestionTimeout})
		if err != nil {
			return nil, err
		}
		text := func(name string, row int) string {
			if c := answer.Column(name); c != nil {
				s, _ := c.Label(row)
				return s
			}
			return ""
		}
		out := make([]columnInfo, 0, answer.Rows)
		for row := 0; row < answer.Rows; row++ {
			c := columnInfo{Name: text("name", row), Kind: text("kind", row), Type: text("type", row), Unit: text("unit", row), Doc: text("doc", row)}
			c.Values = strings.Fields(strings.ReplaceAll(text("values", row), ",", " "))
			out = append(out, c)
		}
		return out, nil
	})
	if err != nil {
		return nil, err
	}
	return found.([]columnInfo), nil
}

// rules are the names of the server's rules, for the form of alerts.
func (d *Datasource) rules(ctx context.Context) ([]string, error) {
	found, err := d.kept.get(d.asker(ctx)+"rules", func() (any, error) {
		answer, err := d.client.Query(ctx, sluice.Call{Query: "show rules | select name | sort name", Timeout: SuggestionTimeout})
		if err != nil {
			return nil, err
		}
		out := make([]string, 0, answer.Rows)
		if names := answer.Column("name"); names != nil {
			for row := 0; row < answer.Rows; row++ {
				if name, known := names.Label(row); known {
					out = append(out, name)
				}
			}
		}
		return out, nil
	})
	if err != nil {
		return nil, err
	}
	return found.([]string), nil
}

func find(columns []columnInfo, name string) *columnInfo {
	for i := range columns {
		if columns[i].Name == name {
			return &columns[i]
		}
	}
	return nil
}
