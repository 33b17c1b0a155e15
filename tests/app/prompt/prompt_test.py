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
import zlib

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

    def ready(self):
        """Until the prompt waits below all that was printed: the terminal echoes a key that comes before, and takes Ctrl-R, Ctrl-U, Ctrl-W and Ctrl-D
        for its own."""
        return self.wait(r"sluice>\s*\Z")

    def clear(self):
        self.ready()
        self.key("C-l")

    def cursor(self):
        return tuple(int(n) for n in self.run("display-message", "-p", "#{cursor_x} #{cursor_y}").split())

    def cursor_at(self, place, seconds=15):
        end = time.monotonic() + seconds
        while self.cursor() != place and time.monotonic() < end:
            time.sleep(0.05)
        return self.cursor() == place

    def paste(self, text):
        """As a terminal that brackets pastes does, when the program asked for it."""
        self.run("set-buffer", text)
        self.run("paste-buffer", "-p")

    def screen(self, colours=False):
        return self.run("capture-pane", "-p", *(["-e"] if colours else []))

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
        terminal.wait(r"^sluice>")
        # A question that takes long ends with Ctrl-C, at the server too, and the prompt goes on.
        many = f"{folder}/many.log"
        with open(many, "w") as f:
            lines = "".join(f"2 123456789012 eni-{i:08x} 10.1.{i >> 8 & 255}.{i & 255} 198.51.100.7 {i % 60000} 443 6 10 5000 1763625600 1763625660 ACCEPT OK\n" for i in range(50_000))
            for _ in range(20):
                f.write(lines)
        sent = subprocess.run([f"{bin_folder}/sluice", "ingest", "--quiet", "--source", "aws_vpc", many], env=dict(os.environ, **env), capture_output=True, text=True)
        check("a million flows are taken", "1,000,000 flows accepted" in sent.stdout, sent.stdout + sent.stderr)
        os.unlink(many)
        terminal.clear()
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


