package sluice

import "time"

// Every bound of what is taken from the server, and what happens at it.
const (
	// One answer as it comes. Beyond it the query fails with the number: a panel that wants more wants an aggregate.
	AnswerBytesMax = 256 << 20
	// Rows asked for unless a query says otherwise, and the most it may say. The server cuts there and says so in a warning.
	RowsDefault = 10_000
	RowsMax     = 100_000
	// Columns of one answer. No flow has so many; more is refused.
	ColumnsMax = 1024
	// The text of an error page that is no answer of the server's (a proxy's), as shown.
	ErrorTextBytesMax = 512
	// One event of a stream; a longer one ends the stream with an error.
	EventBytesMax = 1 << 20
	// Longest time for one question of the editor (validate, complete, schema): past it, typing on is better than waiting.
	EditorTimeout = 5 * time.Second
)
