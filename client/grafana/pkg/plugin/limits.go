package plugin

import "time"

// Every bound of the data source itself, and what happens at it.
const (
	// Queries of one request that run at the same time; the others wait. The server has its own bound over all clients (503).
	QueriesAtOnce = 4
	// Time that one query may take on the server, unless the settings say otherwise.
	QueryTimeout = 60 * time.Second
	// Values suggested for a filter or a variable, and the time in which they must come: past it, the end of the range alone is asked.
	SuggestionsMax    = 200
	SuggestionTimeout = 3 * time.Second
	// How long suggestions and the list of columns are kept, and how many of them. Full, all are let go.
	SuggestionAge  = 30 * time.Second
	SuggestionKeep = 500
	// Bytes of a request to a resource; larger ones are refused with 413.
	ResourceBytesMax = 2 << 20
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
