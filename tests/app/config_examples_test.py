#!/usr/bin/env python3
"""The configuration that the manual shows is one that the server starts with: every ```toml block of docs/, with files and folders of its own.
Run: config_examples_test.py PATH-OF-SLUICED"""
import glob
import os
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
SLUICED = ""
# A page of a source without one does not say how its flows come here.
SOURCES_WITH_BLOCKS = ["aws_vpc", "azure_nsg", "azure_vnet", "gcp_vpc", "hubble", "ibm_vpc", "oci_vcn", "suricata", "zeek"]


def blocks():
    for page in sorted(glob.glob(os.path.join(ROOT, "docs", "**", "*.md"), recursive=True)):
        with open(page, encoding="utf-8") as file:
            text = file.read()
        for match in re.finditer(r"^```toml\n(.*?)^```", text, re.S | re.M):
            yield os.path.relpath(page, os.path.join(ROOT, "docs")), text.count("\n", 0, match.start()) + 2, match.group(1)


class ConfigExamples(unittest.TestCase):
    def test_every_block_starts(self):
        found = list(blocks())
        for source in SOURCES_WITH_BLOCKS:
            self.assertTrue(any(page == f"sources/{source}.md" for page, _, _ in found), f"docs/sources/{source}.md shows no configuration")
        for page, line, text in found:
            with self.subTest(f"docs/{page}:{line}"), tempfile.TemporaryDirectory(prefix="sluice-config-") as folder:
                # What the page names of the reader's machine lies in a folder of ours.
                def ours(match):
                    path = folder + match.group(1)
                    is_file = os.path.splitext(path)[1] or "/etc/" in path
                    os.makedirs(os.path.dirname(path) if is_file else path, exist_ok=True)
                    if is_file:
                        with open(path, "w", encoding="utf-8") as file:
                            file.write("index,name\n1,uplink\n" if path.endswith(".csv") else "sv=2022-11-02&sig=c2VjcmV0\n" if path.endswith(".sas") else "secret\n")
                    return f'"{path}"'

                text = re.sub(r'"(/[^"]+)"', ours, text)
                # Nobody else's server is asked.
                text = re.sub(r'^(kind = "(?:s3|azure_blob)")', r'\1\nproxy = "http://127.0.0.1:9"', text, flags=re.M)
                text = re.sub(r'^brokers = .*', 'brokers = "127.0.0.1:9"', text, flags=re.M)
                config = os.path.join(folder, "sluice.toml")
                with open(config, "w", encoding="utf-8") as file:
                    file.write(text.replace("${version} …", "${version} ${srcaddr}"))
                server = subprocess.Popen([SLUICED, "--config", config, "--data", folder + "/data", "--http", "127.0.0.1:0", "--netflow", "none", "--sflow", "none"],
                                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ, AWS_ACCESS_KEY_ID="AKIAEXAMPLE", AWS_SECRET_ACCESS_KEY="secret"))
                first = server.stdout.readline()
                server.terminate()
                _, log = server.communicate(timeout=60)
                self.assertTrue(first.startswith("ready "), f"{log}\n{text}")


if __name__ == "__main__":
    SLUICED = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
