#!/usr/bin/env python3
"""The prompt, as a person meets it: a real `sluice` in a real terminal (tmux) against a real `sluiced`.

Usage: prompt_test.py BIN_FOLDER. Exit 77 (skipped) where tmux is not installed.
"""

import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

LOG = """version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status
2 123456789012 eni-1 10.0.0.5 198.51.100.7 40001 443 6 10 5000 1763625600 1763625660 ACCEPT OK
2 123456789012 eni-1 198.51.100.7 10.0.0.5 443 40001 6 20 90000 1763625600 1763625660 ACCEPT OK
2 123456789012 eni-1 203.0.113.9 10.0.0.5 50000 22 6 1 60 1763625610 1763625670 REJECT OK
2 123456789012 eni-1 - - - - - - - 1763625600 1763625660 - NODATA
"""

failures = []


def check(what, condition, seen=""):
    print(("ok      " if condition else "FAILED  ") + what)
    if not condition:
        failures.append(what)
        print("    on the screen:\n" + "\n".join("    | " + line for line in seen.rstrip().splitlines()))


class Terminal:
    """A tmux window of its own server, so that nobody's sessions are touched."""

    def __init__(self, folder, command, environment, width=100, height=30):
        self.socket = os.path.join(folder, f"tmux{width}.sock")
        env = dict(os.environ, TERM="xterm-256color", **environment)
        env.pop("TMUX", None)
        self.run("-f", "/dev/null", "new-session", "-d", "-x", str(width), "-y", str(height), command, env=env)

    def run(self, *args, env=None):
        return subprocess.run(["tmux", "-S", self.socket, *args], check=True, capture_output=True, text=True, env=env).stdout

    def type(self, text, enter=True):
        self.run("send-keys", "-l", text)
        if enter:
            self.run("send-keys", "Enter")

    def key(self, name):
        self.run("send-keys", name)

    def screen(self):
        return self.run("capture-pane", "-p")

    def wait(self, pattern, seconds=15):
        end = time.monotonic() + seconds
        while True:
            try:
                screen = self.screen()
            except subprocess.CalledProcessError:
                screen = ""
            if re.search(pattern, screen, re.M | re.S) or time.monotonic() > end:
                return screen
            time.sleep(0.05)

    def close(self):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], capture_output=True)


