"""Starts the real sluiced and talks to it: helpers of app_test.py."""
import http.client
import json
import os
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import time

PROGRAM = None  # path of sluiced, set by app_test.py


def sanitized():
    """Whether PROGRAM is instrumented: its memory is then not what a user's is."""
    with open(PROGRAM, "rb") as program:
        return b"__asan_init" in program.read()


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json()["error"]

    def rows(self):
        assert self.status == 200, (self.status, self.body[:500])
        return self.json()["rows"]


class Sluiced:
    """One server process. `data` outlives it, so that a test can start another on the same directory."""

    def __init__(self, *flags, data=None, tls=None, token=None, wait=True):
        self.own_data = data is None
        self.data = data or tempfile.mkdtemp(prefix="sluice-app-")
        self.tls, self.token = tls, token
        arguments = [PROGRAM, "--data", self.data, *flags]
        if "--http" not in flags and "--config" not in flags:
            arguments += ["--http", "127.0.0.1:0"]
        if "--netflow" not in flags and "--config" not in flags:
            arguments += ["--netflow", "127.0.0.1:0"]
        if "--sflow" not in flags and "--config" not in flags:
            arguments += ["--sflow", "127.0.0.1:0"]
        self.stderr_file = tempfile.TemporaryFile()
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=self.stderr_file)
        self.ready = None
        if wait:
            self.wait_ready()

    def wait_ready(self, seconds=20):
        readable, _, _ = select.select([self.process.stdout], [], [], seconds)
        line = self.process.stdout.readline().decode() if readable else ""
        assert line.startswith("ready "), f"not ready: {line!r} {self.stderr()}"
        self.ready = dict(part.split("=", 1) for part in line.split()[1:])
        self.http = self.ready["http"].replace("0.0.0.0", "127.0.0.1")
        if "netflow" in self.ready:
            host, port = self.ready["netflow"].rsplit(":", 1)
            self.netflow = (host, int(port))
        if "sflow" in self.ready:
            host, port = self.ready["sflow"].rsplit(":", 1)
            self.sflow = (host, int(port))
        return self

    def stderr(self):
        self.stderr_file.seek(0)
        return self.stderr_file.read().decode(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.stderr_file.close()
        if self.own_data:
            shutil.rmtree(self.data, ignore_errors=True)

    def stop(self, sig=signal.SIGTERM, seconds=20):
        self.process.send_signal(sig)
        return self.process.wait(seconds)

    def connection(self, timeout=60):
        if self.tls:
            context = ssl.create_default_context(cafile=self.tls)
            context.check_hostname = False
            return http.client.HTTPSConnection(self.http, timeout=timeout, context=context)
        return http.client.HTTPConnection(self.http, timeout=timeout)

    def ask(self, method, path, body=None, headers=None, token=None):
        headers = dict(headers or {})
        token = token or self.token
        if token:
            headers["Authorization"] = "Bearer " + token
        c = self.connection()
        try:
            c.request(method, path, body, headers)
            r = c.getresponse()
            return Answer(r.status, {k.lower(): v for k, v in r.getheaders()}, r.read())
        finally:
            c.close()

    def get(self, path, **kw):
        return self.ask("GET", path, **kw)

    def post(self, path, body=b"", **kw):
        return self.ask("POST", path, body, **kw)

    def query(self, text, **members):
        return self.post("/v1/query", json.dumps({"query": text, **members}), headers={"Content-Type": "application/json"})

    def count(self, where=""):
        return self.query(f"from flows {where} | stats n = count()").rows()[0][0]

    def wait_count(self, expected, where="", seconds=10):
        end = time.time() + seconds
        while (n := self.count(where)) != expected and time.time() < end:
            time.sleep(0.05)
        return n

    def metric(self, name):
        return sum(float(l.rsplit(" ", 1)[1]) for l in self.get("/metrics").body.decode().splitlines()
                   if l.startswith((name + " ", name + "{")))

    def raw(self, receive_buffer=None):
        host, port = self.http.rsplit(":", 1)
        s = socket.socket()
        if receive_buffer:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        s.connect((host, int(port)))
        s.settimeout(20)
        return s

    def slow_query(self, text, id, accept="application/x-ndjson"):
        """Sends a query and does not read its answer."""
        s = self.raw(receive_buffer=16384)
        body = text.encode()
        s.sendall(b"POST /v1/query HTTP/1.1\r\nHost: localhost\r\nAccept: %s\r\nX-Request-Id: %s\r\nContent-Length: %d\r\n\r\n%s"
                  % (accept.encode(), id.encode(), len(body), body))
        return s

    def send_packet(self, packet, to=None):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.sendto(packet, to or self.netflow)
        s.close()

    def running(self):
        return self.get("/v1/queries").json()["queries"]


def run(*arguments, seconds=20):
    """Runs sluiced to its end: (exit code, stdout, stderr)."""
    p = subprocess.run([PROGRAM, *arguments], capture_output=True, timeout=seconds)
    return p.returncode, p.stdout.decode(), p.stderr.decode()


def _crc32c(data):
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82f63b78 if n & 1 else 0)
        table.append(n)
    crc = 0xffffffff
    for b in data:
        crc = crc >> 8 ^ table[(crc ^ b) & 255]
    return crc ^ 0xffffffff


