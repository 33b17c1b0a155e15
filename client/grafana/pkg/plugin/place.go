package plugin

import (
	"errors"
	"strings"
	"unicode/utf8"

	"sluice/client/grafana/pkg/flowql"
	"sluice/client/grafana/pkg/sluice"
)

// asWritten leads an error back to the text that the asker knows: the server's places are in the text with macros and filters put in, which
// nobody wrote. An error without a place stays as it is.
func asWritten(err error, written string, expanded *flowql.Expanded) error {
	var told *sluice.Error
	var own *flowql.ExpandError
	switch {
	case errors.As(err, &told) && told.Line > 0 && expanded != nil:
		start, length := expanded.Origin(told.Offset, told.Length)
		return placed(*told, written, start, length)
	case errors.As(err, &own):
		return placed(sluice.Error{Message: own.Message}, written, own.Offset, own.Length)
	}
	return err
}

func placed(e sluice.Error, text string, offset, length int) *sluice.Error {
	offset = min(max(offset, 0), len(text))
	length = min(max(length, 0), len(text)-offset)
	begin := strings.LastIndexByte(text[:offset], '\n') + 1
	line, _, _ := strings.Cut(text[begin:], "\n")
	e.Offset, e.Length = offset, length
	e.Line = strings.Count(text[:begin], "\n") + 1
	e.Column = utf8.RuneCountInString(text[begin:offset]) + 1
	// In characters from here on: a mark stands below the character that it means.
	shown, at := []rune(strings.ReplaceAll(line, "\t", " ")), e.Column-1
	marked := max(utf8.RuneCountInString(text[offset:min(offset+length, begin+len(line))]), 1)
	if len(shown) > CaretWidth {
		cut := max(min(at-CaretWidth/2, len(shown)-CaretWidth), 0)
		shown = shown[cut:min(cut+CaretWidth, len(shown))]
		at -= cut
		if cut > 0 {
			shown[0] = '…'
		}
		if cut+CaretWidth < len([]rune(line)) {
			shown[len(shown)-1] = '…'
		}
		marked = max(min(marked, CaretWidth-at), 1)
	}
	e.Caret = string(shown) + "\n" + strings.Repeat(" ", at) + "^" + strings.Repeat("~", marked-1)
	return &e
}
