"""The comparison as a table: theirs, ours, the ratio, and whether the answers agree."""

import queries as q

BEGIN, END = "<!-- bench/compare begin -->", "<!-- bench/compare end -->"


def milliseconds(value):
    if value is None:
        return "-"
    if value >= 1000:
        return f"{value / 1000:.2f} s"
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms" if value >= 1 else f"{value:.2f} ms"


def rate(value):
    return f"{value / 1e6:.2f} M/s" if value >= 1e6 else f"{value / 1e3:.0f} k/s"


def ingest_cell(system, result):
    if result is None:
        return "-"
    ingest = result["ingest"]
    text = rate(ingest["rate"])
    if system == "duckdb":
        return text + " from CSV"
    return text + (" no loss" if ingest["lost"] == 0 else f", LOST {ingest['lost']:,}")


def bytes_cell(result):
    return "-" if result is None else " / ".join(f"{v:.1f} {k}" for k, v in result["bytes_per_flow"].items())


def agreement(query, results):
    """How the answers compare, in words; the first system with an answer is the measure."""
    answers = {}
    for system, result in results.items():
        found = result["queries"].get(query.name)
        if found is None or "error" in found or (system == "nfdump" and not query.nfdump_comparable):
            continue
        if result["ingest"].get("lost", 0) != 0:
            continue
        answers[system] = q.normal(found["answer"], query.types)
    if len(answers) < 2:
        return "not compared"
    base = "duckdb" if "duckdb" in answers else next(iter(answers))
    verdicts = {system: q.compare(query, answers[base], rows) for system, rows in answers.items() if system != base}
    if len(set(verdicts.values())) == 1:
        return next(iter(verdicts.values()))
    return "; ".join(f"{system} {verdict}" for system, verdict in verdicts.items())


def check_truth(queries, results, truth):
    """The generator's own counts against every system's answers."""
    wrong = []
    for name, needle in (("address", "common"), ("address_heavy", "heavy")):
        query = next(x for x in queries if x.name == name)
        expected = [(truth["needles"][needle]["flows"], truth["needles"][needle]["bytes"])]
        for system, result in results.items():
            found = result["queries"].get(name)
            if result["ingest"].get("lost", 0) != 0:
                continue  # said in the table: its answers cannot be right
            if found and "error" not in found and q.normal(found["answer"], query.types) != expected:
                wrong.append(f"{system} answers {name} with {found['answer']}, the truth is {expected}")
    return wrong


def table(run, queries, results, truth):
    systems = [s for s in ("nfdump", "duckdb") if s in results]
    ours = results.get("sluice")
    lines = [
        f"{run['flows']:,} flows (seed {run['seed']}), {run['date']}, commit {run['commit']}. {run['machine']}.",
        f"`{run['command']}`. " + ", ".join(f"{s} {results[s]['version']}" for s in systems) + ("" if not systems else ". ")
        + f"Load average at the start {run['load']}.",
        "",
    ]
    for name, reason in run["left_out"].items():
        lines.append(f"Left out: {name}: {reason}.")
    head = [f"{run['flows'] / 1e6:g} M flows"] + systems + ["Sluice", "to reach", "best other ÷ Sluice", "answers"]
    lines += ["", "| " + " | ".join(head) + " |", "| " + " | ".join(["---"] * len(head)) + " |"]

    def ratio(theirs, mine, more_is_better=False):
        theirs = [t for t in theirs if t]
        if not theirs or not mine:
            return "-"
        value = mine / max(theirs) if more_is_better else min(theirs) / mine
        return f"{value:.1f}" if value < 100 else f"{value:.0f}"

    sizes = [v for s in systems for v in results[s]["bytes_per_flow"].values()]
    lines.append("| " + " | ".join(["bytes per flow on disk"] + [bytes_cell(results[s]) for s in systems] + [
        bytes_cell(ours), "≤ 12, indexes included", ratio(sizes, ours and min(ours["bytes_per_flow"].values())), ""]) + " |")
    rates = [results[s]["ingest"]["rate"] for s in systems]
    lines.append("| " + " | ".join(["ingest"] + [ingest_cell(s, results[s]) for s in systems] + [
        ingest_cell("sluice", ours), "≥ 1.5 M/s, no loss, durable", ratio(rates, ours and ours["ingest"]["rate"], True), ""]) + " |")
    for query in queries:
        cells, theirs = [query.title], []
        for system in systems:
            found = results[system]["queries"].get(query.name)
            cells.append("-" if found is None else "ERROR" if "error" in found else milliseconds(found["median_ms"]))
            if found and "error" not in found:
                theirs.append(found["median_ms"])
        found = ours["queries"].get(query.name) if ours else None
        mine = found["median_ms"] if found and "error" not in found else None
        cells.append("ERROR" if found and "error" in found else milliseconds(mine))
        cells += [query.target, ratio(theirs, mine), agreement(query, results)]
        lines.append("| " + " | ".join(cells) + " |")
    lines.append("")
    for system in (*systems, "sluice"):
        for name, found in (results.get(system) or {"queries": {}})["queries"].items():
            if "error" in found:
                lines.append(f"- {system}, {name}: {found['error']}")
    for system in ("nfdump", "sluice"):
        attempts = (results.get(system) or {}).get("ingest", {}).get("attempts", [])
        if len(attempts) > 1:
            lines.append(f"- {system}, UDP rates tried: " + "; ".join(f"{rate(a['asked'])} asked, {rate(a['rate'])} reached, {a['lost']:,} lost" for a in attempts) + ".")
    if ours and ours.get("memory_mb"):
        lines.append(f"- sluice: the whole data folder has {ours['folder_bytes'] / 1e6:.0f} MB, of them {ours['journal_bytes'] / 1e6:.0f} MB are the catalogue and the "
                     "journal's last pieces, which do not grow with the rows.")
        lines.append(f"- sluice: {ours['memory_mb']:.0f} MB resident after the queries; flush took {ours['flush_seconds']:.1f} s"
                     + (f", compact {ours['compact_seconds']:.1f} s" if "compact_seconds" in ours else "") + ".")
    for system in systems + ["sluice"]:
        lost = (results.get(system) or {"ingest": {}})["ingest"].get("lost", 0)
        if lost:
            lines.append(f"- {system}: {lost:,} flows were lost at the lowest rate tried, so its answers are not compared. Give lower --rates.")
    for text in check_truth(queries, results, truth):
        lines.append(f"- WRONG ANSWER: {text}.")
    return "\n".join(lines).rstrip() + "\n"


def write_section(path, text):
    """Puts the table between its marks in RESULTS.md and leaves the rest of that file alone."""
    section = f"{BEGIN}\n{text}{END}"
    old = path.read_text() if path.exists() else "# Results\n\nMeasured by the programs of this folder; ratios within one run are what counts.\n\n## Beside other systems\n\n" + f"{BEGIN}\n{END}\n"
    if BEGIN in old and END in old:
        before, rest = old.split(BEGIN, 1)
        new = before + section + rest.split(END, 1)[1]
    else:
        new = old.rstrip() + "\n\n## Beside other systems\n\n" + section + "\n"
    path.write_text(new)
