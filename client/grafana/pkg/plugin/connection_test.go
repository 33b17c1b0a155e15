package plugin

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
	"github.com/grafana/grafana-plugin-sdk-go/data"

	"sluice/client/grafana/pkg/flowql"
)

const oneRow = `{"columns":[{"name":"flows","type":"uint"},{"name":"latest","type":"timestamp"}],"rows":[[1,"2025-11-20T10:00:00Z"]],"stats":{}}`

// playAnything answers every route with something that is read without an error.
func playAnything(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/v1/tail":
		w.Header().Set("Content-Type", "text/event-stream")
		flush(w, "data: {\"flow_end\":\"2025-11-20T10:00:00Z\",\"src_ip\":\"10.0.0.1\"}\n\n")
		<-r.Context().Done()
	case "/v1/query/validate":
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"valid":true,"errors":[]}`)
	case "/v1/query/complete":
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"replace":{"offset":0,"length":0},"items":[]}`)
	default:
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, oneRow)
	}
}

// askAll does everything that makes the data source ask its server.
func askAll(t *testing.T, d *Datasource) {
	t.Helper()
	if response := ask(t, d, Query{Expr: "stats flows = count()", QueryType: Table}); response.Error != nil {
		t.Error(response.Error)
	}
	if health, err := d.CheckHealth(context.Background(), &backend.CheckHealthRequest{}); err != nil || health.Status != backend.HealthStatusOk {
		t.Errorf("%v %+v", err, health)
	}
	at := map[string]any{"from": fixtureFrom, "to": fixtureTo, "expr": "src_ip == 1.1.1.1", "cursor": 3, "key": "src_ip", "seen": true}
	for path, method := range map[string]string{"columns": "GET", "rules": "GET", "validate": "POST", "complete": "POST", "tag-values": "POST"} {
		if status := resource(t, d, method, path, at, nil); status != 200 {
			t.Errorf("%s: %d", path, status)
		}
	}
	if lines := listen(t, d, Query{Expr: "dst_port == 53"}, 1); !strings.Contains(lines[0], "10.0.0.1") { // and no word of a stream that was lost
		t.Errorf("a live tail says %q", lines)
	}
}

// Who we are, the tenant, further headers and parameters of the URL go with every request there is: of queries, of the health check, of the editor and of live tails.
func TestEveryRequestSaysWhoAsks(t *testing.T) {
	var lock sync.Mutex
	seen := map[string]bool{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lock.Lock()
		seen[r.URL.Path] = true
		lock.Unlock()
		for name, want := range map[string]string{"Authorization": "Bearer s3cret", "X-Org": "red", "X-More": "yes", "X-Even-More": "too"} {
			if got := r.Header.Values(name); len(got) != 1 || got[0] != want {
				t.Errorf("%s %s: %s is %q", r.Method, r.URL.Path, name, got)
			}
		}
		if got := r.URL.Query(); got.Get("cluster") != "north east" || got.Get("debug") != "1" {
			t.Errorf("%s: %v", r.URL.Path, got)
		}
		if r.URL.Path == "/v1/tail" && r.URL.Query().Get("q") != "dst_port == 53" {
			t.Errorf("a live tail asks %v", r.URL.Query())
		}
		playAnything(w, r)
	}))
	defer s.Close()
	d := datasource(t, s.URL, map[string]any{"tenant": "red", "tenantHeader": "X-Org", "httpHeaderName1": "X-More", "httpHeaderName2": "X-Even-More", "customQueryParameters": "?cluster=north+east&debug=1"},
		map[string]string{"token": "s3cret", "httpHeaderValue1": "yes", "httpHeaderValue2": "too"})
	askAll(t, d)
	for _, path := range []string{"/v1/query", "/v1/query/validate", "/v1/query/complete", "/v1/tail"} {
		if !seen[path] {
			t.Errorf("%s was not asked", path)
		}
	}
	if _, err := New(context.Background(), backend.DataSourceInstanceSettings{URL: s.URL, JSONData: []byte(`{"customQueryParameters":"a=%zz"}`)}); err == nil {
		t.Error("parameters that cannot be read are taken")
	}
}

