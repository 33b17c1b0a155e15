// Package grafanahost starts the data source's back end as Grafana does, as a program of its own over gRPC, and speaks with it. For tests: there is
// no Grafana here, and what it would do in between (users, its database, signatures) is not played.
package grafanahost

import (
	"context"
	"fmt"
	"io"
	"os/exec"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
	"github.com/grafana/grafana-plugin-sdk-go/backend/grpcplugin"
	"github.com/grafana/grafana-plugin-sdk-go/genproto/pluginv2"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
)

// Backend is a running one. Safe for concurrent use.
type Backend struct {
	client      *plugin.Client
	data        grpcplugin.DataClient
	resource    grpcplugin.ResourceClient
	diagnostics grpcplugin.DiagnosticsClient
	stream      grpcplugin.StreamClient
	instance    backend.PluginContext
}

// Start a program; it is told of one data source with these settings in every call, as Grafana tells it.
func Start(program string, settings backend.DataSourceInstanceSettings, logs io.Writer) (*Backend, error) {
	settings.Type = "sluice-flowql-datasource"
	b := &Backend{instance: backend.PluginContext{OrgID: 1, PluginID: settings.Type, PluginVersion: "0.0.0", DataSourceInstanceSettings: &settings}}
	b.client = plugin.NewClient(&plugin.ClientConfig{
		Cmd:              exec.Command(program),
		HandshakeConfig:  plugin.HandshakeConfig{ProtocolVersion: grpcplugin.ProtocolVersion, MagicCookieKey: grpcplugin.MagicCookieKey, MagicCookieValue: grpcplugin.MagicCookieValue},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		VersionedPlugins: map[int]plugin.PluginSet{grpcplugin.ProtocolVersion: {
			"data": &grpcplugin.DataGRPCPlugin{}, "resource": &grpcplugin.ResourceGRPCPlugin{}, "diagnostics": &grpcplugin.DiagnosticsGRPCPlugin{}, "stream": &grpcplugin.StreamGRPCPlugin{},
		}},
		Logger: hclog.New(&hclog.LoggerOptions{Output: logs, Level: hclog.Info}),
	})
	rpc, err := b.client.Client()
	if err != nil {
		b.client.Kill()
		return nil, fmt.Errorf("%s did not start: %w", program, err)
	}
	for name, take := range map[string]func(any) bool{
		"data":        func(c any) (ok bool) { b.data, ok = c.(grpcplugin.DataClient); return },
		"resource":    func(c any) (ok bool) { b.resource, ok = c.(grpcplugin.ResourceClient); return },
		"diagnostics": func(c any) (ok bool) { b.diagnostics, ok = c.(grpcplugin.DiagnosticsClient); return },
		"stream":      func(c any) (ok bool) { b.stream, ok = c.(grpcplugin.StreamClient); return },
	} {
		client, err := rpc.Dispense(name)
		if err != nil || !take(client) {
			b.client.Kill()
			return nil, fmt.Errorf("the back end has no %s: %w", name, err)
		}
	}
	return b, nil
}

// Stop ends the program.
func (b *Backend) Stop() { b.client.Kill() }

// Query runs queries of one time range.
func (b *Backend) Query(ctx context.Context, queries []backend.DataQuery) (*backend.QueryDataResponse, error) {
	request := backend.ToProto().QueryDataRequest(&backend.QueryDataRequest{PluginContext: b.instance, Queries: queries})
	response, err := b.data.QueryData(ctx, request)
	if err != nil {
		return nil, err
	}
	return backend.FromProto().QueryDataResponse(response)
}

// Resource asks one of the back end's own routes.
func (b *Backend) Resource(ctx context.Context, method, path, url string, body []byte) (int, []byte, error) {
	request := backend.ToProto().CallResourceRequest(&backend.CallResourceRequest{PluginContext: b.instance, Method: method, Path: path, URL: url, Body: body})
	stream, err := b.resource.CallResource(ctx, request)
	if err != nil {
		return 0, nil, err
	}
	status := 0
	var out []byte
	for {
		part, err := stream.Recv()
		if err == io.EOF {
			return status, out, nil
		}
		if err != nil {
			return 0, nil, err
		}
		if status == 0 {
			status = int(part.Code)
		}
		out = append(out, part.Body...)
	}
}

// Health runs the health check.
func (b *Backend) Health(ctx context.Context) (*backend.CheckHealthResult, error) {
	response, err := b.diagnostics.CheckHealth(ctx, &pluginv2.CheckHealthRequest{PluginContext: backend.ToProto().PluginContext(b.instance)})
	if err != nil {
		return nil, err
	}
	return backend.FromProto().CheckHealthResponse(response), nil
}

// Subscribe asks whether a channel may be listened to.
func (b *Backend) Subscribe(ctx context.Context, path string, data []byte) (backend.SubscribeStreamStatus, error) {
	request := backend.ToProto().SubscribeStreamRequest(&backend.SubscribeStreamRequest{PluginContext: b.instance, Path: path, Data: data})
	response, err := b.stream.SubscribeStream(ctx, request)
	if err != nil {
		return 0, err
	}
	return backend.SubscribeStreamStatus(response.Status), nil
}

// Run a channel until its context ends; each packet is a frame as JSON.
func (b *Backend) Run(ctx context.Context, path string, data []byte, each func([]byte) error) error {
	request := backend.ToProto().RunStreamRequest(&backend.RunStreamRequest{PluginContext: b.instance, Path: path, Data: data})
	stream, err := b.stream.RunStream(ctx, request)
	if err != nil {
		return err
	}
	for {
		packet, err := stream.Recv()
		if err == io.EOF || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if err := each(packet.Data); err != nil {
			return err
		}
	}
}
