"""The ten questions of the comparison, in each system's words, and how answers are made alike.

A row of an answer is a tuple of `types`: ip (dotted text), int, time (milliseconds since the epoch), protocol (number).
"""

import ipaddress
from dataclasses import dataclass, field
from datetime import datetime, timezone

PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmp6": 58, "ipv6-icmp": 58}


@dataclass
class Query:
    name: str
    title: str
    types: list  # of the answer's columns
    columns: list  # their names in Sluice's answer; a name that is not there stands for the one column left
    flowql: str
    sql: str
    nfdump: list | None = None  # arguments after `nfdump -R DIR`; None: nfdump cannot say it
    nfdump_shape: str = ""  # csv: a -s statistic; sum: the summary of one; fmt: `a|b|c` lines
    nfdump_columns: list = field(default_factory=list)  # csv: columns to take
    nfdump_comparable: bool = True
    target: str = ""
    tolerance: float = 0.0  # of numbers, for quantiles
    ordered: bool = False


def number(ip):
    return int(ipaddress.IPv4Address(ip))


def dotted(value):
    text = str(value)
    return text if "." in text or ":" in text else str(ipaddress.IPv4Address(int(text)))


def to_ms(text):
    """A time as milliseconds: a number already, or RFC 3339."""
    text = str(text)
    if text.lstrip("-").isdigit():
        return int(text)
    whole, _, fraction = text.rstrip("Z").replace(" ", "T").partition(".")
    seconds = datetime.fromisoformat(whole).replace(tzinfo=timezone.utc).timestamp()
    return int(seconds) * 1000 + int((fraction + "000")[:3])


def normal(rows, types):
    """Rows of any system as comparable tuples."""
    convert = {
        "ip": dotted,
        "int": lambda v: int(round(float(v))) if not str(v).lstrip("-").isdigit() else int(v),
        "time": to_ms,
        "protocol": lambda v: PROTOCOLS.get(str(v).strip().lower()) or int(v),
    }
    return [tuple(convert[t](v) for t, v in zip(types, row)) for row in rows]


def compare(query, ours, theirs):
    """'equal', 'equal but for ties', 'within N %', or what differs."""
    if sorted(ours) == sorted(theirs):
        return "equal"
    if len(ours) != len(theirs):
        return f"DIFFERENT: {len(ours)} rows, {len(theirs)} rows"
    keys = [i for i, t in enumerate(query.types) if t != "int"]
    values = [i for i, t in enumerate(query.types) if t == "int"]
    if query.tolerance and values:
        a = {tuple(r[i] for i in keys): [r[i] for i in values] for r in ours}
        b = {tuple(r[i] for i in keys): [r[i] for i in values] for r in theirs}
        if a.keys() == b.keys() and all(
            abs(x - y) <= max(1, query.tolerance * max(abs(x), abs(y))) for k in a for x, y in zip(a[k], b[k])
        ):
            return f"within {query.tolerance:.0%}"
    if values and sorted(tuple(r[i] for i in values) for r in ours) == sorted(tuple(r[i] for i in values) for r in theirs):
        return "equal but for ties"
    only_ours = sorted(set(ours) - set(theirs))[:1]
    only_theirs = sorted(set(theirs) - set(ours))[:1]
    return f"DIFFERENT: {only_ours} and {only_theirs}"


