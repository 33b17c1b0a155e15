#!/usr/bin/env python3
"""Every file of the conformance data is read by a test, or stands below with the reason why not.

inventory_test.py [--without-parquet] DATA PROGRAM…. Runs the conformance tests while the kernel (inotify) tells which files are read: what a test
says that it reads is not asked. A file that nobody reads fails, and so does a reason that holds for no file any more.
"""
import ctypes
import fnmatch
import os
import select
import struct
import subprocess
import sys
import threading
import time
import unittest

# Pattern of files, and why no test reads them.
UNREAD = [
    ("*MANIFEST.md", "says where the data comes from"),
    ("*LICENSE", "a licence"),
    ("cloud/LICENSES/*", "licences"),
    ("cloud/otel/aws/vpc_flow_log_too_few_fields_expected.yaml", "a later revision of the origin accepts the line; here it is rejected, which the manifest calls right too (aws_test)"),
    ("cloud/otel/aws/valid_vpc_flow_log_single_expected.yaml", "one record without flow (NODATA): no row here; counted (aws_test)"),
    ("cloud/otel/aws/valid_vpc_flow_log_expected_iso8601.yaml", "the same record with its times as text"),
    ("cloud/real/IBM_FlowLogger/test", "a rendering for people; test.derived.json beside it has the values and is read"),
    ("cloud/real/criblpacks_cribl-vpc-flow-for-security-teams/ZP04h5.json", "ZP04h5.raw.log beside it holds its records as the log file they were, and is read"),
    ("cloud/security_lake/ROUTE53/inputs/*", "DNS queries of a resolver: no flow records, and no source here"),
]
PARQUET = ("cloud/security_lake/VPC_FLOW/*.parquet", "this build reads no Parquet (Apache Arrow is not there)")

IN_ACCESS = 0x1


class Watch:
    """Names of files below a folder that are read from now on, by whomever."""

    def __init__(self, root):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self.libc.inotify_init()
        if self.fd < 0:
            raise unittest.SkipTest("the kernel has no inotify: what tests read cannot be seen")
        self.root, self.folders, self.seen, self.overflow = root, {}, set(), False
        for folder, _, _ in os.walk(root):
            wd = self.libc.inotify_add_watch(self.fd, folder.encode(), IN_ACCESS)
            if wd < 0:
                raise unittest.SkipTest(f"{folder} cannot be watched: {os.strerror(ctypes.get_errno())}")
            self.folders[wd] = os.path.relpath(folder, root)
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.take, daemon=True)
        self.thread.start()

    def take(self):
        while True:
            ready, _, _ = select.select([self.fd], [], [], 0.1)
            if not ready:
                if self.stopped.is_set():
                    return
                continue
            events = os.read(self.fd, 1 << 20)
            while events:
                wd, mask, _, length = struct.unpack_from("iIII", events)
                name = events[16:16 + length].split(b"\0")[0].decode()
                events = events[16 + length:]
                self.overflow |= wd < 0
                if name and wd in self.folders and mask & IN_ACCESS:
                    self.seen.add(os.path.normpath(os.path.join(self.folders[wd], name)))

    def stop(self):
        if not self.stopped.is_set():
            self.stopped.set()
            self.thread.join()
            os.close(self.fd)


class Inventory(unittest.TestCase):
    data, programs, unread = None, [], UNREAD

    def test_every_file_is_read_or_has_a_reason(self):
        if not os.path.isdir(self.data):
            self.skipTest(f"no conformance data at {self.data}")
        files = {os.path.relpath(os.path.join(folder, name), self.data) for folder, _, names in os.walk(self.data) for name in names}
        # The test of the test: a file that is read is seen.
        watch = Watch(self.data)
        self.addCleanup(watch.stop)
        probe = "MANIFEST.md"
        with open(os.path.join(self.data, probe), "rb") as f:
            f.read()
        by = {}
        for program in self.programs:
            before = set(watch.seen)
            done = subprocess.run([program], capture_output=True, timeout=500, cwd=os.environ.get("SLUICE_ROOT", os.getcwd()))
            self.assertEqual(done.returncode, 0, f"{program}: {done.stdout[-2000:].decode(errors='replace')}")
            time.sleep(0.3)  # the thread has taken what there is
            by[os.path.basename(program)] = len(watch.seen - before)
        watch.stop()
        self.assertFalse(watch.overflow, "events were lost; run again")
        self.assertIn(probe, watch.seen, "reading is not seen on this file system")
        watch.seen.discard(probe)
        read = files & watch.seen
        reasons = {pattern: [f for f in files - read if fnmatch.fnmatchcase(f, pattern)] for pattern, _ in self.unread}
        print(f"{len(read)} of {len(files)} files are read: " + ", ".join(f"{program} {count}" for program, count in by.items()), file=sys.stderr)
        explained = {f for matched in reasons.values() for f in matched}
        self.assertEqual(sorted(files - read - explained), [], "read by no test, and no reason given")
        self.assertEqual([p for p, matched in reasons.items() if not matched], [], "reasons that hold for no file")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments and arguments[0] == "--without-parquet":
        arguments.pop(0)
        Inventory.unread = UNREAD + [PARQUET]
    Inventory.data, *Inventory.programs = arguments
    program = unittest.main(argv=sys.argv[:1], exit=False, verbosity=2)
    sys.exit(0 if program.result.wasSuccessful() else 1)
