"""The rows of a CSV file from elsewhere: each is used, or named with the rule that it breaks."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from analysis.errors import AnalysisError

MOST_BYTES = 2**28  # of a file, unpacked


def read_rows(path: str, needed: Sequence[str], left_out: list[str]) -> pd.DataFrame:
    """The columns ``needed`` of a CSV file (or .csv.gz), all text, indexed by line number.

    ``left_out`` gets a sentence for each line that is no row of the table. Raises AnalysisError for
    a file that is cut off, too large, or no CSV with these columns, each of them once.
    """
    lines = _unpacked(path).decode("utf-8-sig", errors="replace")
    rows = _records(io.StringIO(lines, newline="").readlines())
    names = next((values for _, values, _ in rows), [])
    missing = [name for name in needed if name not in names]
    if missing:
        raise AnalysisError(
            f"An export must be CSV with the columns {', '.join(needed)}; "
            f"{path} lacks {', '.join(missing)}."
        )
    if twice := sorted({name for name in needed if names.count(name) > 1}):
        raise AnalysisError(
            f"A column of an export must come once; {path} has {', '.join(twice)} more often."
        )
    good: dict[int, list[str]] = {}
    for number, values, why in rows:
        if len(values) == len(names):
            good[number] = values
        else:
            rule = f"a row must have {len(names)} fields; it has {len(values)}"
            left_out.append(f"{path} line {number}: {why or rule}.")
    return pd.DataFrame.from_dict(good, orient="index", columns=names)[list(needed)].astype(str)


def _unpacked(path: str) -> bytes:
    with Path(path).open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if packed else Path(path).open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise AnalysisError(f"An export must be a whole file; {path} is not: {error}.") from None
    if len(data) > MOST_BYTES:
        raise AnalysisError(
            f"An export must hold at most {MOST_BYTES / 2**20:.0f} MB; {path} holds more."
        )
    return data


def _records(lines: Sequence[str]) -> Iterator[tuple[int, list[str], str]]:
    """The number of each record's first line, its fields, and why it is none.

    A field in quotes may go over several lines. A stray quote would take in the lines that follow:
    what begins with one, and has not as many fields as the first record, costs its first line only.
    """
    start, width = 0, 0
    while start < len(lines):
        reader = csv.reader((lines[place] for place in range(start, len(lines))), strict=True)
        try:
            values, why = next(reader), ""
        except csv.Error as error:
            values, why = [], f"a row must be CSV; {error}"
        width = width or len(values)
        whole = not why and len(values) == width
        if values or why:
            yield start + 1, values, why
        start += reader.line_num if whole else 1


class Sieve:
    """Rows that can be used; each that cannot is named with the first rule that it breaks."""

    def __init__(self, rows: pd.DataFrame, path: str, left_out: list[str]) -> None:
        self.rows, self._path, self._left_out = rows, path, left_out

    def keep(self, good: pd.Series, rule: str, name: str) -> None:
        """Go on with the rows that are ``good``; ``name`` is the column that the rule is about."""
        for line, value in self.rows.loc[~good, name].items():
            self._left_out.append(f"{self._path} line {line}: {rule}; got {value!r:.60}.")
        self.rows = self.rows[good].copy()

    def number(self, name: str, *, low: float, high: float, whole: bool = False) -> None:
        """Turn a column into numbers within ``low`` .. ``high``."""
        values = pd.to_numeric(self.rows[name], errors="coerce")
        good = values.between(low, high) & ((values % 1 == 0) if whole else True)
        kind = "a whole number" if whole else "a number"
        self.keep(good, f"{name} must be {kind} in {low:g} .. {high:g}", name)
        self.rows[name] = values[good].astype("int64" if whole else "float64")

    def time(self, name: str) -> None:
        """Turn a column into times, with or without fractions of a second or a zone (then UTC)."""
        values = pd.to_datetime(self.rows[name], errors="coerce", utc=True, format="ISO8601")
        self.keep(values.notna(), f"{name} must be an ISO 8601 time", name)
        self.rows[name] = values[values.notna()].astype("datetime64[us, UTC]")
