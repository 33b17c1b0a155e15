#!/usr/bin/env python3
"""The programs of docs/clients.md, run as they stand there against a real server. Run: clients_test.py PATH-OF-SLUICED"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import sluiced
from sluiced import Sluiced

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "clients.md")
FRAME = "Into a data frame"  # wants more than a language's own library: Python's is run by frames_test.py, R's by nobody
TASKS = ["Ask", "Read a long answer", "Send", "Follow"]
# Each language's fence, the file a program goes to, and how it is run; the first word is the tool that must be there.
LANGUAGES = {"curl": ("sh", "program.sh", ["curl"], ["bash", "-eu", "program.sh"]),
             "Python": ("python", "program.py", [sys.executable], [sys.executable, "program.py"]),
             "Go": ("go", "main.go", ["go"], ["./program"])}


def programs():
    """(language, task) -> (fence, text)"""
    with open(PAGE, encoding="utf-8") as file:
        page = file.read()
    found = {}
    for language, section in re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.M | re.S):
        for task, fence, text in re.findall(r"^### ([^\n]+)\n```(\w+)\n(.*?)^```$", section, re.M | re.S):
            assert (language, task) not in found
            found[language, task] = (fence, text)
    return found


class Clients(unittest.TestCase):
    def setUp(self):
        self.server = Sluiced().__enter__()
        self.addCleanup(self.server.__exit__)
        admin = self.server.post("/v1/admin/tokens", b'{"name":"ops","role":"admin"}').json()["token"]
        self.tokens = {role: self.server.post("/v1/admin/tokens", f'{{"name":"{role}","role":"{role}"}}', token=admin).json()["token"] for role in ("read", "ingest")}
        self.server.token = admin
        self.folder = tempfile.mkdtemp(prefix="sluice-clients-")
        self.addCleanup(shutil.rmtree, self.folder)

    def flow(self, source, bytes_=840, port=443):
        now = int(time.time())
        line = f"2 123456789012 eni-0a {source} 172.31.0.9 40000 {port} 6 10 {bytes_} {now - 60} {now} ACCEPT OK\n"
        self.assertEqual(self.server.post("/v1/ingest/aws_vpc", line).json()["accepted"], 1)

    def program(self, language, task):
        """Starts it, with the least token that the page says it needs."""
        fence, file, tools, command = LANGUAGES[language]
        for tool in tools:
            if not shutil.which(tool):
                self.skipTest(f"the programs in {language} were not run: there is no {tool}")
        folder = os.path.join(self.folder, language + task.split()[0])
        os.mkdir(folder)
        said, text = programs()[language, task]
        self.assertEqual(said, fence)
        with open(os.path.join(folder, file), "w", encoding="utf-8") as out:
            out.write(text)
        if language == "Go":
            built = subprocess.run(["go", "build", "-o", "program", file], cwd=folder, capture_output=True, text=True, timeout=240)
            self.assertEqual(built.returncode, 0, built.stderr)
            self.assertEqual(subprocess.run(["go", "vet", file], cwd=folder, capture_output=True, text=True, timeout=240).stderr, "")
        environment = {**os.environ, "SLUICE_SERVER": "http://" + self.server.http, "SLUICE_TOKEN": self.tokens["ingest" if task == "Send" else "read"], "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()
        process.stderr.close()

    def output(self, language, task):
        process = self.program(language, task)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, out + err)
        self.assertEqual(err, "")
        return out

    def refused(self, language, task):
        """What it says, and that it ends with an error, when the server knows it not."""
        tokens, self.tokens = self.tokens, {"read": "sluice_" + "0" * 64, "ingest": "sluice_" + "0" * 64}
        process = self.program(language, task)
        out, err = process.communicate(timeout=60)
        self.tokens = tokens
        self.assertNotEqual(process.returncode, 0)
        shutil.rmtree(os.path.join(self.folder, language + task.split()[0]))
        return out + err

    def check(self, language):
        self.flow("10.0.0.5")
        self.flow("10.0.0.6", bytes_=1000)
        self.flow("10.0.0.7", bytes_=2**53 + 1, port=22)
        with self.subTest("Ask"):
            self.assertIn("token", self.refused(language, "Ask"))
            out = self.output(language, "Ask")
            if language == "curl":
                self.assertIn('["10.0.0.6",1,1000]', out)
            else:
                self.assertEqual(out.splitlines(), ["10.0.0.6 1 1000", "10.0.0.5 1 840"])
        with self.subTest("Read a long answer"):
            out = self.output(language, "Read a long answer")
            if language == "curl":
                self.assertEqual(len(out.splitlines()), 3)
                self.assertIn('"bytes":9007199254740993', out)
            else:
                self.assertEqual(out, f"{2**53 + 1 + 840 + 1000} bytes\n")
        with self.subTest("Send"):
            self.assertIn("token", self.refused(language, "Send"))
            out = self.output(language, "Send")
            self.assertIn('"accepted":1' if language == "curl" else "1 accepted, 0 rejected", out)
            self.assertEqual(self.server.wait_count(2, "| where src_ip == 10.0.0.5"), 2)
        with self.subTest("Follow"):
            process = self.program(language, "Follow")
            self.assertTrue(sluiced.wait_until(lambda: self.server.metric("sluice_streams") == 1 or process.poll() is not None, seconds=30))
            self.flow("10.9.9.9", port=22)  # not asked for
            self.flow("10.9.9.8")
            line = ""
            while "10.9.9" not in line:
                line = process.stdout.readline()
                self.assertNotEqual(line, "", "it ended" if process.poll() is not None else "")
            self.assertIn("10.9.9.8", line)

    def test_every_language_has_every_program(self):
        self.assertEqual(set(programs()), {(language, task) for language in LANGUAGES for task in TASKS} | {("Python", FRAME), ("R", FRAME)})

    def test_curl(self):
        self.check("curl")

    def test_python(self):
        self.check("Python")

    def test_go(self):
        self.check("Go")


if __name__ == "__main__":
    sluiced.PROGRAM = sys.argv.pop(1)
    unittest.main()