def long_question(bin_folder):
    """On a server of its own, since it wants many flows."""
    folder = tempfile.mkdtemp(prefix="sluice-prompt-")
    server = subprocess.Popen([f"{bin_folder}/sluiced", "--data", f"{folder}/data", "--http", "127.0.0.1:0", "--netflow", "none", "--sflow", "none"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    terminal = None
    try:
        address = re.search(r"http=(\S+)", server.stdout.readline())
        env = {"SLUICE_SERVER": "http://" + address.group(1), "XDG_STATE_HOME": f"{folder}/state", "LC_ALL": "C.UTF-8", "PAGER": ""}
        terminal = Terminal(folder, f"{bin_folder}/sluice", env)
        terminal.wait(r"^sluice> ")
        # A question that takes long ends with Ctrl-C, at the server too, and the prompt goes on.
        many = f"{folder}/many.log"
        with open(many, "w") as f:
            lines = "".join(f"2 123456789012 eni-{i:08x} 10.1.{i >> 8 & 255}.{i & 255} 198.51.100.7 {i % 60000} 443 6 10 5000 1763625600 1763625660 ACCEPT OK\n" for i in range(50_000))
            for _ in range(20):
                f.write(lines)
        sent = subprocess.run([f"{bin_folder}/sluice", "ingest", "--quiet", "--source", "aws_vpc", many], env=dict(os.environ, **env), capture_output=True, text=True)
        check("a million flows are taken", "1,000,000 flows accepted" in sent.stdout, sent.stdout + sent.stderr)
        os.unlink(many)
        terminal.key("C-l")
        slow = 'extend t = extract(concat(src_ip, "/", src_interface_id, "/", dst_ip), "((([0-9a-f.-]+)+/?)*)+z$", 1) | stats n = count() by t'
        terminal.type(slow)
        time.sleep(1)
        running = subprocess.run([f"{bin_folder}/sluice", "query", "show queries", "--format", "csv"], env=dict(os.environ, **env), capture_output=True, text=True)
        asked = time.monotonic()
        terminal.key("C-c")
        screen = terminal.wait(r"cancelled\n+sluice>", 20)
        check("Ctrl-C ends a question that takes long", "extract(" in running.stdout and re.search(r"cancelled\n+sluice>", screen) is not None, screen + running.stdout)
        check("and does so at once", time.monotonic() - asked < 10, screen)
        for _ in range(100):
            running = subprocess.run([f"{bin_folder}/sluice", "query", "show queries", "--format", "csv"], env=dict(os.environ, **env), capture_output=True, text=True)
            if "extract(" not in running.stdout:
                break
            time.sleep(0.1)
        check("the server is rid of it too", "extract(" not in running.stdout, running.stdout)
        terminal.type("where src_ip == 10.1.0.9 | stats n = count()")
        screen = terminal.wait(r"^\s*20\s*$")
        check("the next question is answered", re.search(r"^\s*20\s*$", screen, re.M) is not None, screen)
    finally:
        if terminal:
            terminal.close()
        server.kill()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    bin_folder = os.path.abspath(sys.argv[1])
    if shutil.which("tmux") is None:
        print("tmux is not installed, so the prompt was not tried")
        return 77
    long_question(bin_folder)
    folder = tempfile.mkdtemp(prefix="sluice-prompt-")
    server = subprocess.Popen(
        [f"{bin_folder}/sluiced", "--data", f"{folder}/data", "--http", "127.0.0.1:0", "--netflow", "127.0.0.1:0", "--sflow", "127.0.0.1:0"],
        stdout=subprocess.PIPE, stderr=open(f"{folder}/log", "w"), text=True)
    terminal = None
    try:
        ready = server.stdout.readline()
        address = re.search(r"http=(\S+)", ready)
        if not address:
            print("the server did not start: " + open(f"{folder}/log").read())
            return 1
        env = {"SLUICE_SERVER": "http://" + address.group(1), "XDG_STATE_HOME": f"{folder}/state", "LC_ALL": "C.UTF-8", "PAGER": ""}
        log = f"{folder}/flows.log"
        with open(log, "w") as f:
            f.write(LOG)
        sent = subprocess.run([f"{bin_folder}/sluice", "ingest", "--source", "aws_vpc", log], env=dict(os.environ, **env), capture_output=True, text=True)
        check("ingest tells what was taken", sent.returncode == 0 and "3 flows accepted, 0 records rejected, 1 without data" in sent.stdout, sent.stdout + sent.stderr)
        again = subprocess.run([f"{bin_folder}/sluice", "ingest", "--source", "aws_vpc", log], env=dict(os.environ, **env), capture_output=True, text=True)
        check("the same file counts once", "1 body known already" in again.stdout, again.stdout + again.stderr)

        terminal = Terminal(folder, f"{bin_folder}/sluice", env)
        screen = terminal.wait(r"^sluice> ")
        check("greets and shows the prompt", "Sluice at http://" in screen and "\\help" in screen, screen)

        terminal.type("stats n = count(), b = sum(bytes) by proto")
        screen = terminal.wait(r"1 row in")
        check("answers with a table and an account", re.search(r"^\s*6\s+3\s+95060\s*$", screen, re.M) is not None and "1 row in" in screen, screen)

        terminal.type("from flows |")
        terminal.wait(r"-> $")
        terminal.type("where src_prt == 53")
        screen = terminal.wait(r"did you mean")
        check("a query may have two lines, and an error points at its place",
              re.search(r"where src_prt == 53\n\s+\^~~~~~~", screen) is not None and "did you mean 'src_port'?" in screen, screen)

        terminal.type("where dst_po", enter=False)
        terminal.key("Tab")
        screen = terminal.wait(r"^sluice> where dst_port")
        check("TAB completes a column", "sluice> where dst_port" in screen, screen)
        terminal.type("== 22 | select src_ip, action")
        screen = terminal.wait(r"203\.0\.113\.9")
        check("the completed question is answered", re.search(r"203\.0\.113\.9\s+reject", screen) is not None, screen)

        terminal.key("Up")
        screen = terminal.wait(r"sluice> where dst_port == 22 \| select src_ip, action\s*$")
        check("the arrow key brings back the last question", re.search(r"sluice> where dst_port == 22 \| select", screen) is not None, screen)
        terminal.key("C-c")
        screen = terminal.wait(r"\^C\s+sluice> *$")
        check("Ctrl-C clears the line and stays", "^C" in screen, screen)

        terminal.type("\\set who 10.0.0.5")
        terminal.type("ip == $who | stats n = count()")
        screen = terminal.wait(r"^\s*3\s*$")
        check("parameters are bound", re.search(r"^\s*3\s*$", screen, re.M) is not None, screen)

        terminal.type("\\format csv")
        terminal.type("distinct action | sort action")
        screen = terminal.wait(r"^reject")
        check("csv on demand", re.search(r"^accept\s*\nreject", screen, re.M) is not None, screen)
        terminal.type("\\format table")

        terminal.type("\\d vlan")
        screen = terminal.wait(r"inner_vlan")
        check("\\d lists columns by a part of their name", "inner_vlan" in screen, screen)

        terminal.key("C-l")
        terminal.type("\\watch 200ms stats n = count()")
        screen = terminal.wait(r"every 0\.2s")
        time.sleep(0.6)
        terminal.key("C-c")
        screen = terminal.wait(r"sluice> *$")
        check("\\watch repeats until Ctrl-C", "every 0.2s" in screen, screen)

        terminal.type("from flows | limit 2")
        screen = terminal.wait(r"^:")
        check("wide rows become records, and long answers are paged", re.search(r"^:", screen, re.M) is not None and "src_ip  " in screen, screen)
        terminal.key("q")
        terminal.wait(r"2 rows in")
        terminal.type("\\pager off")
        terminal.type("select src_ip, dst_ip, src_interface_id, flow_start, flow_end, received_at, cloud | limit 2")
        screen = terminal.wait(r"pager is off.*2 rows in")
        check("wide tables fit the terminal", "2 rows in" in screen and "…" in screen and all(len(line) <= 100 for line in screen.splitlines()), screen)

        terminal.type("\\nonsense")
        screen = terminal.wait(r"unknown command")
        check("unknown commands are named", "unknown command \\nonsense" in screen, screen)

        terminal.key("C-d")
        for _ in range(50):
            if not os.path.exists(terminal.socket) or subprocess.run(["tmux", "-S", terminal.socket, "ls"], capture_output=True).returncode != 0:
                break
            time.sleep(0.1)
        history = f"{folder}/state/sluice/history"
        check("Ctrl-D leaves, and the history is kept for its owner alone",
              os.path.exists(history) and os.stat(history).st_mode & 0o077 == 0 and "dst_port" in open(history).read())

        # The smallest window that people have, and a large one: nothing runs over the edge, nothing that explains is cut.
        for width, height in ((80, 24), (200, 50)):
            terminal.close()
            terminal = Terminal(folder, f"{bin_folder}/sluice", env, width, height)
            seen = terminal.wait(r"^sluice> ")
            check(f"the greeting fits {width} columns", re.search(r"^Sluice at http://\S+\n\\help tells", seen, re.M) is not None, seen)
            terminal.type("\\pager off")
            terminal.type("\\d flow_end")
            seen = terminal.wait(r"retention use")
            check(f"the documentation of a column is whole at {width}", "…" not in seen and re.search(r"ranges, bins and\s+retention use$", seen, re.M) is not None, seen)
            terminal.key("C-l")
            terminal.type("explain analyze dst_port == 443 | top 1 src_ip, dst_ip by sum(bytes) with others")
            seen = terminal.wait(r"in all")
            check(f"explain analyze is whole at {width}", "…" not in seen and "bytes read" in seen and re.search(r"^top 1 src_ip, dst_ip by sum\(bytes\) with others +\d", seen, re.M) is not None, seen)
            check(f"words of the timing line stay whole at {width}", re.search(r"^(in all|all)$", seen, re.M) is None and "in all" in seen, seen)
            terminal.key("C-l")
            terminal.type("\\help")
            seen = terminal.wait(r"Ctrl-R searches")
            check(f"the help fits {width} columns", re.search(r"^  .set NAME .* lists them$", seen, re.M) is not None and re.search(r"^TAB completes.*Ctrl-C cancels\.$", seen, re.M) is not None, seen)
            terminal.type("from flows | -- all")
            terminal.type("where dst_port == 22 |")
            terminal.wait(r"-> $")
            terminal.type("stats n = count() by action")
            seen = terminal.wait(r"^reject +1$")
            terminal.key("Up")
            seen = terminal.wait(r"sluice> from flows[^\n]*by action")
            check(f"a question of several lines comes back as one at {width}", re.search(r"sluice> from flows[^\n]*where dst_port == 22 \| stats", seen) is not None, seen)
            terminal.key("C-c")
            terminal.wait(r"\^C\s+sluice> *$")

        # One-shot ways and exit codes.
        def run(*args, text=None):
            return subprocess.run([f"{bin_folder}/sluice", *args], env=dict(os.environ, **env), capture_output=True, text=True, input=text)

        result = run("query", "stats n = count()", "--format", "csv")
        check("query --format csv", result.returncode == 0 and result.stdout.split() == ["n", "3"], result.stdout + result.stderr)
        result = run("query", "ip == $who | stats n = count()", "--param", "who=10.0.0.5 or true", "--format", "csv")
        check("a parameter is never syntax", result.returncode == 1, result.stdout + result.stderr)
        result = run("query", "where src_prt == 1")
        check("a query error is exit code 1 with its caret on standard error", result.returncode == 1 and "^~~" in result.stderr and result.stdout == "", result.stderr)
        result = run("nonsense")
        check("wrong usage is exit code 2", result.returncode == 2, result.stderr)
        result = run(text="stats n = count()")
        check("a question by a pipe", result.returncode == 0 and "3" in result.stdout, result.stdout + result.stderr)
        result = run("--server", "http://127.0.0.1:1", "query", "stats count()")
        check("an absent server is exit code 3", result.returncode == 3 and "Is the server running" in result.stderr, result.stderr)
        result = run("sources")
        check("sources are listed", result.returncode == 0 and "aws_vpc" in result.stdout, result.stdout + result.stderr)
        result = run("ingest", "--source", "nonsense", log)
        check("an unknown source names the known ones", result.returncode == 2 and "aws_vpc" in result.stderr, result.stderr)
        result = run("query", "where dst_port == 1 | select src_ip")
        check("no rows in a pipe are no lines", result.returncode == 0 and result.stdout == "", result.stdout + result.stderr)
        wrong = f"{folder}/wrong"
        os.mkdir(wrong)
        for i in range(30):
            with open(f"{wrong}/{i}.log", "w") as f:
                f.write(LOG)
        result = run("ingest", "--source", "netflow", wrong)
        check("a folder of the wrong files is summed up",
              result.returncode == 1 and len(result.stderr.splitlines()) <= 8 and "25 more files could not be ingested" in result.stderr, result.stdout + result.stderr)
        # A capture cannot be cut at lines: 70 MiB of it go as one body, compressed.
        large = f"{folder}/large.pcap"
        with open(large, "wb") as f:
            f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
            packet = struct.pack(">HHIIIIBBH", 5, 1, 100_000, 1763625600, 0, 0, 0, 0, 0) + bytes([192, 0, 2, 1, 198, 51, 100, 7, 0, 0, 0, 0]) + struct.pack(">HHIIIIHHBBBBHHBBH", 1, 2, 5, 500, 90_000, 95_000, 40_000, 53, 0, 0x12, 17, 0, 0, 0, 24, 24, 0)
            for datagram in [packet] + [b"\0" * 1400] * 51_000:
                udp = struct.pack(">HHHH", 9, 2055, 8 + len(datagram), 0) + datagram
                frame = bytes(12) + b"\x08\0" + struct.pack(">BBHHHBBHII", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, 0xC0000209, 0xC6336402) + udp
                f.write(struct.pack("<IIII", 1763625600, 0, len(frame), len(frame)) + frame)
        result = run("ingest", "--source", "netflow", large)
        check("a capture above 64 MiB is taken", "1 flow accepted" in result.stdout and os.path.getsize(large) > 70 << 20, result.stdout + result.stderr)
        os.unlink(large)
        bad = f"{folder}/bad.log"
        with open(bad, "w") as f:
            f.write(LOG.splitlines()[0] + "\n2 1 eni-1 10.0.0.5 nowhere 1 2 6 1 1 1763625600 1763625660 ACCEPT OK\n" + "x" * 3_000_000 + "\n" + LOG.splitlines()[3] + "\n")
        result = run("ingest", "--source", "aws_vpc", bad)
        check("a bad record and an endless line cost only themselves",
              result.returncode == 1 and "1 flow accepted" in result.stdout and "record 2" in result.stderr, result.stdout + result.stderr)
    finally:
        if terminal:
            terminal.close()
        server.send_signal(signal.SIGTERM)
        code = server.wait(timeout=30)
        check("the server ends well", code == 0)
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{len(failures)} failed" if failures else "all well")
    return 1 if failures else 0


sys.exit(main())
