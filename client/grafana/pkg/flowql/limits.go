package flowql

// Every bound of what a query may bring with it, and what happens at it.
const (
	// The server reads at most 1 MiB of text; a longer one is refused here, with the same words.
	QueryBytesMax = 1 << 20
	// Values of one variable. A list of choices beyond this is no choice any more (that is what `All` is for): the query is refused.
	VariableValuesMax = 10_000
	// Filters chosen above a dashboard. More than fit on a screen are refused.
	AdHocFiltersMax = 64
	// Macros inside a macro's arguments ($__conditionalAll(… $__timeFilter(…) …)). Deeper ones are refused.
	MacroDepthMax = 8
)
