"""Reads all records and judges all claims as this is imported: what is forked afterwards finds in memory what was read,
and the tests that were made.
"""

from contextlib import suppress

from vgglib.analysis import evidence
from vgglib.results import Store
from vgglib.verdicts import judge

with suppress(ValueError, OSError):  # a page that shows a record says what is wrong with it
    for rows in evidence.everything(Store()).values():
        judge(rows)
