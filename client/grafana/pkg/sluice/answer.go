package sluice

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Type of a column, as docs/http.md names them.
type Type string

const (
	Uint      Type = "uint"
	Int       Type = "int"
	Float     Type = "float"
	Bool      Type = "bool"
	Text      Type = "string"
	IP        Type = "ip"
	MAC       Type = "mac"
	Timestamp Type = "timestamp"
	Duration  Type = "duration" // milliseconds
	Flags     Type = "flags"
	List      Type = "list<string>"
	Map       Type = "map<string>"
)

// Column of an answer. Exactly one of the slices is filled, by type; all have one entry a row, nil for null.
type Column struct {
	Name string `json:"name"`
	Type Type   `json:"type"`
	Unit string `json:"unit"`

	Uints  []*uint64    `json:"-"` // Uint
	Ints   []*int64     `json:"-"` // Int
	Floats []*float64   `json:"-"` // Float, Duration
	Bools  []*bool      `json:"-"` // Bool
	Times  []*time.Time `json:"-"` // Timestamp
	Texts  []*string    `json:"-"` // everything else; lists joined by ", ", maps as JSON
}

// IsNumber: can be drawn as a line.
func (c *Column) IsNumber() bool {
	switch c.Type {
	case Uint, Int, Float, Duration:
		return true
	}
	return false
}

// Number is a row's value as a float; nil for null and for what is no number.
func (c *Column) Number(row int) *float64 {
	var v float64
	switch {
	case c.Uints != nil && c.Uints[row] != nil:
		v = float64(*c.Uints[row])
	case c.Ints != nil && c.Ints[row] != nil:
		v = float64(*c.Ints[row])
	case c.Floats != nil && c.Floats[row] != nil:
		v = *c.Floats[row]
	default:
		return nil
	}
	return &v
}

// Label is a row's value as text; "" and false for null.
func (c *Column) Label(row int) (string, bool) {
	switch {
	case c.Uints != nil && c.Uints[row] != nil:
		return strconv.FormatUint(*c.Uints[row], 10), true
	case c.Ints != nil && c.Ints[row] != nil:
		return strconv.FormatInt(*c.Ints[row], 10), true
	case c.Floats != nil && c.Floats[row] != nil:
		return strconv.FormatFloat(*c.Floats[row], 'g', -1, 64), true
	case c.Bools != nil && c.Bools[row] != nil:
		return strconv.FormatBool(*c.Bools[row]), true
	case c.Times != nil && c.Times[row] != nil:
		return c.Times[row].UTC().Format(time.RFC3339Nano), true
	case c.Texts != nil && c.Texts[row] != nil:
		return *c.Texts[row], true
	}
	return "", false
}

// Range that an answer covers; zero times where it has no bound.
type Range struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Answer of one query.
type Answer struct {
	Columns  []*Column
	Rows     int
	Range    *Range
	Warnings []string
	Stats    map[string]json.Number
	Render   string
	Keys     []string // columns that are keys of the query's last grouping; nil where the answer does not say
}

// Column by its name, or nil.
func (a *Answer) Column(name string) *Column {
	for _, c := range a.Columns {
		if c.Name == name {
			return c
		}
	}
	return nil
}

var errTooLarge = fmt.Errorf("the answer is larger than %d MiB: ask for fewer rows or an aggregate", AnswerBytesMax>>20)

// boundedReader ends with an error where io.LimitReader would end as if the answer did.
type boundedReader struct {
	r    io.Reader
	left int64
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLarge
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, err
}

// ReadAnswer reads the JSON form of an answer. Rows are read one by one into columns, so the text is never held whole.
// An error that came behind the first rows is returned as *Error: half an answer is none.
func ReadAnswer(r io.Reader) (*Answer, error) {
	answer := &Answer{}
	decoder := json.NewDecoder(&boundedReader{r, AnswerBytesMax})
	decoder.UseNumber()
	if err := expect(decoder, '{'); err != nil {
		return nil, err
	}
	complete := false
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil, broken(err)
		}
		switch key {
		case "columns":
			err = decoder.Decode(&answer.Columns)
			if err == nil && len(answer.Columns) > ColumnsMax {
				err = fmt.Errorf("the answer has %d columns: the limit is %d", len(answer.Columns), ColumnsMax)
			}
		case "rows":
			err = answer.readRows(decoder)
		case "range":
			err = decoder.Decode(&answer.Range)
		case "warnings":
			err = decoder.Decode(&answer.Warnings)
		case "stats":
			complete = true
			err = decoder.Decode(&answer.Stats)
		case "render":
			err = decoder.Decode(&answer.Render)
		case "keys":
			err = decoder.Decode(&answer.Keys)
		case "error":
			told := &Error{}
			if err = decoder.Decode(told); err == nil {
				return nil, told
			}
		default: // what a newer server adds
			var ignored json.RawMessage
			err = decoder.Decode(&ignored)
		}
		if err != nil {
			return nil, broken(err)
		}
	}
	if err := expect(decoder, '}'); err != nil {
		return nil, err
	}
	if !complete {
		return nil, errors.New("the answer ends without its account: it is not whole")
	}
	return answer, nil
}

