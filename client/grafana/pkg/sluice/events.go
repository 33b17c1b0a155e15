package sluice

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Event of a stream (WHATWG HTML, "Server-sent events").
type Event struct {
	Name string // "" is "message"
	ID   string
	Data []byte
}

// Stream asks a route that answers with events and calls `each` for every one, in the order in which they come, until the stream or the
// context ends or `each` fails. `lastID` says where a stream that was lost goes on; "" begins anew.
func (c *Client) Stream(ctx context.Context, path string, query url.Values, lastID string, each func(Event) error) error {
	request, err := c.request(ctx, http.MethodGet, path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "text/event-stream")
	if lastID != "" {
		request.Header.Set("Last-Event-ID", lastID)
	}
	response, err := c.streaming.Do(request)
	if err != nil {
		return plainError(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errorOf(response)
	}
	if kind := response.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/event-stream") {
		return fmt.Errorf("the answer is %q and no stream of events", kind)
	}
	return readEvents(response.Body, each)
}

func readEvents(r io.Reader, each func(Event) error) error {
	reader := bufio.NewReaderSize(r, 64<<10)
	var event Event
	size := 0
	hasData := false
	for {
		line, err := reader.ReadSlice('\n')
		long := append([]byte(nil), line...)
		for errors.Is(err, bufio.ErrBufferFull) && len(long) <= EventBytesMax {
			line, err = reader.ReadSlice('\n')
			long = append(long, line...)
		}
		if size += len(long); size > EventBytesMax {
			return fmt.Errorf("an event of the stream is larger than %d bytes", EventBytesMax)
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil // an event without its empty line is not whole, and is left out as the standard says
			}
			return plainError(err)
		}
		long = bytes.TrimRight(long, "\r\n")
		if len(long) == 0 {
			if hasData {
				if err := each(event); err != nil {
					return err
				}
			}
			event = Event{ID: event.ID}
			size, hasData = 0, false
			continue
		}
		field, value, _ := bytes.Cut(long, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			event.Name = string(value)
		case "id":
			event.ID = string(value)
		case "data":
			if hasData {
				event.Data = append(event.Data, '\n')
			}
			event.Data = append(event.Data, value...)
			hasData = true
		}
	}
}

// ReadRows makes an answer of rows that came as JSON objects. `types` gives the types of columns by their names; what it does not
// know is text, or a number where all its values are.
func ReadRows(rows []json.RawMessage, types map[string]Type) (*Answer, error) {
	answer := &Answer{}
	byName := map[string]*Column{}
	read := make([]map[string]any, 0, len(rows))
	for _, raw := range rows {
		var row map[string]any
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.UseNumber()
		if err := decoder.Decode(&row); err != nil {
			return nil, fmt.Errorf("a row of the stream cannot be read: %w", err)
		}
		read = append(read, row)
		// In the order of the text, which is that of the query's columns.
		names := json.NewDecoder(bytes.NewReader(raw))
		if _, err := names.Token(); err != nil {
			return nil, err
		}
		for names.More() {
			name, err := names.Token()
			if err != nil {
				return nil, err
			}
			var value json.RawMessage
			if err := names.Decode(&value); err != nil {
				return nil, err
			}
			column, known := byName[name.(string)]
			if !known {
				if len(answer.Columns) == ColumnsMax {
					return nil, fmt.Errorf("rows of the stream have more than %d columns", ColumnsMax)
				}
				column = &Column{Name: name.(string), Type: types[name.(string)]}
				byName[column.Name] = column
				answer.Columns = append(answer.Columns, column)
			}
			if isNumber := len(value) > 0 && (value[0] == '-' || value[0] >= '0' && value[0] <= '9'); column.Type == "" && isNumber {
				column.Type = Float
			} else if !isNumber && column.Type == Float && types[column.Name] == "" && string(value) != "null" {
				column.Type = Text
			}
		}
	}
	for _, c := range answer.Columns {
		if c.Type == "" {
			c.Type = Text
		}
		for i, row := range read {
			if err := c.add(row[c.Name]); err != nil {
				return nil, fmt.Errorf("row %d of the stream, column %s: %w", i+1, c.Name, err)
			}
		}
		c.settle()
	}
	answer.Rows = len(read)
	return answer, nil
}
