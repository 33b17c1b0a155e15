#!/usr/bin/env python3
"""The client against a server that is hostile, breaks off, or sends without end: what reaches the terminal, and what is left of an export.

Usage: odd_server_test.py BIN_FOLDER
"""

import fcntl
import http.server
import json
import os
import pty
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time

# Sets a terminal's title, clears it, reports back, reads right to left; as C0, C1 and not even UTF-8.
HOSTILE = "a\x1b]0;owned\x07b\x1b[2J\x1b[6n\u009b31m\u202ec"
MEBIBYTE = b"".join(b'{"n":"%027d"}\n' % i for i in range(26_215))

failures = []


def check(what, condition, seen=""):
    print(("ok      " if condition else "FAILED  ") + what)
    if not condition:
        failures.append(what)
        print("    seen:\n" + "\n".join("    | " + repr(line) for line in str(seen).splitlines()[-30:]))


class Odd(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen = {}  # what the test wants to know
    go_on = threading.Event()

    def log_message(self, *_):
        pass

    def whole(self, body, kind="application/json", status=200, headers=()):
        data = body if isinstance(body, bytes) else body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def begin(self, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Trailer", "X-Sluice-Summary")
        self.end_headers()

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def end(self, summary=None):
        self.wfile.write(b"0\r\n" + (b"X-Sluice-Summary: " + json.dumps(summary).encode() + b"\r\n" if summary is not None else b"") + b"\r\n")

    def do_GET(self):
        if self.path.startswith("/v1/tail"):
            self.begin("text/event-stream")
            columns = {"columns": [{"name": HOSTILE, "type": "string"}]}
            self.chunk(f"event: columns\ndata: {json.dumps(columns, ensure_ascii=False)}\n\n".encode())
            self.chunk(f"event: rows\nid: 7\ndata: {json.dumps({'rows': [[HOSTILE + 'tailed']]}, ensure_ascii=False)}\n\n".encode())
            Odd.seen.setdefault("ids", []).append(self.headers.get("Last-Event-ID"))
            if len(Odd.seen["ids"]) > 1:
                self.chunk(f"event: gap\ndata: {json.dumps({'reason': HOSTILE + 'gap'})}\n\nevent: error\ndata: {json.dumps({'error': {'message': HOSTILE + 'over'}})}\n\n".encode())
            self.end()
            self.close_connection = True
        elif self.path == "/v1/storage":
            self.whole(json.dumps({"flows": 1, "oldest": HOSTILE, "newest": HOSTILE}))
        else:
            self.whole("ok", "text/plain")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        query, accept = body.get("query", ""), self.headers.get("Accept")
        if self.path == "/v1/query/complete":
            items = [{"text": text, "kind": HOSTILE, "detail": HOSTILE} for text in ("fine_one", "fine_two", HOSTILE)]
            self.whole(json.dumps({"replace": {"offset": 0, "length": 0}, "items": items}))
        elif query == "refuse":
            self.whole(json.dumps({"error": {"code": HOSTILE, "message": HOSTILE, "hint": HOSTILE, "line": 1, "column": 1, "length": 3}}), status=400)
        elif query == "endless":
            self.begin("application/x-ndjson")
            try:
                while True:
                    self.chunk(MEBIBYTE)
                    Odd.seen["sent"] = Odd.seen.get("sent", 0) + 1
            except OSError:
                Odd.seen["gone"] = True
            self.close_connection = True
        elif query == "much":
            self.begin("application/x-ndjson")
            for _ in range(256):
                self.chunk(MEBIBYTE)
            self.end({"stats": {"rows": 256 * 26_215}})
        elif query == "break off":
            self.begin("text/csv")
            self.chunk(b"a\r\n1\r\n")
            self.close_connection = True
        elif query == "no summary":
            self.begin("text/csv")
            self.chunk(b"a\r\n1\r\n")
            self.end()
        elif query == "late error":
            self.begin("application/x-ndjson")
            self.chunk(b'{"a":1}\n{"error":{"code":"deadline","message":"the query ran past its time limit"}}\n')
            self.end()
        elif query == "wait":
            self.begin("text/csv")
            self.chunk(b"a\r\n1\r\n")
            Odd.go_on.wait(60)
            self.end({"stats": {"rows": 1}})
        elif accept == "text/csv":
            self.whole(f"name\r\n{HOSTILE}\r\n\udcff".encode("utf-8", "surrogateescape"), "text/csv", headers=[("X-Sluice-Summary", json.dumps({"warnings": [HOSTILE]}))])
        elif accept == "application/x-ndjson":
            self.whole(json.dumps({"name": HOSTILE}, ensure_ascii=False) + "\n", "application/x-ndjson", headers=[("X-Sluice-Summary", "{}")])
        else:
            columns = [{"name": "ts", "type": "timestamp"}, {"name": HOSTILE, "type": HOSTILE, "unit": HOSTILE}, {"name": HOSTILE, "type": "uint", "unit": HOSTILE}]
            rows = [["2026-01-01T00:00:00Z", HOSTILE, 1], [HOSTILE, [HOSTILE], 2], ["2026-01-01T01:00:00Z", {HOSTILE: HOSTILE}, 3]]
            self.whole(json.dumps({"columns": columns, "rows": rows, "warnings": [HOSTILE], "render": "timechart" if query == "chart" else HOSTILE, "range": {}, "stats": {"elapsed_ms": 1}}))


class Person:
    """A terminal as the program sees it, and every byte that was sent to it."""

    def __init__(self, command, env, width=80, height=24):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(command[0], command, env)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, height.to_bytes(2, "little") + width.to_bytes(2, "little") + bytes(4))
        self.bytes, self.status = b"", None

    def wait(self, pattern, seconds=30):
        """Until the pattern has come since the last call; what came."""
        start = getattr(self, "read_to", 0)
        end = time.monotonic() + seconds
        while not (match := re.search(pattern, self.bytes[start:], re.S)) and time.monotonic() < end:
            if not select.select([self.fd], [], [], 0.2)[0]:
                continue
            try:
                self.bytes += os.read(self.fd, 65536)
            except OSError:
                break
        match = re.search(pattern, self.bytes[start:], re.S)
        self.read_to = start + match.end() if match else len(self.bytes)
        return self.bytes[start:self.read_to] if match else b""

    def type(self, text):
        os.write(self.fd, text.encode())

    def close(self):
        self.type("\x15\x04")
        self.wait(rb"(?!)")
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def is_clean(sent, own=rb"\x1b\[(\d*[ABCDHJKm]|[\d;]*m|\?2004[hl])"):
    """Nothing but line ends, TABs and the client's own few codes, and nothing of those that the server sent."""
    if any(code in sent for code in (b"\x1b[2Jb", b"b\x1b[2J", b"\x1b[6n", b"\x1b]")):
        return False
    rest = re.sub(own, b"", sent)
    text = rest.decode("utf-8", "replace")
    return "\ufffd" not in text and all(c in "\r\n\t" or not (ord(c) < 32 or 127 <= ord(c) < 160 or c == "\u202e") for c in text)


def hostile(sluice, url, folder):
    for name, more, own in (("in colour", {}, rb"\x1b\[(\d*[ABCDHJKm]|[\d;]*m|\?2004[hl])"), ("with NO_COLOR", {"NO_COLOR": "1"}, rb"\x1b\[(\d*[ABCDHJK]|\?2004[hl])"), ("on a dumb terminal", {"TERM": "dumb"}, rb"(?!)")):
        Odd.seen.pop("ids", None)
        env = dict(os.environ, SLUICE_SERVER=url, XDG_STATE_HOME=f"{folder}/state{len(more)}{more.get('TERM')}", LC_ALL="C.UTF-8", TERM="xterm-256color", PAGER="cat")
        env.pop("NO_COLOR", None)
        person = Person([sluice], {**env, **more})
        came = [person.wait(rb"sluice> ")]
        for line, until in (("from flows\r", rb"in all.*sluice> "), ("chart\r", rb"in all.*sluice> "), ("\\chart\r", rb"times are UTC.*sluice> "), ("refuse\r", rb"error.*sluice> "), ("\\format csv\r", rb"sluice> "),
                            ("from flows\r", rb"warning.*sluice> "), ("\\format ndjson\r", rb"sluice> "), ("from flows\r", rb'name":.*sluice> '), ("\\tail\r", rb"tailed.*tailed.*gap.*over.*sluice> ")):
            person.type(line)
            came.append(person.wait(until))
            check(f"{line.strip()} is answered {name}", came[-1] != b"", person.bytes[-2000:])
        if "TERM" not in more:
            person.type("f\t")
            shown = person.wait(rb"fine_two")
            check(f"completions that would act on a terminal are not offered {name}", shown != b"" and b"a\\x1b" in shown and b"owned\\x07b" in shown, shown)
        check(f"a stream that ends is asked for again where it was {name}", Odd.seen.get("ids") == [None, "7"], Odd.seen)
        person.close()
        check(f"nothing that the server says reaches the terminal raw {name}", is_clean(person.bytes, own), person.bytes)
    # One-shot, on a terminal.
    for args in (["query", "from flows"], ["query", "from flows", "--format", "csv"], ["query", "from flows", "--format", "json"], ["query", "refuse"], ["export", "from flows", "-o", "-", "--format", "csv"]):
        person = Person([sluice, *args], env)
        person.wait(rb"(?!)")
        check(f"nor by sluice {' '.join(args)}", b"owned" in person.bytes and is_clean(person.bytes), person.bytes)
        os.waitpid(person.pid, 0)
        os.close(person.fd)


def exports(sluice, env, folder):
    path = f"{folder}/x.ndjson"

    def run(query, to=path, *more):
        return subprocess.run([sluice, "export", query, "-o", to, *more], env=env, capture_output=True, text=True, timeout=300)

    # Nothing kept in memory: 256 MiB go through a process that has not a fifth of it.
    child = subprocess.Popen([sluice, "export", "much", "-o", path], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = child.communicate(timeout=300)
    peak_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    check("an export of 256 MiB is whole", child.returncode == 0 and os.path.getsize(path) == 256 * len(MEBIBYTE) and "6,711,040 rows" in out, out + err)
    check(f"and takes little memory ({peak_kib // 1024} MiB at most, of all programs run here)", peak_kib < 50 << 10, peak_kib)
    check("FILE.part is gone", os.listdir(folder + "/") and not os.path.exists(path + ".part"))

    with open(path, "w") as f:
        f.write("before")
    for query, code, says in (("break off", 3, "broke off after"), ("no summary", 1, "did not say that it is complete"), ("late error", 1, "ran past its time limit"), ("refuse", 1, "error")):
        result = run(query, path, "--format", "ndjson" if query == "late error" else "csv")
        check(f"an export that meets '{query}' leaves nothing and FILE as it was",
              result.returncode == code and says in result.stderr and open(path).read() == "before" and not os.path.exists(path + ".part"), f"{result.returncode} {result.stdout}{result.stderr}")
    with open(path + ".part", "w") as f:
        f.write("what a killed export left, longer than what comes")
    result = run("from flows")
    check("what a killed export left is overwritten", result.returncode == 0 and HOSTILE in json.loads(open(path).read()).values() and not os.path.exists(path + ".part"), result.stdout + result.stderr)

    # Back-pressure: a reader that does not read holds the server back.
    fifo = f"{folder}/fifo.ndjson"
    os.mkfifo(fifo)
    child = subprocess.Popen([sluice, "export", "endless", "-o", fifo], env=env, stderr=subprocess.PIPE, text=True)
    reader = os.open(fifo, os.O_RDONLY)
    os.read(reader, 10)
    sent, calm = -1, 0
    for _ in range(600):  # until it stood still for a second
        now = Odd.seen.get("sent", 0)
        calm = calm + 1 if now == sent else 0
        sent = now
        if calm >= 20:
            break
        time.sleep(0.05)
    check(f"a reader that does not read holds the server back ({sent} MiB were sent)", calm >= 20 and sent < 64, sent)
    child.send_signal(signal.SIGTERM)
    os.close(reader)
    _, err = child.communicate(timeout=60)
    check("SIGTERM ends it", child.returncode != 0, err)
    check("a pipe keeps its name", os.path.exists(fifo))

    # One at a time, and cleaned up after a signal.
    held = f"{folder}/held.csv"
    child = subprocess.Popen([sluice, "export", "wait", "-o", held], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        if os.path.exists(held + ".part") and os.path.getsize(held + ".part") > 0:
            break
        time.sleep(0.05)
    check("rows are written as they come", os.path.exists(held + ".part") and not os.path.exists(held))
    second = run("from flows", held)
    check("a second export to the same file is refused and harms nothing", second.returncode == 2 and "another export" in second.stderr and open(held + ".part", newline="").read() == "a\r\n1\r\n", second.stderr)
    child.send_signal(signal.SIGTERM)
    _, err = child.communicate(timeout=60)
    check("an export that is ended leaves nothing", child.returncode == 1 and "cancelled" in err and not os.path.exists(held) and not os.path.exists(held + ".part"), err)
    Odd.go_on.set()

    check("a folder is no file", run("from flows", folder, "--format", "csv").returncode == 2)
    check("a folder that is not there is said", "No such file" in run("from flows", f"{folder}/none/x.csv").stderr)
    check("a name without a format is asked about", run("from flows", f"{folder}/x").returncode == 2)
    result = run("from flows", "-", "--format", "ndjson")
    check("- is standard output, byte by byte as it came", result.returncode == 0 and json.loads(result.stdout) == {"name": HOSTILE}, result.stdout)


def main():
    sluice = os.path.abspath(sys.argv[1]) + "/sluice"
    folder = tempfile.mkdtemp(prefix="sluice-odd-")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        exports(sluice, dict(os.environ, SLUICE_SERVER=url, LC_ALL="C.UTF-8"), folder)
        hostile(sluice, url, folder)
    finally:
        server.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{len(failures)} failed" if failures else "all well")
    return 1 if failures else 0


sys.exit(main())
