// Package sluice asks a Sluice server over HTTP (docs/http.md is the contract) and reads its answers.
package sluice

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client is safe for concurrent use.
type Client struct {
	base *url.URL
	http *http.Client
	// Without a time limit of its own, for what never ends.
	streaming *http.Client
	headers   http.Header
	params    url.Values
}

// NewClient: the URL of the server, with a path if a proxy wants one. `headers`, and `params` of the URL, go with every request.
func NewClient(base string, client, streaming *http.Client, headers http.Header, params url.Values) (*Client, error) {
	u, err := url.Parse(strings.TrimRight(strings.TrimSpace(base), "/"))
	if err != nil {
		return nil, fmt.Errorf("the URL of the server: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("the URL of the server is %q, and wants to be like http://127.0.0.1:8080", base)
	}
	return &Client{base: u, http: client, streaming: streaming, headers: headers, params: params}, nil
}

// Call is one question. From and To narrow the query's own range; zero times leave it alone.
type Call struct {
	Query    string
	Params   map[string]any
	From, To time.Time
	Limit    int
	Timeout  time.Duration
	ID       string // for X-Request-Id; "" lets the server choose
}

// Error is the server's own word on what is wrong.
type Error struct {
	Status  int    `json:"-"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Offset  int    `json:"offset"`
	Length  int    `json:"length"`
	Hint    string `json:"hint"`
	Caret   string `json:"caret"`
}

func (e *Error) Error() string {
	text := e.Message
	if e.Line > 0 {
		text += fmt.Sprintf(" (line %d, column %d)", e.Line, e.Column)
	}
	if e.Hint != "" {
		text += ": " + e.Hint
	}
	if e.Caret != "" {
		text += "\n" + strings.TrimRight(e.Caret, "\n")
	}
	return text
}

func (c *Client) request(ctx context.Context, method, path string, body any) (*http.Request, error) {
	var reader io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		reader = bytes.NewReader(encoded)
	}
	u := *c.base
	at, query, _ := strings.Cut(path, "?")
	u.Path += at
	u.RawQuery = query
	if len(c.params) > 0 {
		if query != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += c.params.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, u.String(), reader)
	if err != nil {
		return nil, err
	}
	for key, values := range c.headers {
		request.Header[key] = values
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	request.Header.Set("Accept", "application/json")
	return request, nil
}

// Query runs one and reads its answer whole. A *Error is what the server said; other errors are of the way there.
func (c *Client) Query(ctx context.Context, call Call) (*Answer, error) {
	body := map[string]any{"query": call.Query}
	if len(call.Params) > 0 {
		body["params"] = call.Params
	}
	if !call.From.IsZero() {
		body["from"] = call.From.UTC().Format(time.RFC3339Nano)
	}
	if !call.To.IsZero() {
		body["to"] = call.To.UTC().Format(time.RFC3339Nano)
	}
	if call.Limit > 0 {
		body["limit"] = min(call.Limit, RowsMax)
	}
	if call.Timeout > 0 {
		body["timeout_ms"] = max(call.Timeout.Milliseconds(), 1)
	}
	request, err := c.request(ctx, http.MethodPost, "/v1/query", body)
	if err != nil {
		return nil, err
	}
	if call.ID != "" {
		request.Header.Set("X-Request-Id", call.ID)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, plainError(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, errorOf(response)
	}
	if kind := response.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") {
		return nil, fmt.Errorf("the answer is %q and no JSON: is the URL that of a Sluice server?", kind)
	}
	return ReadAnswer(response.Body)
}

// Forward sends a body to one of the editor's routes and returns the answer as it is.
func (c *Client) Forward(ctx context.Context, method, path string, body any) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, EditorTimeout)
	defer cancel()
	request, err := c.request(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, plainError(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, errorOf(response)
	}
	text, err := readBounded(response.Body, AnswerBytesMax)
	if err != nil {
		return nil, err
	}
	if !json.Valid(text) {
		return nil, errors.New("the answer is no JSON: is the URL that of a Sluice server?")
	}
	return text, nil
}

func readBounded(r io.Reader, bytesMax int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, bytesMax+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > bytesMax {
		return nil, fmt.Errorf("the answer is larger than %d MiB: ask for fewer rows or an aggregate", bytesMax>>20)
	}
	return text, nil
}

// plainError leaves out what a person knows already: the method and the URL.
func plainError(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		if wrapped.Timeout() {
			return fmt.Errorf("the server did not answer in time: %w", wrapped.Err)
		}
		return fmt.Errorf("the server cannot be reached: %w", wrapped.Err)
	}
	return err
}

func errorOf(response *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	var body struct {
		Error *Error `json:"error"`
	}
	if json.Unmarshal(text, &body) == nil && body.Error != nil && body.Error.Message != "" {
		body.Error.Status = response.StatusCode
		return body.Error
	}
	shown := strings.TrimSpace(string(text))
	if len(shown) > ErrorTextBytesMax {
		shown = strings.ToValidUTF8(shown[:ErrorTextBytesMax], "") + " …"
	}
	return &Error{Status: response.StatusCode, Code: "http", Message: strings.TrimSpace(response.Status + " " + shown)}
}