def typing(terminal):
    """What the prompt does while a question is typed. The history has questions by then."""
    terminal.clear()
    terminal.type("where app == \"x\" | top 3 src_ip by sum(bytes)", enter=False)
    terminal.wait(r"sum\(bytes\)")
    colours = terminal.screen(colours=True)
    check("stages, strings and numbers are coloured while typing",
          re.search(r"\x1b\[[0-9;]*34mwhere", colours) is not None and re.search(r'\x1b\[32m"x"', colours) is not None and re.search(r"\x1b\[33m3", colours) is not None, colours)
    terminal.key("C-u")

    terminal.type("top 5 src_", enter=False)
    terminal.key("Tab")
    screen = terminal.wait(r"src_port")
    check("TAB lists what fits below the line", re.search(r"sluice> top 5 src_\n +src_ip", screen) is not None and "src_port" in screen, screen)
    terminal.key("Tab")
    screen = terminal.wait(r"sluice> top 5 src_ip")
    check("TAB again takes the first", "sluice> top 5 src_ip" in screen, screen)
    terminal.key("Tab")
    screen = terminal.wait(r"sluice> top 5 src_port")
    check("and then the next", "sluice> top 5 src_port" in screen, screen)
    terminal.key("BTab")
    screen = terminal.wait(r"sluice> top 5 src_ip")
    check("Shift-TAB goes back", "sluice> top 5 src_ip" in screen, screen)
    terminal.key("C-u")
    terminal.type("top 5", enter=False)
    terminal.key("M-Enter")
    terminal.type("src_ip", enter=False)
    screen = terminal.wait(r"-> src_ip")
    check("Alt-Enter goes on in a new line", re.search(r"sluice> top 5\n +-> src_ip", screen) is not None, screen)
    terminal.key("C-u")
    terminal.key("C-c")
    terminal.ready()
    terminal.type("\\for", enter=False)
    terminal.key("Tab")
    terminal.wait(r"sluice> .format")
    terminal.type("nd", enter=False)
    terminal.key("Tab")
    screen = terminal.wait(r"sluice> .format ndjson")
    check("commands and their words complete too", "sluice> \\format ndjson" in screen, screen)
    terminal.key("C-u")
    terminal.type("zzz", enter=False)
    terminal.key("Tab")
    screen = terminal.wait(r"nothing that is known")
    check("TAB says where nothing fits", "nothing that is known fits here" in screen, screen)
    terminal.key("C-u")

    terminal.type("distinct act", enter=False)
    screen = terminal.wait(r"sluice> distinct action \| sort action")
    check("the history's suggestion stands behind the cursor", "sluice> distinct action | sort action" in screen, screen)
    terminal.key("Right")
    terminal.key("Enter")
    screen = terminal.wait(r"^reject\s")
    check("the arrow to the right takes it", re.search(r"^accept\s*\nreject", screen, re.M) is not None, screen)

    terminal.clear()
    terminal.key("C-r")
    terminal.wait(r"search the history:")
    terminal.type("DST_port ==", enter=False)
    screen = terminal.wait(r"sluice> where dst_port == 22")
    check("Ctrl-R finds a question by a part of it", "sluice> where dst_port == 22 | select" in screen and "search the history: DST_port ==" in screen, screen)
    terminal.type("nowhere", enter=False)
    screen = terminal.wait(r"no question has that")
    check("and says when there is none", "no question has that" in screen, screen)
    terminal.key("C-g")
    screen = terminal.wait(r"sluice>\s*$")
    check("Ctrl-G leaves the search", "search the history" not in screen and re.search(r"sluice>\s*$", screen) is not None, screen)
    terminal.key("C-r")
    terminal.wait(r"search the history:")
    terminal.type("dst_port == 22", enter=False)
    terminal.wait(r"sluice> where dst_port == 22")
    terminal.key("Enter")
    screen = terminal.wait(r"203\.0\.113\.9\s+reject")
    check("Enter asks what was found", re.search(r"203\.0\.113\.9\s+reject", screen) is not None, screen)

    terminal.clear()
    terminal.paste("from flows\n| where dst_port == 22\n| stats pasted = count()\n")
    screen = terminal.wait(r"-> \| stats pasted = count\(\)")
    check("a paste asks nothing by itself", re.search(r"^sluice> from flows\n +-> \| where dst_port == 22\n +-> \| stats pasted = count\(\)$", screen, re.M) is not None and "row in" not in screen, screen)
    # Each key by itself, so that one that goes missing is seen where it does. The lines begin at column 8.
    at = [terminal.cursor_at((8 + len("| stats pasted = count()"), 2))]
    terminal.key("Up")
    at.append(terminal.cursor_at((8 + len("| where dst_port == 22"), 1)))
    terminal.key("Up")
    at.append(terminal.cursor_at((8 + len("from flows"), 0)))
    terminal.type(" -- all", enter=False)
    screen = terminal.wait(r"from flows -- all")
    check("the arrows go through the lines of a question", all(at) and "sluice> from flows -- all" in screen, f"{at} {terminal.cursor()}\n" + screen)
    terminal.key("Enter")
    screen = terminal.wait(r"^ *pasted$.*^ +1$")
    check("Enter asks all of them", re.search(r"^ +1$", screen, re.M) is not None, screen)

    terminal.clear()
    terminal.type("where " + "src_port != 1 and " * 6 + "src_prt == 53")
    screen = terminal.wait(r"did you mean")
    check("an error in a question that does not fit one line shows its line again", re.search(r"error at line 1, column 115: .*\n.*src_prt == 53\n +\^~~~~~~", screen) is not None, screen)


