package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
	"github.com/grafana/grafana-plugin-sdk-go/backend/httpclient"

	"sluice/client/grafana/pkg/sluice"
)

// Settings as the configuration page writes them (src/types.ts). TLS, basic authentication, a timeout and further headers
// (httpHeaderName1, httpHeaderValue1) are read by the SDK under Grafana's own names.
type Settings struct {
	Tenant              string `json:"tenant"`
	TenantHeader        string `json:"tenantHeader"`
	QueryTimeoutSeconds int    `json:"queryTimeoutSeconds"`
	MaxRows             int    `json:"maxRows"`
	// Added to every request's URL, as a=b&c=d.
	QueryParameters string `json:"customQueryParameters"`
	// Read by the SDK and by Grafana, too: whether users are told apart by whom the server answers, and whether we show a certificate.
	OAuthPassThru bool     `json:"oauthPassThru"`
	KeepCookies   []string `json:"keepCookies"`
	TLSAuth       bool     `json:"tlsAuth"`
}

// Where a tenant is named unless the settings say otherwise. A proxy in front of several servers reads it.
const tenantHeaderDefault = "X-Sluice-Tenant"

func readSettings(instance backend.DataSourceInstanceSettings) (Settings, error) {
	s := Settings{}
	if len(instance.JSONData) > 0 {
		if err := json.Unmarshal(instance.JSONData, &s); err != nil {
			return s, fmt.Errorf("the settings of the data source cannot be read: %w", err)
		}
	}
	if s.TenantHeader == "" {
		s.TenantHeader = tenantHeaderDefault
	}
	if s.MaxRows <= 0 {
		s.MaxRows = sluice.RowsDefault
	}
	s.MaxRows = min(s.MaxRows, sluice.RowsMax)
	return s, nil
}

func (s Settings) timeout() time.Duration {
	if s.QueryTimeoutSeconds > 0 {
		return time.Duration(s.QueryTimeoutSeconds) * time.Second
	}
	return QueryTimeout
}

func newClient(ctx context.Context, instance backend.DataSourceInstanceSettings, s Settings) (*sluice.Client, error) {
	options, err := instance.HTTPClientOptions(ctx)
	if err != nil {
		return nil, fmt.Errorf("the settings of the data source cannot be read: %w", err)
	}
	// The SDK would leave it out without a word.
	if s.TLSAuth && (options.TLS.ClientCertificate == "" || options.TLS.ClientKey == "") {
		return nil, errors.New("a client certificate is wanted, and it or its key is not there")
	}
	// What a browser's user is to the server (OAuth pass-through, cookies that are let through) goes along.
	options.ForwardHTTPHeaders = true
	// The server ends a query at its own limit and says so; our end of the line waits a little longer, to hear it.
	options.Timeouts.Timeout = max(options.Timeouts.Timeout, s.timeout()+5*time.Second)
	headers := http.Header{}
	if token := instance.DecryptedSecureJSONData["token"]; token != "" {
		headers.Set("Authorization", "Bearer "+token)
	}
	if s.Tenant != "" {
		headers.Set(s.TenantHeader, s.Tenant)
	}
	plain, err := httpclient.New(options)
	if err != nil {
		return nil, fmt.Errorf("the connection's settings: %w", err)
	}
	endless := *options.Timeouts
	endless.Timeout = 0
	options.Timeouts = &endless
	streaming, err := httpclient.New(options)
	if err != nil {
		return nil, fmt.Errorf("the connection's settings: %w", err)
	}
	parameters, err := url.ParseQuery(strings.TrimPrefix(strings.TrimSpace(s.QueryParameters), "?"))
	if err != nil {
		return nil, fmt.Errorf("the parameters of the URL: %w", err)
	}
	return sluice.NewClient(instance.URL, plain, streaming, headers, parameters)
}