func broken(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the answer was cut off: the connection or the query ended before it did")
	}
	return err
}

func expect(decoder *json.Decoder, want json.Delim) error {
	token, err := decoder.Token()
	if err != nil {
		return broken(err)
	}
	if token != want {
		return fmt.Errorf("the answer is no query's answer: %v where %v should be", token, want)
	}
	return nil
}

func (a *Answer) readRows(decoder *json.Decoder) error {
	if err := expect(decoder, '['); err != nil {
		return err
	}
	for decoder.More() {
		var row []any
		if err := decoder.Decode(&row); err != nil {
			return err
		}
		if len(row) != len(a.Columns) {
			return fmt.Errorf("row %d of the answer has %d values for %d columns", a.Rows+1, len(row), len(a.Columns))
		}
		for i, value := range row {
			if err := a.Columns[i].add(value); err != nil {
				return fmt.Errorf("row %d of the answer, column %s: %w", a.Rows+1, a.Columns[i].Name, err)
			}
		}
		a.Rows++
	}
	if err := expect(decoder, ']'); err != nil {
		return err
	}
	for _, c := range a.Columns {
		c.settle()
	}
	return nil
}

// settle makes the slice of the column's type exist also without rows.
func (c *Column) settle() {
	switch {
	case c.Type == Uint && c.Uints == nil:
		c.Uints = []*uint64{}
	case c.Type == Int && c.Ints == nil:
		c.Ints = []*int64{}
	case (c.Type == Float || c.Type == Duration) && c.Floats == nil:
		c.Floats = []*float64{}
	case c.Type == Bool && c.Bools == nil:
		c.Bools = []*bool{}
	case c.Type == Timestamp && c.Times == nil:
		c.Times = []*time.Time{}
	case c.Uints == nil && c.Ints == nil && c.Floats == nil && c.Bools == nil && c.Times == nil && c.Texts == nil:
		c.Texts = []*string{}
	}
}

func (c *Column) add(value any) error {
	switch c.Type {
	case Uint:
		if value == nil {
			c.Uints = append(c.Uints, nil)
			return nil
		}
		v, err := strconv.ParseUint(number(value), 10, 64)
		c.Uints = append(c.Uints, &v)
		return err
	case Int:
		if value == nil {
			c.Ints = append(c.Ints, nil)
			return nil
		}
		v, err := strconv.ParseInt(number(value), 10, 64)
		c.Ints = append(c.Ints, &v)
		return err
	case Float, Duration:
		if value == nil {
			c.Floats = append(c.Floats, nil)
			return nil
		}
		v, err := strconv.ParseFloat(number(value), 64)
		c.Floats = append(c.Floats, &v)
		return err
	case Bool:
		if value == nil {
			c.Bools = append(c.Bools, nil)
			return nil
		}
		v, ok := value.(bool)
		if !ok {
			return fmt.Errorf("%v is neither true nor false", value)
		}
		c.Bools = append(c.Bools, &v)
		return nil
	case Timestamp:
		if value == nil {
			c.Times = append(c.Times, nil)
			return nil
		}
		written, _ := value.(string)
		v, err := time.Parse(time.RFC3339Nano, written)
		v = v.UTC()
		c.Times = append(c.Times, &v)
		return err
	}
	if value == nil {
		c.Texts = append(c.Texts, nil)
		return nil
	}
	v := textOf(value)
	c.Texts = append(c.Texts, &v)
	return nil
}

func number(value any) string {
	if n, ok := value.(json.Number); ok {
		return n.String()
	}
	return fmt.Sprint(value)
}

func textOf(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = textOf(item)
		}
		return strings.Join(items, ", ")
	case map[string]any:
		keys := make([]string, 0, len(v))
		for key := range v {
			keys = append(keys, key)
		}
		sort.Strings(keys)
		var out strings.Builder
		out.WriteByte('{')
		for i, key := range keys {
			if i > 0 {
				out.WriteByte(',')
			}
			name, _ := json.Marshal(key)
			content, _ := json.Marshal(textOf(v[key]))
			out.Write(name)
			out.WriteByte(':')
			out.Write(content)
		}
		out.WriteByte('}')
		return out.String()
	}
	return fmt.Sprint(value)
}