def pictures(terminal):
    terminal.clear()
    terminal.type("top 3 dst_port by sum(bytes)")
    terminal.wait(r"3 rows in")
    terminal.type("\\chart")
    screen = terminal.wait(r"█")
    check("\\chart draws bars of what was summed, not of the ports", re.search(r"^ +40001 +90000 +█{10,}$", screen, re.M) is not None and re.search(r"^ +22 +60( +▏)?$", screen, re.M) is not None, screen)
    terminal.clear()
    terminal.type("timeseries b = sum(bytes) every 1m | render timechart")
    screen = terminal.wait(r"times are UTC.*in all")
    check("render timechart draws a chart over time", re.search(r"┤ *█", screen) is not None and "2025-11-20" in screen and "every 1m" in screen, screen)
    terminal.clear()
    terminal.type("\\chart timeseries b = sum(bytes) every 1m by dst_port")
    screen = terminal.wait(r"times are UTC.*in all")
    check("several series are a line each", re.search(r"^40001 .*90\.0 kB", screen, re.M) is not None and "each line to its own scale" in screen, screen)
    terminal.type("\\chart distinct action")
    screen = terminal.wait(r"no numbers to draw")
    check("\\chart says where there is nothing to draw", "no numbers to draw" in screen, screen)


def following(terminal, run, folder):
    terminal.clear()
    terminal.type("\\tail dst_prt == 22")
    screen = terminal.wait(r"did you mean")
    check("an error of \\tail points into what was typed", re.search(r"^sluice> .tail dst_prt == 22\n {14}\^~~~~~~$", screen, re.M) is not None, screen)
    terminal.clear()
    terminal.type("\\tail dst_port == 4444 | select src_ip, dst_port, bytes")
    terminal.wait(r"flows as they come in")
    more = f"{folder}/more.log"
    with open(more, "w") as f:
        f.write(LOG.splitlines()[0] + "\n" + "".join(f"2 1 eni-9 10.9.9.{i} 198.51.100.7 4000{i} {port} 6 1 77 1763625600 1763625660 ACCEPT OK\n" for i, port in ((1, 4444), (2, 80), (3, 4444))))
    sent = run("ingest", "--quiet", "--source", "aws_vpc", more)
    screen = terminal.wait(r"10\.9\.9\.3")
    check("\\tail shows flows that meet its filter as they come in",
          re.search(r"^10\.9\.9\.1 +4444 +77\n10\.9\.9\.3 +4444 +77$", screen, re.M) is not None and "10.9.9.2" not in screen, screen + sent.stderr)
    terminal.key("C-c")
    screen = terminal.wait(r"2 flows seen\n+sluice>")
    check("Ctrl-C ends it", re.search(r"2 flows seen\n+sluice>", screen) is not None, screen)


def exporting(terminal, run, folder):
    path = f"{folder}/out/flows.csv"
    os.mkdir(f"{folder}/out")
    terminal.clear()
    terminal.type("select src_ip, bytes | sort bytes")
    terminal.wait(r"rows in")
    terminal.type(f"\\export {path}")
    screen = terminal.wait(r"rows, [^\n]* in ")
    asked = run("query", "select src_ip, bytes | sort bytes", "--format", "csv").stdout
    check("\\export writes the last question's rows", os.path.exists(path) and open(path, newline="").read().splitlines() == asked.splitlines() and asked.startswith("src_ip,bytes"), screen)
    terminal.type("\\export flows.txt")
    screen = terminal.wait(r"what format")
    check("a name that tells no format is asked about", "flows.txt: what format?" in screen, screen)
    terminal.type(f"\\export {path} where src_prt == 1")
    screen = terminal.wait(r"did you mean")
    check("a wrong question leaves the file as it was", open(path, newline="").read().splitlines() == asked.splitlines() and os.listdir(f"{folder}/out") == ["flows.csv"], screen)