// Without a tenant none is sent; the usual header names it; a password is sent where there is no token; and a secret that stands among the plain settings is none.
func TestHeadersThatNobodyAskedFor(t *testing.T) {
	var header http.Header
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		playAnything(w, r)
	}))
	defer s.Close()
	ask(t, datasource(t, s.URL, map[string]any{"token": "plain", "basicAuthPassword": "plain", "httpHeaderName1": "X-More", "httpHeaderValue1": "plain"}, nil), Query{Expr: "stats count()"})
	for _, name := range []string{"Authorization", "X-Sluice-Tenant", "X-More", "Cookie"} {
		if header.Get(name) != "" {
			t.Errorf("%s: %q", name, header.Get(name))
		}
	}
	ask(t, datasource(t, s.URL, map[string]any{"tenant": "blue"}, nil), Query{Expr: "stats count()"})
	if header.Get("X-Sluice-Tenant") != "blue" {
		t.Errorf("%v", header)
	}
	instance, err := New(context.Background(), backend.DataSourceInstanceSettings{URL: s.URL, BasicAuthEnabled: true, BasicAuthUser: "me", JSONData: []byte(`{}`), DecryptedSecureJSONData: map[string]string{"basicAuthPassword": "pass"}})
	if err != nil {
		t.Fatal(err)
	}
	ask(t, instance.(*Datasource), Query{Expr: "stats count()"})
	if user, password, ok := (&http.Request{Header: header}).BasicAuth(); !ok || user != "me" || password != "pass" {
		t.Errorf("%v", header)
	}
}

// Where the server answers each user by their own token, lists that were made for one are not shown to another.
func TestListsAreKeptForWhoMayReadThem(t *testing.T) {
	asks := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asks++
		playAnything(w, r)
	}))
	defer s.Close()
	for _, c := range []struct {
		settings map[string]any
		want     int
	}{{nil, 1}, {map[string]any{"oauthPassThru": true}, 2}, {map[string]any{"keepCookies": []string{"session"}}, 2}} {
		asks = 0
		d := datasource(t, s.URL, c.settings, nil)
		for _, login := range []string{"ada", "bob", "ada"} {
			ctx := backend.WithUser(context.Background(), &backend.User{Login: login})
			if _, err := d.rules(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if asks != c.want {
			t.Errorf("%v: %d asks", c.settings, asks)
		}
	}
}

// authority makes certificates of its own.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	template.Raw = der
	return &authority{t, template, key, encode("CERTIFICATE", der)}
}

// issue a certificate for a name; the certificate and its key, in PEM.
func (a *authority) issue(name string, usage x509.ExtKeyUsage) (string, string) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", encoded)
}

// A real TLS server that asks for a client's certificate: every setting is needed, and each wrong or missing one keeps us out. Live tails have a connection of their own.
func TestTLS(t *testing.T) {
	ours, strangers := newAuthority(t), newAuthority(t)
	serverCert, serverKey := ours.issue("sluice.example.net", x509.ExtKeyUsageServerAuth)
	pair, err := tls.X509KeyPair([]byte(serverCert), []byte(serverKey))
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM([]byte(ours.pem))
	serve := func(wanted tls.ClientAuthType) *httptest.Server {
		s := httptest.NewUnstartedServer(http.HandlerFunc(playAnything))
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: clients, ClientAuth: wanted}
		s.StartTLS()
		t.Cleanup(s.Close)
		return s
	}
	open, closed := serve(tls.NoClientCert), serve(tls.RequireAndVerifyClientCert)
	cert, key := ours.issue("grafana", x509.ExtKeyUsageClientAuth)
	otherCert, otherKey := strangers.issue("grafana", x509.ExtKeyUsageClientAuth)

	for _, c := range []struct {
		name     string
		server   *httptest.Server
		settings map[string]any
		secrets  map[string]string
		want     string // of the error; "" is an answer
	}{
		{"an authority that nobody told of", open, nil, nil, "failed to verify certificate"},
		{"its certificate, under another name", open, map[string]any{"tlsAuthWithCACert": true}, map[string]string{"tlsCACert": ours.pem}, "127.0.0.1"},
		{"its certificate and the server's name", open, map[string]any{"tlsAuthWithCACert": true, "serverName": "sluice.example.net"}, map[string]string{"tlsCACert": ours.pem}, ""},
		{"another name", open, map[string]any{"tlsAuthWithCACert": true, "serverName": "other.example.net"}, map[string]string{"tlsCACert": ours.pem}, "sluice.example.net"},
		{"another authority", open, map[string]any{"tlsAuthWithCACert": true, "serverName": "sluice.example.net"}, map[string]string{"tlsCACert": strangers.pem}, "unknown authority"},
		{"any certificate", open, map[string]any{"tlsSkipVerify": true}, nil, ""},
		{"no certificate of ours", closed, map[string]any{"tlsSkipVerify": true}, nil, "certificate"},
		{"a certificate of ours", closed, map[string]any{"tlsAuth": true, "tlsAuthWithCACert": true, "serverName": "sluice.example.net"},
			map[string]string{"tlsCACert": ours.pem, "tlsClientCert": cert, "tlsClientKey": key}, ""},
		{"a certificate of a stranger", closed, map[string]any{"tlsAuth": true, "tlsAuthWithCACert": true, "serverName": "sluice.example.net"},
			map[string]string{"tlsCACert": ours.pem, "tlsClientCert": otherCert, "tlsClientKey": otherKey}, "certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := datasource(t, c.server.URL, c.settings, c.secrets)
			response := ask(t, d, Query{Expr: "stats flows = count()", QueryType: Table})
			if c.want != "" {
				if response.Error == nil || !strings.Contains(response.Error.Error(), c.want) {
					t.Fatalf("%v", response.Error)
				}
				return
			}
			if response.Error != nil {
				t.Fatal(response.Error)
			}
			askAll(t, d)
		})
	}
	for name, secrets := range map[string]map[string]string{"no key": {"tlsClientCert": cert}, "the key of another": {"tlsClientCert": cert, "tlsClientKey": otherKey}, "nothing": {}, "no certificate": {"tlsClientCert": "x", "tlsClientKey": "y"}} {
		if _, err := New(context.Background(), backend.DataSourceInstanceSettings{URL: closed.URL, JSONData: []byte(`{"tlsAuth":true}`), DecryptedSecureJSONData: secrets}); err == nil {
			t.Errorf("%s: the settings are taken", name)
		}
	}
}

