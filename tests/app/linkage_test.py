"""What libraries give sluiced its functions. Run: linkage_test.py PATH-OF-SLUICED"""
import os
import re
import subprocess
import sys
import unittest

PROGRAM = None


class Linkage(unittest.TestCase):
    def test_arrow_gives_nothing_but_its_own(self):
        """libarrow carries other libraries and shows their symbols: sluiced must not take those, because its headers are of other versions."""
        # The dynamic linker of glibc itself says whom it takes each symbol from.
        said = subprocess.run([PROGRAM, "--version"], env={**os.environ, "LD_BIND_NOW": "1", "LD_DEBUG": "bindings"}, capture_output=True, timeout=30).stderr.decode(errors="replace")
        bound = re.findall(r"binding file (\S+) \[0\] to (\S+) \[0\]: normal symbol [`']([^']+)'", said)
        own = [(library, symbol) for file, library, symbol in bound if os.path.realpath(file) == os.path.realpath(PROGRAM)]
        if not own:
            self.skipTest("the dynamic linker of this system does not say what it binds")
        of_arrow = [symbol for library, symbol in own if os.path.basename(library).startswith(("libarrow.", "libparquet."))]
        if not of_arrow:
            self.skipTest("this sluiced was built without Apache Arrow")
        self.assertEqual([s for s in of_arrow if not re.search(r"5arrow|7parquet", s)], [])


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main()
