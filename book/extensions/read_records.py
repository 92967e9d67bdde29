"""Reads all records and judges all claims as this is imported: what is forked afterwards finds in memory what was read,
and the tests that were made.
"""

from contextlib import suppress

from vgglib.analysis import evidence
from vgglib.results import Store
from vgglib.verdicts import judge

with suppress(Exception):  # it would end the server; a page that shows the same says what is wrong
    for rows in evidence.everything(Store()).values():
        judge(rows)