def queries(truth):
    """The questions about one generated set of flows, which truth.json describes."""
    needles = truth["needles"]
    common, heavy, rare = (needles[n]["ip"] for n in ("common", "heavy", "rare"))
    block = ipaddress.IPv4Network(truth["dns_block"])
    first, last = int(block.network_address), int(block.broadcast_address)
    end_ms = to_ms(truth["start"]) + 67 * 60_000
    begin_ms = end_ms - 5 * 60_000

    def iso(ms):
        return datetime.fromtimestamp(ms / 1000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

    def nf_time(ms):
        return datetime.fromtimestamp(ms / 1000, timezone.utc).strftime("%Y/%m/%d.%H:%M:%S")

    def one_address(name, title, ip, target):
        return Query(
            name, title, ["int", "int"], ["flows", "total"],
            f"from flows | where ip == {ip} | stats flows = count(), total = sum(bytes)",
            f"select count(*), sum(bytes) from flows where src_ip = {number(ip)} or dst_ip = {number(ip)}",
            ["-s", "proto/bytes", "-n", "0", "-o", "csv", f"ip {ip}"], "sum", target=target,
        )

    return [
        one_address("address", f"count, sum(bytes) of one address, either side ({needles['common']['flows']:,} rows)", common, "≤ 2 ms"),
        one_address("address_heavy", f"the same of a heavy address ({needles['heavy']['flows']:,} rows)", heavy, ""),
        Query(
            "rare", f"all rows of a rare address ({needles['rare']['flows']} rows)",
            ["time", "time", "ip", "ip", "int", "int", "protocol", "int", "int"],
            ["flow_start", "flow_end", "src_ip", "dst_ip", "src_port", "dst_port", "protocol", "bytes", "packets"],
            f"from flows | where ip == {rare} | select flow_start, flow_end, src_ip, dst_ip, src_port, dst_port, protocol, bytes, packets",
            "select flow_start, flow_end, src_ip, dst_ip, src_port, dst_port, protocol, bytes, packets from flows "
            f"where src_ip = {number(rare)} or dst_ip = {number(rare)}",
            ["-N", "-q", "-o", "fmt:%ts|%te|%sa|%da|%sp|%dp|%pr|%byt|%pkt", f"ip {rare}"], "fmt", target="≤ 1 ms",
        ),
        Query(
            "sources", "top 10 sources by bytes", ["ip", "int"], ["src_ip", "total"],
            "from flows | top 10 src_ip by sum(bytes)",
            "select src_ip, sum(bytes) as total from flows group by src_ip order by total desc limit 10",
            ["-s", "srcip/bytes", "-n", "10", "-o", "csv"], "csv", ["val", "byt"], target="≤ 40 ms",
        ),
        Query(
            "pairs", "top 10 pairs by bytes (7.5 M groups in 20 M flows)", ["ip", "ip", "int"], ["src_ip", "dst_ip", "total"],
            "from flows | top 10 src_ip, dst_ip by sum(bytes)",
            "select src_ip, dst_ip, sum(bytes) as total from flows group by src_ip, dst_ip order by total desc limit 10",
            ["-N", "-q", "-A", "srcip,dstip", "-O", "bytes", "-n", "10", "-o", "fmt:%sa|%da|%byt"], "fmt", target="≤ 500 ms",
        ),
        Query(
            "minutes", "bytes per minute and protocol", ["time", "protocol", "int"], ["minute", "protocol", "total"],
            "from flows | stats total = sum(bytes) by minute = bin(1m), protocol",
            "select flow_end // 60000 * 60000 as minute, protocol, sum(bytes) from flows group by all", target="≤ 30 ms",
        ),
        Query(
            "scanners", "distinct destinations of SYN-only sources (top 10)", ["ip", "int"], ["src_ip", "targets"],
            "from flows | where protocol == tcp and tcp_flags == S | stats targets = count_distinct(dst_ip) by src_ip | sort targets desc, src_ip | limit 10",
            "select src_ip, count(distinct dst_ip) as targets from flows where protocol = 6 and tcp_flags = 2 group by src_ip "
            "order by targets desc, src_ip limit 10", target="≤ 20 ms",
        ),
        Query(
            "dns", f"dst_port = 53 from {block}, grouped by destination", ["ip", "int", "int"], ["dst_ip", "flows", "total"],
            f"from flows | where dst_port == 53 and src_ip in {block} | stats flows = count(), total = sum(bytes) by dst_ip",
            f"select dst_ip, count(*), sum(bytes) from flows where dst_port = 53 and src_ip between {first} and {last} group by dst_ip",
            ["-s", "dstip/bytes", "-n", "0", "-o", "csv", f"dst port 53 and src net {block}"], "csv", ["val", "fl", "byt"], target="≤ 15 ms",
        ),
        Query(
            "tuples", "top 10 (source, destination, port, protocol) by bytes (9.6 M groups)", ["ip", "ip", "int", "protocol", "int"],
            ["src_ip", "dst_ip", "dst_port", "protocol", "total"],
            "from flows | top 10 src_ip, dst_ip, dst_port, protocol by sum(bytes)",
            "select src_ip, dst_ip, dst_port, protocol, sum(bytes) as total from flows group by all order by total desc limit 10",
            ["-N", "-q", "-A", "srcip,dstip,dstport,proto", "-O", "bytes", "-n", "10", "-o", "fmt:%sa|%da|%dp|%pr|%byt"], "fmt", target="≤ 600 ms",
        ),
        Query(
            "last_minutes", "the last 5 minutes: top 10 ports by flows", ["int", "int"], ["dst_port", "flows"],
            f"from flows between {iso(begin_ms)} and {iso(end_ms)} | stats flows = count() by dst_port | sort flows desc, dst_port | limit 10",
            f"select dst_port, count(*) as flows from flows where flow_end >= {begin_ms} and flow_end < {end_ms} group by dst_port "
            "order by flows desc, dst_port limit 10",
            # nfdump's window asks for flows that lie in it as a whole, so its counts are lower.
            ["-s", "dstport/flows", "-n", "10", "-o", "csv", "-t", f"{nf_time(begin_ms)}-{nf_time(end_ms)}"], "csv", ["val", "fl"], nfdump_comparable=False,
        ),
        Query(
            "p95", "95th percentile of bytes by protocol", ["protocol", "int"], ["protocol", "p"],
            "from flows | stats p = p95(bytes) by protocol",
            "select protocol, approx_quantile(bytes, 0.95) from flows group by protocol", tolerance=0.05,
        ),
    ]
