// How FlowQL is coloured. Colours only: what is right and wrong the server says (see editor.ts).
import { StreamLanguage, type StreamParser } from "@codemirror/language";

// test/unit.test.ts holds these against the grammar's own lists.
export const stages = new Set(
  ("from where extend select drop rename stats top timeseries sort limit tail sample distinct render join lookup stitch dedup compare baseline " +
    "absent beacons sequence first_seen reach sessions show explain analyze create replace alter replay rule list table test enable disable").split(" "),
);
export const words = new Set(
  ("and or not in between is has contains starts_with ends_with matches by as of asc desc nulls first with others every limit fill spread window slide session gap " +
    "last since at active on within lookback over for then min modifiers threats to hops expected seasonal prefix using inner left semi anti null true false").split(" "),
);
// With a bracket behind them the others name a function, as min and first do.
const beforeBrackets = new Set("and or not in between has contains starts_with ends_with matches by on of over inner left semi anti".split(" "));

interface State {
  comment: boolean;
  head: boolean; // a stage's name may come
}

export const parser: StreamParser<State> = {
  name: "flowql",
  startState: () => ({ comment: false, head: true }),
  token(stream, state) {
    if (state.comment) {
      if (stream.skipTo("*/")) {
        stream.match("*/");
        state.comment = false;
      } else {
        stream.skipToEnd();
      }
      return "comment";
    }
    if (stream.eatSpace()) return null;
    if (stream.match("--") || stream.match("//")) {
      stream.skipToEnd();
      return "comment";
    }
    if (stream.match("/*")) {
      state.comment = true;
      return "comment";
    }
    if (stream.match("|")) {
      state.head = true;
      return "operator";
    }
    const head = state.head;
    state.head = false;
    if (stream.match(/^"(?:[^"\\]|\\.)*"?/) || stream.match(/^'(?:[^'\\]|\\.)*'?/)) return "string";
    if (stream.match(/^`[^`]*`?/)) return "variableName";
    if (stream.match(/^[$@][A-Za-z_][\w]*/)) return "variableName.special";
    // Addresses, blocks, MAC addresses, times, durations, sizes and numbers.
    if (stream.match(/^[0-9a-fA-F]*:[0-9a-fA-F:.]*[0-9a-fA-F:](?:\/\d+)?/) || stream.match(/^\d{4}-\d\d-\d\d[\dT:.Z+-]*/) || stream.match(/^\d[\w.]*(?:\/\d+)?/)) return "number";
    if (stream.match(/^\/(?:[^/\\\n]|\\.)+\/i?/)) return "regexp";
    if (stream.match(/^[A-Za-z_][\w.]*/)) {
      const word = stream.current().toLowerCase();
      // `flows = count()` and `limit == 5` name something of the query's own.
      if (stream.match(/^\s*(?:[=<>]|!=)/, false)) return "variableName";
      if (head && stages.has(word)) return "keyword";
      if (stream.match(/^\s*\(/, false)) return beforeBrackets.has(word) ? "operatorKeyword" : "variableName.function";
      return words.has(word) || stages.has(word) ? "operatorKeyword" : "variableName";
    }
    stream.next();
    return /[=<>!+*\-%&]/.test(stream.current()) ? "operator" : null;
  },
};

export const flowql = StreamLanguage.define({
  ...parser,
  tokenTable: {},
  languageData: { commentTokens: { line: "--" }, closeBrackets: { brackets: ["(", "[", "{", '"'] } },
});