def rewrite_format(data, version):
    """Makes a data directory look as if another version had written it: the format's number in the catalogue's log, which a
    server that was killed leaves, with the record's checksum put right (RocksDB's log format: crc32c masked, length, type)."""
    changed = 0
    for name in sorted(os.listdir(data + "/catalog")):
        if not name.endswith(".log"):
            continue
        path = data + "/catalog/" + name
        with open(path, "rb") as f:
            log = bytearray(f.read())
        at = 0
        while at + 7 <= len(log):
            length, kind = struct.unpack_from("<HB", log, at + 4)
            if kind == 0 or at % 32768 > 32768 - 7:  # the rest of a block of 32 KiB
                at += 32768 - at % 32768
                continue
            header = 11 if kind >= 5 else 7  # the recyclable kinds name their log
            end = at + header + length
            value = log.find(b"\x07\x00format\x01", at + header, end)
            if value >= 0:
                log[value + 9:value + 10] = version
                crc = _crc32c(log[at + 6:end])
                struct.pack_into("<I", log, at, ((crc >> 15 | crc << 17 & 0xffffffff) + 0xa282ead8) & 0xffffffff)
                changed += 1
            at = end
        with open(path, "wb") as f:
            f.write(log)
    assert changed == 1, changed


class SmallDisk:
    """A file system of its own that can be filled. `usable` is False where mounting is not permitted."""

    def __init__(self, size):
        self.path = tempfile.mkdtemp(prefix="sluice-disk-")
        self.usable = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=" + size, "tmpfs", self.path], capture_output=True).returncode == 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.usable:
            subprocess.run(["umount", "-l", self.path])
        shutil.rmtree(self.path, ignore_errors=True)

    def fill(self, leave=0):
        with open(self.path + "/ballast", "ab", buffering=0) as f:
            for piece in (1 << 20, 4096):
                try:
                    while (s := os.statvfs(self.path)).f_bavail * s.f_frsize >= leave + piece:
                        f.write(b"b" * piece)
                except OSError:
                    pass

    def free(self):
        os.unlink(self.path + "/ballast")


def wait_until(what, seconds=10):
    end = time.time() + seconds
    while time.time() < end:
        if what():
            return True
        time.sleep(0.05)
    return False


# --- records, hand-built from the formats' documents --------------------------------------------------------------------

def aws_lines(count, start=1763625600, source="10.0", first=0):
    return b"".join(b"2 123456789012 eni-0a1b2c3d %s.%d.%d 172.31.0.9 %d 443 6 10 840 %d %d ACCEPT OK\n" %
                    (source.encode(), i >> 8 & 255, i & 255, 1024 + i % 60000, start, start + 1 + i % 60)
                    for i in range(first, first + count))


def ip(text):
    return socket.inet_aton(text)


