package plugin

import (
	"slices"
	"strings"
	"testing"

	"sluice/client/grafana/pkg/sluice"
)

// What the answer says of its keys goes before what the query's text looks like.
func TestKeysOfAnAnswer(t *testing.T) {
	const renamed = "stats n = count() by dst_port | rename door = dst_port"
	for answer, keys := range map[string][]string{
		`{"columns":[{"name":"door","type":"uint"},{"name":"n","type":"uint"}],"rows":[[443,1]],"stats":{},"keys":["door"]}`: {"door"},
		`{"columns":[{"name":"door","type":"uint"},{"name":"n","type":"uint"}],"rows":[[443,1]],"stats":{}}`:                 {"dst_port"},
	} {
		a, err := sluice.ReadAnswer(strings.NewReader(answer))
		if err != nil {
			t.Fatal(err)
		}
		if got := keysOf(a, renamed); !slices.Equal(got, keys) {
			t.Errorf("%v of %s", got, answer)
		}
	}
}