def main():
    bin_folder = os.path.abspath(sys.argv[1])
    if shutil.which("tmux") is None:
        print("tmux is not installed, so the prompt was not tried")
        return 77
    long_question(bin_folder)
    folder = tempfile.mkdtemp(prefix="sluice-prompt-")

    def start(http):
        return subprocess.Popen(
            [f"{bin_folder}/sluiced", "--data", f"{folder}/data", "--http", http, "--netflow", "127.0.0.1:0", "--sflow", "127.0.0.1:0"],
            stdout=subprocess.PIPE, stderr=open(f"{folder}/log", "a"), text=True)

    server = start("127.0.0.1:0")
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
        open_end = f"{folder}/open-end.log"
        with open(open_end, "w") as f:
            f.write(LOG.split("\n")[0] + "\n2 123456789012 eni-9 - - - - - - - 1763625600 1763625660 - NODATA")
        for known in (0, 1):
            whole = subprocess.run([f"{bin_folder}/sluice", "ingest", "--source", "aws_vpc", open_end], env=dict(os.environ, **env, NO_COLOR="1"), capture_output=True, text=True)
            check(f"a file without a last line end is one body, sent {known + 1} times", ("1 body known already" in whole.stdout) == bool(known) and "bodies" not in whole.stdout, whole.stdout + whole.stderr)
        cut_off = f"{folder}/cut-off.log.gz"
        with open(cut_off, "wb") as f:
            packed = zlib.compressobj(wbits=31)
            lines = LOG.split("\n")[0] + "\n" + "2 123456789012 eni-8 - - - - - - - 1763625600 1763625660 - NODATA\n" * 3 + "2 123456789012 eni-"
            f.write(packed.compress(lines.encode()) + packed.flush(zlib.Z_SYNC_FLUSH))
        cut = subprocess.run([f"{bin_folder}/sluice", "ingest", "--source", "aws_vpc", cut_off], env=dict(os.environ, **env, NO_COLOR="1"), capture_output=True, text=True)
        check("of a file that was cut off its whole lines count", cut.returncode == 1 and "0 records rejected, 3 without data" in cut.stdout and "ends early" in cut.stderr, cut.stdout + cut.stderr)
        asked = subprocess.run([f"{bin_folder}/sluice", "query", "src_ip in $who | stats n = count()", "--param", "who=10.0.0.5", "--param", "who=203.0.113.9", "--format", "csv"],
                               env=dict(os.environ, **env), capture_output=True, text=True)
        check("a parameter given twice is a list", asked.stdout.split() == ["n", "2"], asked.stdout + asked.stderr)
        rules = f"{folder}/doubtful.flowql"
        with open(rules, "w") as f:
            f.write("create rule deaf fires ('1 flow dst_port=23') as dst_port == 22; create rule fine fires ('1 flow dst_port=22') as dst_port == 22")
        applied = subprocess.run([f"{bin_folder}/sluice", "rules", "apply", rules], env=dict(os.environ, **env), capture_output=True, text=True)
        check("doubts about rules are told beside what was made", applied.returncode == 0 and applied.stdout.split("\n") == ["deaf created", "fine created", ""] and
              applied.stderr.startswith(f"{rules}: warning: the rule 'deaf' does not alert, and must, for its example '1 flow dst_port=23': ") and applied.stderr.count("\n") == 1,
              applied.stdout + applied.stderr)

        # A history that a disk has spoilt is begun anew.
        os.makedirs(f"{folder}/state/sluice")
        with open(f"{folder}/state/sluice/history", "w") as spoilt:
            spoilt.write("no history\n")
        os.chmod(f"{folder}/state/sluice/history", 0o600)
        terminal = Terminal(folder, f"{bin_folder}/sluice", env)
        screen = terminal.wait(r"^sluice>")
        check("greets, tells a newcomer what is there and shows the prompt",
              "Sluice at http://" in screen and "It has 3 flows" in screen and "You might ask:" in screen and "\\help" in screen, screen)

        terminal.type("stats n = count(), b = sum(bytes) by proto")
        screen = terminal.wait(r"1 row in")
        check("answers with a table and an account", re.search(r"^\s*tcp\s+3\s+95060\s*$", screen, re.M) is not None and "1 row in" in screen, screen)

        terminal.type("from flows |")
        terminal.wait(r"->\s*$")
        terminal.type("where src_prt == 53")
        screen = terminal.wait(r"did you mean")
        check("a query may have two lines, and an error points at its place",
              re.search(r"where src_prt == 53\n\s+\^~~~~~~", screen) is not None and "did you mean 'src_port'?" in screen, screen)

        terminal.type("where dst_po", enter=False)
        terminal.key("Tab")
        screen = terminal.wait(r"^sluice> where dst_port")
        check("TAB completes a column", "sluice> where dst_port" in screen, screen)
        terminal.type(" == 22 | select src_ip, action")  # the blank is there already, and is not doubled
        screen = terminal.wait(r"203\.0\.113\.9")
        check("the completed question is answered", re.search(r"203\.0\.113\.9\s+reject", screen) is not None, screen)

        terminal.wait(r"in all\s+sluice>\s*\Z")
        terminal.key("Up")
        # Below its answer: the same stands above it since it was asked.
        again = r"in all\s+sluice> where dst_port == 22 \| select src_ip, action\s*\Z"
        screen = terminal.wait(again)
        check("the arrow key brings back the last question", re.search(again, screen) is not None, screen)
        terminal.key("C-c")
        screen = terminal.wait(r"\^C\s+sluice>\s*\Z")
        check("Ctrl-C clears the line and stays", "^C" in screen, screen)

        terminal.type("\\set who 10.0.0.5")
        terminal.ready()
        terminal.type("ip == $who | stats n = count()")
        screen = terminal.wait(r"^\s*3\s*$")
        check("parameters are bound", re.search(r"^\s*3\s*$", screen, re.M) is not None, screen)

        terminal.ready()
        terminal.type("\\format csv")
        terminal.ready()
        terminal.type("distinct action | sort action")
        screen = terminal.wait(r"^reject")
        check("csv on demand", re.search(r"^accept\s*\nreject", screen, re.M) is not None, screen)
        terminal.ready()
        terminal.type("\\format table")
        terminal.ready()
        terminal.type("\\d vlan")
        screen = terminal.wait(r"inner_vlan")
        check("\\d lists columns by a part of their name", "inner_vlan" in screen, screen)

        terminal.clear()
        terminal.type("\\d sources")
        screen = terminal.wait(r"tells more of each")
        check("\\d of a table is a look that fits the window, and says how to have all", re.search(r"^name +bodies +bytes +accepted .*$", screen, re.M) is not None and re.search(r"^aws_vpc +\d", screen, re.M) is not None, screen)

        def run(*args, text=None):
            return subprocess.run([f"{bin_folder}/sluice", *args], env=dict(os.environ, **env), capture_output=True, text=True, input=text)

        terminal.clear()
        terminal.type("\\watch 200ms stats n = count()")
        screen = terminal.wait(r"every 0\.2s · \d\d:\d\d:\d\d.*^ *3$")
        first = re.search(r"every 0\.2s · (\S+)", screen)
        screen = terminal.wait(rf"every 0\.2s · (?!{first.group(1) if first else 'x'}).*^ *3$")
        check("\\watch asks again and again", first is not None and re.search(rf"every 0\.2s · (?!{first.group(1)}).*^ *3$", screen, re.M | re.S) is not None, screen)
        terminal.key("C-c")
        screen = terminal.ready()
        check("until Ctrl-C", re.search(r"sluice>\s*\Z", screen) is not None, screen)
        # The server goes, and comes again where it was.
        terminal.clear()
        terminal.type("\\watch 200ms stats n = count(), m = count()")
        terminal.wait(r"^ *3 +3$")
        server.kill()
        server.wait()
        screen = terminal.wait(r"last one: Connection refused")
        check("without a server \\watch keeps the last answer and says so once", re.search(r"^no answer now, this is the last one: Connection refused\n.*^ *3 +3$", screen, re.M | re.S) is not None and screen.count("refused") == 1, screen)
        server = start(address.group(1))
        server.stdout.readline()
        screen = terminal.wait(r"every 0\.2s[^\n]*\n[^\n]*\n\n.*^ *3 +3$")
        check("and goes on when there is one again", "no answer now" not in screen and re.search(r"^ *3 +3$", screen, re.M) is not None, screen)
        terminal.key("C-c")
        terminal.ready()
        server.kill()
        server.wait()
        terminal.type("top 5 src_", enter=False)
        terminal.key("Tab")
        screen = terminal.wait(r"does not answer")
        check("TAB without a server does not say that nothing fits", "the server does not answer: Connection refused" in screen, screen)
        terminal.key("C-u")
        server = start(address.group(1))
        server.stdout.readline()

        typing(terminal)
        pictures(terminal)
        exporting(terminal, run, folder)
        following(terminal, run, folder)
        terminal.ready()

        terminal.type("from flows | limit 2")
        screen = terminal.wait(r"^:")
        check("wide rows become records, and long answers are paged", re.search(r"^:", screen, re.M) is not None and "src_ip  " in screen, screen)
        terminal.key("q")
        terminal.wait(r"2 rows in")
        terminal.ready()
        terminal.type("\\pager off")
        terminal.ready()
        terminal.type("select src_ip, dst_ip, src_interface_id, flow_start, flow_end, received_at, cloud | limit 2")
        screen = terminal.wait(r"pager is off.*2 rows in")
        check("wide tables fit the terminal", "2 rows in" in screen and "…" in screen and all(len(line) <= 100 for line in screen.splitlines()), screen)

        terminal.clear()
        terminal.type("\\from yesteryear")
        screen = terminal.wait(r"error.*sluice>\s*\Z")
        check("a time that is none is refused at once", "error" in screen and "questions are about" not in screen, screen)
        terminal.type("\\from 2025-11-20")
        terminal.ready()
        terminal.type("\\to 2025-11-21")
        terminal.wait(r"2025-11-20 to 2025-11-21")
        terminal.ready()
        # The range is empty until both ends are moved.
        terminal.type("\\from 2026-01-01")
        terminal.ready()
        terminal.type("\\to 2026-01-02")
        screen = terminal.wait(r"questions are about 2026-01-01 to 2026-01-02")
        check("both ends of the range can be moved", "questions are about 2026-01-01 to 2026-01-02" in screen, screen)
        for command in ("\\from", "\\to"):
            terminal.ready()
            terminal.type(command)
        terminal.ready()
        terminal.type("\\nonsense")
        screen = terminal.wait(r"unknown command")
        check("unknown commands are named", "unknown command \\nonsense" in screen, screen)

        # Another prompt adds to the history meanwhile, and neither ends in a way to save anything.
        history = f"{folder}/state/sluice/history"
        check("a question is in the history as soon as it was asked", "nonsense" in open(history).read())
        check("what was no history is one", open(history).readline() == "_HiStOrY_V2_\n")
        terminal.ready()
        with open(history, "a") as another:
            another.write("asked\\040elsewhere\n")
        terminal.type("\\nonsense2")
        terminal.wait(r"unknown command .nonsense2")

        terminal.ready()
        terminal.key("C-d")
        for _ in range(50):
            if not os.path.exists(terminal.socket) or subprocess.run(["tmux", "-S", terminal.socket, "ls"], capture_output=True).returncode != 0:
                break
            time.sleep(0.1)
        check("what another prompt asked stays in the history", re.search(r"nonsense\nasked.040elsewhere\n.*nonsense2\n\Z", open(history).read(), re.S) is not None, open(history).read()[-300:])
        check("Ctrl-D leaves, and the history is kept for its owner alone",
              os.path.exists(history) and os.stat(history).st_mode & 0o077 == 0 and "dst_port" in open(history).read())

        # The smallest window that people have, and a large one: nothing runs over the edge, nothing that explains is cut.
        for width, height in ((80, 24), (200, 50)):
            terminal.close()
            terminal = Terminal(folder, f"{bin_folder}/sluice", env, width, height)
            seen = terminal.wait(r"^sluice>")
            check(f"the greeting fits {width} columns", re.search(r"^Sluice at http://\S+\n\\help tells", seen, re.M) is not None, seen)
            terminal.type("\\pager off")
            terminal.ready()
            terminal.type("\\d flow_end")
            seen = terminal.wait(r"retention use")
            check(f"the documentation of a column is whole at {width}", "…" not in seen and re.search(r"ranges, bins and\s+retention use$", seen, re.M) is not None, seen)
            terminal.clear()
            terminal.type("explain analyze dst_port == 443 | top 1 src_ip, dst_ip by sum(bytes) with others")
            seen = terminal.wait(r"in all")
            check(f"explain analyze is whole at {width}", "…" not in seen and "bytes read" in seen and re.search(r"^top 1 src_ip, dst_ip by sum\(bytes\) with others +\d", seen, re.M) is not None, seen)
            check(f"words of the timing line stay whole at {width}", re.search(r"^(in all|all)$", seen, re.M) is None and "in all" in seen, seen)
            # An error with much to say: words stay whole, and the caret stands under its word, on the typed line or below that line's part.
            terminal.clear()
            terminal.type("stats total_of_bytes = sum(bytes), number_of_flows = count() by src_ip, dst_ip, src_port, protocol | where nosuch == 1")
            seen = terminal.wait(r"the columns? here.*sluice>\s*\Z")
            lines = seen.splitlines()
            caret = next((i for i, line in enumerate(lines) if re.fullmatch(r" +\^~~~~~", line)), 0)
            hint = re.search(r"^(the columns here .*?)\nsluice>", seen, re.M | re.S)
            check(f"an error's caret stands under its word at {width}", caret > 0 and lines[caret - 1][lines[caret].find("^"):].startswith("nosuch == 1") and (width > 80) == lines[caret - 1].startswith("sluice> stats"), seen)
            check(f"its hint breaks between words at {width}", hint is not None and re.fullmatch(r"the columns here are ('\w+', ){5}'\w+'", hint.group(1).replace("\n  ", " ")) is not None and ("\n" in hint.group(1)) == (width == 80), seen)
            terminal.clear()
            terminal.type("\\export")
            seen = terminal.wait(r"behind the\s+name")
            check(f"the prompt's own words break between words at {width}", re.search(r"^.export FILE.csv, FILE.ndjson, FILE.parquet or FILE.arrows: [a-z ,]*\n?[a-z ,]*behind the\s+name$", seen, re.M) is not None, seen)
            terminal.clear()
            terminal.type("\\help")
            seen = terminal.wait(r"Ctrl-D +leaves")
            check(f"the help fits {width} columns", re.search(r"^  .pager on.off +long answers through less, or your PAGER$", seen, re.M) is not None and re.search(r"^  Ctrl-D +leaves$", seen, re.M) is not None, seen)
            terminal.ready()
            terminal.type("from flows | -- all")
            terminal.type("where dst_port == 22 |")
            terminal.wait(r"->\s*$")
            terminal.type("stats n = count() by action")
            terminal.wait(r"^reject +1$.*in all\s+sluice>\s*\Z")
            terminal.key("Up")
            lines = r"in all\s+sluice> from flows \| -- all\n +-> where dst_port == 22 \|\n +-> stats n = count\(\) by action\s*\Z"
            seen = terminal.wait(lines)
            check(f"a question of several lines comes back as it was at {width}", re.search(lines, seen) is not None, seen)
            terminal.key("C-c")
            terminal.wait(r"\^C\s+sluice>\s*\Z")

        # One-shot ways and exit codes. Three flows more have come in by then.
        result = run("query", "stats n = count()", "--format", "csv")
        check("query --format csv", result.returncode == 0 and result.stdout.split() == ["n", "6"], result.stdout + result.stderr)
        result = run("query", "ip == $who | stats n = count()", "--param", "who=10.0.0.5 or true", "--format", "csv")
        check("a parameter is never syntax", result.returncode == 1, result.stdout + result.stderr)
        result = run("query", "where src_prt == 1")
        check("a query error is exit code 1 with its caret on standard error", result.returncode == 1 and "^~~" in result.stderr and result.stdout == "", result.stderr)
        result = run("nonsense")
        check("wrong usage is exit code 2", result.returncode == 2, result.stderr)
        result = run(text="stats n = count()")
        check("a question by a pipe", result.returncode == 0 and "6" in result.stdout, result.stdout + result.stderr)
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
        check("the server ends well", code == 0, f"exit code {code}\n" + open(f"{folder}/log").read()[-2000:])
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{len(failures)} failed" if failures else "all well")
    return 1 if failures else 0


sys.exit(main())
