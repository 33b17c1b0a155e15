package frames

// Every bound of what is drawn. What is beyond is left out and a notice says how much.
const (
	// Lines of one panel. Browsers draw a few hundred; a query that yields more wants `limit N` behind its keys.
	SeriesMax = 500
	// Points of one panel, over all its lines.
	PointsMax = 2_000_000
	// Arrows and circles of a graph; beyond, it is a ball of wool and the browser stands still.
	EdgesMax = 1_000
	// Labels of one line of a log, and bytes of one label's value: flows have some ninety columns and free text.
	LabelBytesMax = 1_024
)
