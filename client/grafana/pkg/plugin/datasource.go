// Package plugin is the data source's back end: what Grafana calls over gRPC. It runs queries, so that alert rules, public
// dashboards, recorded queries and caching work without a browser; answers the editor's questions; and streams live tails.
package plugin

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
	"github.com/grafana/grafana-plugin-sdk-go/backend/instancemgmt"

	"sluice/client/grafana/pkg/sluice"
)

// Datasource is one configured data source. Grafana makes a new one when its settings change. Safe for concurrent use.
type Datasource struct {
	uid      string
	name     string
	settings Settings
	client   *sluice.Client
	kept     *keeper
	behind   chan struct{} // places of SuggestionsBehind
	patience time.Duration // SuggestionPatience; tests have their own
	backend.CallResourceHandler
}

var (
	_ backend.QueryDataHandler      = (*Datasource)(nil)
	_ backend.CheckHealthHandler    = (*Datasource)(nil)
	_ backend.CallResourceHandler   = (*Datasource)(nil)
	_ backend.StreamHandler         = (*Datasource)(nil)
	_ instancemgmt.InstanceDisposer = (*Datasource)(nil)
)

// New makes one of its settings, without asking the server anything.
func New(ctx context.Context, instance backend.DataSourceInstanceSettings) (instancemgmt.Instance, error) {
	settings, err := readSettings(instance)
	if err != nil {
		return nil, err
	}
	client, err := newClient(ctx, instance, settings)
	if err != nil {
		return nil, err
	}
	d := &Datasource{uid: instance.UID, name: instance.Name, settings: settings, client: client, kept: newKeeper(), behind: make(chan struct{}, SuggestionsBehind), patience: SuggestionPatience}
	d.CallResourceHandler = d.resources()
	return d, nil
}

// Dispose: connections are closed by their own idle timeout, and streams end with their contexts.
func (d *Datasource) Dispose() {}

// QueryData runs the queries of a request, a few at a time; each succeeds or fails for itself.
func (d *Datasource) QueryData(ctx context.Context, req *backend.QueryDataRequest) (*backend.QueryDataResponse, error) {
	response := backend.NewQueryDataResponse()
	var lock sync.Mutex
	var all sync.WaitGroup
	places := make(chan struct{}, QueriesAtOnce)
	for _, q := range req.Queries {
		all.Add(1)
		places <- struct{}{}
		go func() {
			defer all.Done()
			defer func() { <-places }()
			answer := d.answerQuery(ctx, q)
			lock.Lock()
			defer lock.Unlock()
			response.Responses[q.RefID] = answer
		}()
	}
	all.Wait()
	return response, nil
}

// The health check asks what a panel would: it needs a good token, a role that may read, and a store that answers.
const healthQuery = "from flows last 1h | stats flows = count(), latest = max(ts)"

// CheckHealth runs a real query and says what came of it.
func (d *Datasource) CheckHealth(ctx context.Context, _ *backend.CheckHealthRequest) (*backend.CheckHealthResult, error) {
	answer, err := d.client.Query(ctx, sluice.Call{Query: healthQuery, Timeout: SuggestionTimeout})
	if err != nil {
		return &backend.CheckHealthResult{Status: backend.HealthStatusError, Message: healthError(err)}, nil
	}
	count := answer.Column("flows")
	if answer.Rows != 1 || count == nil {
		return &backend.CheckHealthResult{Status: backend.HealthStatusError, Message: "The server answers, but not what was asked: is it a Sluice server?"}, nil
	}
	message := "The server answers. It has no flows of the last hour."
	if n := count.Number(0); n != nil && *n > 0 {
		message = fmt.Sprintf("The server answers. Flows of the last hour: %.0f.", *n)
	}
	return &backend.CheckHealthResult{Status: backend.HealthStatusOk, Message: message}, nil
}

func healthError(err error) string {
	var told *sluice.Error
	if errors.As(err, &told) {
		switch told.Status {
		case 401:
			return "The server wants a token, or does not know this one: " + told.Message
		case 403:
			return "The server refuses this token: " + told.Message
		case 503:
			return "The server is full or not ready: " + told.Message
		}
	}
	return err.Error()
}
