"""The page of the first reproduction says what its records say."""

import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from analysis.results.folder import ResultsFolder
from benchmarks.reproduction import archive
from benchmarks.reproduction.page import RECORDS, STORAGE, TABLES, page, results_of

FOLDER = Path(__file__).parent.parent / "docs" / "reproduction"


@pytest.fixture(scope="module")
def made_again() -> Iterator[tuple[ResultsFolder, ResultsFolder]]:
    with results_of(FOLDER / RECORDS) as found:
        yield found


def test_the_committed_page_is_what_the_records_give(
    made_again: tuple[ResultsFolder, ResultsFolder],
) -> None:
    assert page(*made_again, FOLDER) == (FOLDER / "index.md").read_text()


@pytest.mark.parametrize("name", TABLES)
def test_so_are_the_committed_tables(
    made_again: tuple[ResultsFolder, ResultsFolder], name: str
) -> None:
    ours = pq.read_table(Path(made_again[0].uri) / f"{name}.parquet")
    theirs = pq.read_table(FOLDER / "tables" / f"{name}.parquet")
    order = [(column, "ascending") for column in ours.column_names]
    assert theirs.sort_by(order).equals(ours.sort_by(order))


def test_a_missing_record_changes_the_page(tmp_path: Path) -> None:
    archive.unpack(FOLDER / RECORDS, tmp_path)
    next((tmp_path / STORAGE / "records").iterdir()).unlink()
    storages = {path.name: path for path in tmp_path.iterdir()}
    archive.pack(storages, tmp_path / RECORDS)
    with results_of(tmp_path / RECORDS) as found:
        assert page(*found, FOLDER) != (FOLDER / "index.md").read_text()


def test_an_archive_gives_the_storages_back_and_keeps_what_is_newer(tmp_path: Path) -> None:
    archive.unpack(FOLDER / RECORDS, tmp_path / "first")
    record = next((tmp_path / "first" / STORAGE / "records").iterdir())
    record.write_text("newer")
    archive.unpack(FOLDER / RECORDS, tmp_path / "first")
    assert record.read_text() == "newer"
    storages = {path.name: path for path in (tmp_path / "first").iterdir()}
    archive.pack(storages, tmp_path / "one")
    archive.pack(storages, tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_every_resumed_trial_that_was_run_again_is_equal_to_the_last_digit() -> None:
    text = (FOLDER / "index.md").read_text()
    section = text.partition("## Stopped, killed, and gone on")[2].partition("\n## ")[0]
    gaps = re.findall(r"\| ([^|]+) \|$", section, flags=re.MULTILINE)[2:]
    assert gaps
    assert set(gaps) == {"0"}
