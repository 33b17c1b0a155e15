package flowql

import "fmt"

// Filter is one that was chosen above a dashboard ("ad hoc").
type Filter struct {
	Key      string   `json:"key"`
	Operator string   `json:"operator"`
	Value    string   `json:"value"`
	Values   []string `json:"values,omitempty"` // of =| and !=|
}

// condition writes the filter over a column; `bind` gives its parameter the values.
// Null is what FlowQL says: neither equal nor unequal to anything, so both leave it out. An empty value asks for it.
func (f Filter) condition(column, param string, bind func([]string)) (string, error) {
	one := func(operator string) string {
		bind([]string{f.Value})
		return column + " " + operator + " " + param
	}
	many := func(operator string) string {
		values := f.Values
		if len(values) == 0 {
			values = []string{f.Value}
		}
		bind(values)
		return column + " " + operator + " " + param
	}
	switch f.Operator {
	case "=":
		if f.Value == "" {
			return column + " == null", nil
		}
		return one("=="), nil
	case "!=":
		if f.Value == "" {
			return column + " != null", nil
		}
		return one("!="), nil
	case "<", ">", "<=", ">=":
		return one(f.Operator), nil
	case "=~":
		return one("matches"), nil
	case "!~":
		return "not (" + one("matches") + ")", nil
	case "=|":
		return many("in"), nil
	case "!=|":
		return many("not in"), nil
	}
	return "", fmt.Errorf("a filter of the dashboard has the unknown operator %q", f.Operator)
}
