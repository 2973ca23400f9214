"""Exports, queries and names, for what makes tables, answers and figures of them."""

import csv
import gzip
import io
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import analysis.cli
from analysis.results.answers import FORMATS
from lab.fuzz import grammar
from lab.fuzz.attempt import command
from lab.fuzz.spoil import NAMES, NUMBERS, spoilt

Attempt = Callable[[random.Random], object]
EXPORT = Path(__file__).parents[2] / "tests/golden/mlflow-emoji-2.csv.gz"
ROWS = 12  # of the export, and more where a table needs them
NAMED = ("params.model", "params.data", "run_id", "tags.mlflow.source.git.commit")


def _rows() -> list[list[str]]:
    text = gzip.decompress(EXPORT.read_bytes()).decode()
    return list(csv.reader(io.StringIO(text)))


def _written(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


def exports(folder: Path) -> Attempt:
    """For import-mlflow."""
    rows, path = _rows()[: ROWS + 1], folder / "export.csv"
    whole = _written(rows)

    def attempt(rng: random.Random) -> int:
        if rng.random() < 0.4:
            path.write_bytes(spoilt(whole, rng))
        else:
            copy = [list(row) for row in rows]
            for _ in range(rng.randint(1, 4)):
                row = rng.choice(copy[1:] if rng.random() < 0.9 else copy)
                row[rng.randrange(len(row))] = str(rng.choice((*NAMES, *NUMBERS[:5])))
            path.write_bytes(_written(copy))
        shutil.rmtree(folder / "results", ignore_errors=True)
        out = str(folder / "results")
        return command(analysis.cli.main, "import-mlflow", str(path), "--out", out)

    return attempt


def results(folder: Path) -> Attempt:
    """For what reads a results folder's tables."""
    place = folder / "results"
    command(analysis.cli.main, "import-mlflow", str(EXPORT), "--out", str(place))
    whole = {path: path.read_bytes() for path in sorted(place.glob("*.parquet"))}
    asked = (("tables", "accuracy"), ("query", "select count(*) from trials"), ("compare",))

    def attempt(rng: random.Random) -> int:
        for path, content in whole.items():
            path.write_bytes(content)
        path = rng.choice(list(whole))
        if rng.random() < 0.5:
            path.write_bytes(spoilt(whole[path], rng))
        else:
            table = pq.read_table(io.BytesIO(whole[path]))
            pq.write_table(_other_table(table, rng), path)
        where = ("--results", str(place), "--source", "published")
        arguments = rng.choice(asked)
        return command(analysis.cli.main, *arguments, *where[: 2 if "query" in arguments else 4])

    return attempt


def _other_table(table: pa.Table, rng: random.Random) -> pa.Table:
    """A column or the metadata of a table as it should not be."""
    at = rng.randrange(table.num_columns)
    marks = table.schema.metadata or {}
    match rng.randrange(4):
        case 0:
            return table.remove_column(at)
        case 1:
            return table.set_column(at, table.schema.names[at], pa.nulls(table.num_rows))
        case 2:
            return table.slice(rng.randrange(2), table.num_rows // 2)
        case _:
            return table.replace_schema_metadata(marks | {rng.randbytes(3): rng.randbytes(3)})


def queries(folder: Path) -> Attempt:
    """For SQL over imported tables, and for each format of an answer."""
    results = str(folder / "results")
    command(analysis.cli.main, "import-mlflow", str(EXPORT), "--out", results)

    def attempt(rng: random.Random) -> int:
        kind = rng.choice(("table", *FORMATS))
        arguments = ["query", grammar.sql(rng), "--results", results, "--seconds", "2"]
        if kind != "table":
            arguments += ["--out", str(folder / f"answer.{kind}")]
        return command(analysis.cli.main, *arguments, "--format", kind)

    return attempt


def names(folder: Path) -> Attempt:
    """Of models and datasets, for printed tables, answers, figures and the report."""
    rows, path = _rows(), folder / "export.csv"
    columns = [rows[0].index(name) for name in NAMED]

    def attempt(rng: random.Random) -> int:
        copy = [list(row) for row in rows]
        for column in rng.sample(columns[:2], rng.randint(1, 2)) + rng.sample(columns[2:], 1):
            old, new = rng.choice(copy[1:])[column], rng.choice(NAMES)
            for row in copy[1:]:
                row[column] = new if row[column] == old else row[column]
        path.write_bytes(_written(copy))
        results = folder / "results"
        shutil.rmtree(results, ignore_errors=True)
        status = command(analysis.cli.main, "import-mlflow", str(path), "--out", str(results))
        where = ("--results", str(results), "--source", "published")
        drawn = rng.random()
        if drawn < 0.6:
            arguments = ("tables", "--format", rng.choice(("md", "tex")), *where)
        elif drawn < 0.7:  # data for a program, as it is
            arguments = ("tables", "--format", "csv", "--out", str(folder / "csv"), *where)
        elif drawn < 0.96:
            arguments = ("query", "select model, dataset, point_id from trials", *where[:2])
        elif drawn < 0.99:
            arguments = ("figures", "generalization", *where)
        else:
            arguments = ("report", *where)
        return command(analysis.cli.main, *arguments) or status

    return attempt
