"""The table of address forms against the policy itself: no socket is opened."""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import forms


class TableTest(unittest.TestCase):
    def test_every_row(self):
        for options, rows in forms.by_options(forms.rows()).items():
            for row, verdict in zip(rows, forms.ask(options, [row.form for row in rows])):
                with self.subTest(options=" ".join(options), row=row):
                    self.assertEqual(verdict, row.verdict)

    def test_the_table_is_whole(self):
        """A table that was cut, or that has lost a kind of rows, must not pass for a good one."""
        rows = forms.rows()
        self.assertGreaterEqual(len(rows), 450)
        self.assertEqual(len({(row.options, row.form) for row in rows}), len(rows), "a row stands there twice")
        for verdict in forms.VERDICTS:
            self.assertGreater(sum(row.verdict == verdict for row in rows), 50, verdict)
        lengths = {value.rpartition("/")[2] for row in rows
                   for name, value in zip(row.options[::2], row.options[1::2]) if name == "--nat64-prefix"}
        self.assertEqual(lengths, {"32", "40", "48", "56", "64", "96"})


if __name__ == "__main__":
    unittest.main(verbosity=2)
