import gzip

import pytest

from analysis import AnalysisError
from analysis.collection import csv_rows
from analysis.collection.csv_rows import read_rows

HEAD = "a,b"


@pytest.fixture
def read(tmp_path):
    """The rows of a file by the line that they begin in, and what was left out."""

    def read(content: bytes | str):
        path = tmp_path / "export.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        left_out: list[str] = []
        frame = read_rows(str(path), ["a", "b"], left_out)
        rows = {int(str(line)): tuple(values) for line, *values in frame.itertuples()}
        return rows, [line.partition("export.csv ")[2] for line in left_out]

    return read


@pytest.mark.parametrize(
    ("rest", "rows"),
    [
        ('1,"two\nlines"\n3,4', {2: ("1", "two\nlines"), 4: ("3", "4")}),
        ('1,"a ""quoted"" word"\n3,4', {2: ("1", 'a "quoted" word'), 3: ("3", "4")}),
        ('1,"a,b"\r\n3,4\r\n', {2: ("1", "a,b"), 3: ("3", "4")}),
        ("1,2\n\n3,4", {2: ("1", "2"), 4: ("3", "4")}),
        ('1,"a\r\nb\n\nc"\n3,4', {2: ("1", "a\r\nb\n\nc"), 6: ("3", "4")}),
        ("1,a\x0bb\u2028c\x85\n3,4", {2: ("1", "a\x0bb\u2028c\x85"), 3: ("3", "4")}),
    ],
)
def test_rows_are_read_as_csv_has_them(rest, rows, read):
    assert read(f"{HEAD}\n{rest}") == (rows, [])


@pytest.mark.parametrize("stray", ['"1,2', '"1"x,2', '1,"2', '"1\n,x,"2'])
def test_a_stray_quote_costs_its_own_line_only(stray, read):
    rows, left_out = read(f"{HEAD}\n0,0\n{stray}\n3,4\n5,6")
    assert {("0", "0"), ("3", "4"), ("5", "6")} <= set(rows.values())
    assert left_out[0].startswith("line 3: a row must ")


def test_a_byte_order_mark_and_another_order_of_columns_are_read(read):
    assert read(b"\xef\xbb\xbfb,x,a\n1,2,3\n") == ({2: ("3", "1")}, [])


@pytest.mark.parametrize("head", ["a,b,a", "b,a,b,c", "a,a,b,b"])
def test_a_column_that_comes_twice_is_refused(head, read):
    with pytest.raises(AnalysisError, match="must come once"):
        read(f"{head}\n1,2,3,4")


def test_a_column_that_is_not_needed_may_come_twice(read):
    assert read("a,b,x,x\n1,2,3,4") == ({2: ("1", "2")}, [])


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_rows, "MOST_BYTES", 2**20)
    (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"0" * 2**21))
    with pytest.raises(AnalysisError, match="at most 1 MB"):
        read_rows(str(tmp_path / "bomb.csv.gz"), ["a", "b"], [])
