// The back end of the Sluice data source for Grafana: Grafana starts it and calls it over gRPC.
package main

import (
	"os"

	"github.com/grafana/grafana-plugin-sdk-go/backend/datasource"
	"github.com/grafana/grafana-plugin-sdk-go/backend/log"

	"sluice/client/grafana/pkg/plugin"
)

func main() {
	if err := datasource.Manage("sluice-flowql-datasource", plugin.New, datasource.ManageOpts{}); err != nil {
		log.DefaultLogger.Error("The data source cannot run", "error", err)
		os.Exit(1)
	}
}
