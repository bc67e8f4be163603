"""The conformance rows, as far as no directive has a meaning here."""

import pytest

from tests.corefile.files import parsed
from tests.support.rows import corefile_rows

# Rejected once the directives have a meaning: unknown or repeated ones, and zones that are served twice.
MEANING = {"f001", "f007", "f417", "f434", "f435", "f437", "f457"}

ROWS = corefile_rows()
# Up to here the rows are about the file, not about one directive.
GRAMMAR = [row for row in ROWS if row.id < "f036" or row.what.startswith("grammar:")]


@pytest.mark.parametrize("row", [row for row in ROWS if row.ok or row.id in MEANING], ids=lambda row: row.id)
def test_accepted(row):
    assert parsed(row.corefile).errors == ()


@pytest.mark.parametrize(
    "row", [row for row in GRAMMAR if not row.ok and row.id not in MEANING], ids=lambda row: row.id
)
def test_rejected_with_one_error(row):
    (error,) = parsed(row.corefile).errors
    assert row.line in (None, error.line)
    assert error.hint or "still open" in error.message
