package plugin

import "time"

// Every bound of the data source itself, and what happens at it.
const (
	// Queries of one request that run at the same time; the others wait. The server has its own bound over all clients (503).
	QueriesAtOnce = 4
	// Steps of a time range that $__interval makes at most: a rule's query says a second whatever its range is, and a second of a month is no chart.
	IntervalsMax = 10_000
	// Time that one query may take on the server, unless the settings say otherwise.
	QueryTimeout = 60 * time.Second
	// Values suggested for a filter, and the flows that the first list is made of: a list opens under the hand, and so many are counted in some
	// milliseconds, whatever the range holds. Where there are more, all of them are asked behind it, for whoever opens the list next.
	SuggestionsMax = 200
	SuggestionRows = 50_000
	// As many as may be asked for: what a list of a variable takes.
	SuggestionsAskedMax = 1_000
	// Filters that few flows meet are looked for in all of them. After so long the end of the range is asked beside, and what it has is the first list;
	// not in ranges that are shorter than this, whose end has little of them.
	SuggestionPatience = 50 * time.Millisecond
	SuggestionCutFrom  = 6 * time.Hour
	// The time in which values must come, and the columns: past it, the end of the range alone is asked.
	SuggestionTimeout = 3 * time.Second
	// Lists that are made whole at the same time; further ones stay as they are until somebody asks again.
	SuggestionsBehind = 2
	// How long suggestions and the list of columns are kept, and how many of them. Full, all are let go.
	SuggestionAge  = 30 * time.Second
	SuggestionKeep = 500
	// Bytes of a request to a resource; larger ones are refused with 413.
	ResourceBytesMax = 2 << 20
	// How much of a line stands above the mark of an error, in characters: what fits an alert of the editor. A longer line is cut around its mark.
	CaretWidth = 100
	// Lines of a log unless the query says otherwise.
	LogLines = 1_000
	// A live tail shows at most so many rows a second; what is beyond is counted in a line of its own.
	TailRowsPerSecond = 500
	// How often rows of a live tail are sent to browsers.
	TailFlush = 250 * time.Millisecond
	// Pauses before a lost stream is asked for again: the first, and the longest.
	TailRetryMin = 1 * time.Second
	TailRetryMax = 30 * time.Second
)
