// The client's bounds, and what happens where one is met. Those of uploads stand in upload.cc, which alone knows them.
#pragma once

#include <cstddef>

namespace sluice::client::limits {

// Questions kept in the history file; the oldest goes. Some months of a busy person, read at each start in a millisecond.
inline constexpr int kHistoryEntries = 2'000;

// Bytes of a typed text that are coloured and searched for a suggestion with every key; longer ones (a pasted list of addresses) are drawn
// plain, so that typing into them stays quick.
inline constexpr size_t kColouredBytes = 64u << 10;

// Lines that completions take below the line being typed; the rest are counted.
inline constexpr size_t kCompletionLines = 12;

// Terminals of so many cells or fewer get texts unbroken: between the edges of such a one no words are left together anyway.
inline constexpr size_t kWrapCellsMin = 20;
// Cells of a question's line that are shown above a caret where nothing says how wide the reader's window is.
inline constexpr size_t kPointedCells = 112;

// Series of a time chart that are drawn, the greatest first; the rest are counted. More lines are no picture.
inline constexpr size_t kChartSeries = 20;
// Lines of a chart of one series.
inline constexpr size_t kChartLines = 8;
// Rows of an answer that is drawn: it is held whole, some 60 bytes a cell, before its first line is shown. Questions are asked with it as their
// limit, and an answer that has more says so and how to have all (csv, ndjson and \export stream). A terminal has some 200 columns, so it is
// points enough for a chart as well.
inline constexpr size_t kDrawnRows = 100'000;

// Rows of the last answer that are kept for \chart; of a longer one \chart asks again.
inline constexpr size_t kAnswerRowsKept = 10'000;

// Bytes of one event of a stream (the server sends at most 500 rows in one). A longer one ends the stream with an error: whoever sends it is
// no Sluice server, and reading on would only fill memory.
inline constexpr size_t kEventBytes = 32u << 20;

// The server says every 15 s that it lives (docs/http.md). After so long without a word the stream is asked for again.
inline constexpr long kStreamSilenceSeconds = 40;
// Between attempts to come back to a stream: doubled from one second to this.
inline constexpr int kStreamRetrySecondsMax = 30;

// \watch asks at most this often, so that a mistyped number is no load test.
inline constexpr double kWatchSecondsMin = 0.2;
inline constexpr double kWatchSecondsMax = 86'400;

}  // namespace sluice::client::limits
