package plugin

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sluice/client/grafana/pkg/flowql"
	"sluice/client/grafana/pkg/sluice"
)

func TestPlacesOfErrors(t *testing.T) {
	long := strings.Repeat("a", 150) + " wrong " + strings.Repeat("b", 150)
	for _, c := range []struct {
		text           string
		offset, length int
		line, column   int
		caret          string
	}{
		{"wrong", 0, 5, 1, 1, "wrong\n^~~~~"},
		{"from flows\n| where ü == wrong", strings.Index("from flows\n| where ü == wrong", "wrong"), 5, 2, 14, "| where ü == wrong\n             ^~~~~"},
		{"a\tb", 2, 1, 1, 3, "a b\n  ^"},
		// A mark ends with its line, and one behind the end stands there.
		{"ab\ncd", 1, 4, 1, 2, "ab\n ^"},
		{"ab", 2, 0, 1, 3, "ab\n  ^"},
		{"", 7, 9, 1, 1, "\n^"},
		{long, 151, 5, 1, 152, "…" + strings.Repeat("a", 48) + " wrong " + strings.Repeat("b", 43) + "…\n" + strings.Repeat(" ", 50) + "^~~~~"},
		{long, 0, len(long), 1, 1, strings.Repeat("a", CaretWidth-1) + "…\n^" + strings.Repeat("~", CaretWidth-1)},
		{long, len(long), 0, 1, len(long) + 1, "…" + strings.Repeat("b", CaretWidth-1) + "\n" + strings.Repeat(" ", CaretWidth) + "^"},
	} {
		e := placed(sluice.Error{Message: "no"}, c.text, c.offset, c.length)
		if e.Line != c.line || e.Column != c.column || e.Caret != c.caret {
			t.Errorf("%.40q: line %d, column %d\n%s\nwanted %d, %d\n%s", c.text, e.Line, e.Column, e.Caret, c.line, c.column, c.caret)
		}
	}
}

// What the server says of the text with macros and filters in it is told of the text that was written.
func TestErrorsStandInTheTextAsItWasWritten(t *testing.T) {
	d := datasource(t, server(t), nil, nil)
	written := "from flows\n| where $__timeFilter and src_prt == 443"
	response := ask(t, d, Query{QueryType: Table, Expr: written, Filters: []flowql.Filter{{Key: "action", Operator: "=", Value: "accept"}}})
	want := "unknown column 'src_prt' (line 2, column 27): did you mean 'src_port'?\n| where $__timeFilter and src_prt == 443\n                          ^~~~~~~"
	if response.Error == nil || response.Error.Error() != want {
		t.Errorf("%v", response.Error)
	}
	response = ask(t, d, Query{QueryType: Table, Expr: "from flows\n| where $__nothing"})
	if response.Error == nil || !strings.HasSuffix(response.Error.Error(), "(line 2, column 9)\n| where $__nothing\n        ^~~~~~~~~~") {
		t.Errorf("%v", response.Error)
	}
	// An error of the whole stays what it is.
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(503)
		fmt.Fprint(w, `{"error":{"code":"full","message":"busy"}}`)
	}))
	defer busy.Close()
	if response := ask(t, datasource(t, busy.URL, nil, nil), Query{Expr: "x"}); response.Error == nil || response.Error.Error() != "busy" || response.Status != 503 {
		t.Errorf("%+v", response)
	}
}