def netflow5(sequence=0, flows=1, seconds=None, engine=0):
    """Cisco's NetFlow v5: 24 bytes of header, 48 bytes a record."""
    seconds = seconds or int(time.time())
    packet = struct.pack(">HHIIIIBBH", 5, flows, 100_000, seconds, 0, sequence, 0, engine, 0)
    for i in range(flows):
        packet += ip(f"192.0.2.{i + 1}") + ip("198.51.100.7") + ip("0.0.0.0")
        packet += struct.pack(">HHIIIIHHBBBBHHBBH", 1, 2, 5, 500 + i, 90_000, 95_000, 40_000 + i, 53, 0, 0x12, 17, 0, 0, 0, 24, 24, 0)
    return packet


def sflow5(sequence=1, samples=1, first_sample=1, agent="10.9.8.7", drops=0, discards=0):
    """sFlow v5: flow samples of a TCP packet, discarded packets, and a counter sample."""
    tcp = struct.pack(">HHIIHHHH", 40_000, 443, 1, 0, 0x5012, 100, 0, 0)
    frame = bytes(12) + b"\x08\0" + struct.pack(">BBHHHBBH", 0x45, 0, 1_000, 1, 0, 64, 6, 0) + ip("192.0.2.1") + ip("198.51.100.7") + tcp
    frame += bytes(-len(frame) % 4)
    header = struct.pack(">IIIIII", 1, 16 + len(frame), 1, 1_018, 4, len(frame)) + frame
    body = b""
    for i in range(samples):
        sample = struct.pack(">IIIIIIII", first_sample + i, 7, 100, (first_sample + i) * 100, drops, 7, 9, 1) + header
        body += struct.pack(">II", 1, len(sample)) + sample
    for i in range(discards):
        sample = struct.pack(">IIIIIIII", i + 1, 0, 7, 0, 7, 0, 258, 1) + header
        body += struct.pack(">II", 5, len(sample)) + sample
    counters = struct.pack(">III", 1, 7, 1) + struct.pack(">II", 1, 88) + struct.pack(">IIQII", 7, 6, 10**9, 1, 3) + bytes(64)
    body += struct.pack(">II", 2, len(counters)) + counters
    return struct.pack(">II", 5, 1) + ip(agent) + struct.pack(">IIII", 0, sequence, sequence * 1_000, samples + discards + 1) + body


# RFC 3954: sourceIPv4Address, destinationIPv4Address, ports, protocol, bytes, packets, first, last (uptime).
V9_FIELDS = [(8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (1, 4), (2, 4), (22, 4), (21, 4)]


def _template(fields, id):
    body = struct.pack(">HH", id, len(fields)) + b"".join(struct.pack(">HH", *f) for f in fields)
    return body


def netflow9(template=True, data=True, sequence=1, id=260, source=7, port=5353):
    sets, count = b"", 0
    if template:
        t = _template(V9_FIELDS, id)
        sets += struct.pack(">HH", 0, 4 + len(t)) + t
        count += 1
    if data:
        r = ip("203.0.113.5") + ip("198.51.100.9") + struct.pack(">HHBIIII", 40000, port, 17, 1200, 3, 90_000, 95_000)
        pad = -len(r) % 4
        sets += struct.pack(">HH", id, 4 + len(r) + pad) + r + b"\0" * pad
        count += 1
    return struct.pack(">HHIIII", 9, count, 100_000, int(time.time()), sequence, source) + sets


def ipfix(template=True, data=True, sequence=0, id=300, domain=9, port=8443):
    """RFC 7011, times in milliseconds (152, 153)."""
    fields = [(8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (1, 8), (2, 8), (152, 8), (153, 8)]
    sets = b""
    if template:
        t = _template(fields, id)
        sets += struct.pack(">HH", 2, 4 + len(t)) + t
    if data:
        now = int(time.time() * 1000)
        r = ip("203.0.113.6") + ip("198.51.100.10") + struct.pack(">HHBQQQQ", 40001, port, 6, 9000, 12, now - 2000, now - 1000)
        sets += struct.pack(">HH", id, 4 + len(r)) + r
    return struct.pack(">HHIII", 10, 16 + len(sets), int(time.time()), sequence, domain) + sets