// What Grafana keeps of an answer is found again by what was asked: the same question asks the server the same, byte for byte, and makes the same frames.
func TestTheSameQuestionIsAskedAndAnsweredTheSame(t *testing.T) {
	var bodies []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies = append(bodies, r.URL.String()+string(body)+r.Header.Get("X-Request-Id"))
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"columns":[{"name":"ts","type":"timestamp"},{"name":"src_ip","type":"ip"},{"name":"dst_ip","type":"ip"},{"name":"n","type":"uint"}],"rows":[`+
			`["2025-11-20T10:00:00Z","10.0.0.1","10.0.0.9",3],["2025-11-20T10:00:00Z","10.0.0.2","10.0.0.9",3],["2025-11-20T10:10:00Z","10.0.0.3","10.0.0.8",3],["2025-11-20T10:10:00Z","10.0.0.1","10.0.0.7",3]],"keys":["src_ip","dst_ip"],"stats":{}}`)
	}))
	defer s.Close()
	variables := map[string]flowql.Variable{}
	expr := "from flows | where $__timeFilter"
	for i := range 12 {
		name := fmt.Sprintf("v%d", i)
		variables[name] = flowql.Variable{Values: []string{"10.0.0.1", "10.0.0.2"}}
		expr += " and src_ip in $" + name
	}
	q := Query{Expr: expr, Variables: variables, Filters: []flowql.Filter{{Key: "action", Operator: "=", Value: "reject"}, {Key: "app", Operator: "!=", Value: "x"}}}
	for _, kind := range []string{TimeSeries, Table, Logs, NodeGraph} {
		q.QueryType = kind
		var first string
		bodies = nil
		for range 8 {
			d := datasource(t, s.URL, nil, nil)
			response := ask(t, d, q)
			if response.Error != nil {
				t.Fatal(response.Error)
			}
			var all bytes.Buffer
			for _, frame := range response.Frames {
				encoded, err := data.FrameToJSON(frame, data.IncludeAll)
				if err != nil {
					t.Fatal(err)
				}
				all.Write(encoded)
			}
			if first == "" {
				first = all.String()
			}
			if all.String() != first || bodies[len(bodies)-1] != bodies[0] {
				t.Fatalf("%s: %s\n%s\nis not\n%s\n%s", kind, bodies[len(bodies)-1], all.String(), bodies[0], first)
			}
		}
	}
}

// Rules of alerts ask with a second between two points, whatever their range is.
func TestIntervalFitsTheRange(t *testing.T) {
	from := time.Date(2025, 11, 20, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct{ length, asked, want time.Duration }{
		{time.Hour, 10 * time.Second, 10 * time.Second},
		{time.Hour, time.Second, time.Second},
		{24 * time.Hour, time.Second, 10 * time.Second},
		{30 * 24 * time.Hour, time.Second, 5 * time.Minute},
		{365 * 24 * time.Hour, time.Minute, time.Hour},
		{time.Hour, 0, 500 * time.Millisecond},
		{0, 0, time.Millisecond},
	} {
		asked := backend.DataQuery{Interval: c.asked, TimeRange: backend.TimeRange{From: from, To: from.Add(c.length)}}
		if got := interval(asked); got != c.want {
			t.Errorf("%v in steps of %v: %v", c.length, c.asked, got)
		}
		asked.TimeRange.From, asked.TimeRange.To = asked.TimeRange.From.Add(37*time.Second), asked.TimeRange.To.Add(37*time.Second)
		if got := interval(asked); got != c.want {
			t.Errorf("%v later: %v", c.length, got)
		}
	}
}
