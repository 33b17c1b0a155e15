#!/usr/bin/env python3
"""What scripts/test says of a run: test_summary_test.py PATH-OF-test-summary"""
import os
import subprocess
import sys
import tempfile
import unittest

SCRIPT = None

PRINTED = """Test project /x
      Start  1: tidy
1/4 Test  #1: tidy ..................   Passed    0.10 sec
2/4 Test  #2: unit_store ............   Passed    1.00 sec
3/4 Test  #3: app_prompt ............***Skipped   0.05 sec
4/4 Test  #4: unit_broken ...........***Failed    0.05 sec
broken.cc:7: Failure
  Actual: false
      Start  5: late
75% tests passed, 1 tests failed out of 4

The following tests did not run:
\t  3 - app_prompt (Skipped)
"""
LOG = """[ RUN      ] Store.GoesOnAfterAFullDisk
/x/store_test.cc:830: Skipped
may not mount a small file system here; the full disk is not tested

[  SKIPPED ] Store.GoesOnAfterAFullDisk (0 ms)
[ RUN      ] Store.Fine
[       OK ] Store.Fine (1 ms)
[  PASSED  ] 1 test.
[  SKIPPED ] 1 test, listed below:
[  SKIPPED ] Store.GoesOnAfterAFullDisk
test_roles (__main__.Access.test_roles) ... ok
test_tls (__main__.Access.test_tls) ... skipped 'no openssl command'
"""


class Summary(unittest.TestCase):
    def of(self, printed, log):
        with tempfile.TemporaryDirectory() as folder:
            paths = [os.path.join(folder, n) for n in ("printed", "log")]
            for path, text in zip(paths, (printed, log)):
                if text is not None:
                    with open(path, "w") as f:
                        f.write(text)
            run = subprocess.run([sys.executable, SCRIPT, *paths], capture_output=True, text=True)
            return run.returncode, run.stdout.splitlines()

    def test_programs_and_cases_that_skip_are_counted(self):
        code, lines = self.of(PRINTED, LOG)
        self.assertEqual(code, 0)
        self.assertEqual(lines[0], "2 1 3")
        self.assertEqual(lines[1:], ["skipped app_prompt",
                                     "skipped Store.GoesOnAfterAFullDisk: may not mount a small file system here; the full disk is not tested",
                                     "skipped test_tls: no openssl command",
                                     "failed unit_broken, the end of what it said:", "    broken.cc:7: Failure", "      Actual: false"])

    def test_of_what_failed_the_end_is_shown(self):
        _, lines = self.of("1/1 Test #1: chatty ...***Failed  1 sec\n" + "".join(f"line {i}\n" for i in range(500)) + "0% tests passed, 1 tests failed out of 1\n", "")
        self.assertEqual([lines[2], lines[-1], len(lines)], ["    line 400", "    line 499", 102])
        _, lines = self.of("1/1 Test #1: crashed ...***Exception: SegFault  1 sec\nwords\n0% tests passed, 1 tests failed out of 1\n", "")
        self.assertEqual(lines[1:], ["failed crashed, the end of what it said:", "    words"])

    def test_a_run_without_skips(self):
        self.assertEqual(self.of("100% tests passed, 0 tests failed out of 40\n", "[       OK ] A.B (1 ms)\n"), (0, ["40 0 0"]))
        self.assertEqual(self.of("100% tests passed, 0 tests failed out of 1\n", None), (0, ["1 0 0"]))

    def test_no_run_is_an_error(self):
        self.assertEqual(self.of("CMake Error\n", ""), (1, ["0 0 0"]))


if __name__ == "__main__":
    SCRIPT = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
