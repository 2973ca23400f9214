"""What a query may ask for: times in UTC, values that files can hold, an end."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pyarrow.parquet as pq
import pytest

from analysis import AnalysisError
from analysis.collection.collect import collect
from analysis.results import query as queries
from analysis.results.answers import FORMATS, as_file
from analysis.results.query import query


@pytest.fixture
def results(tmp_path, make_record, put) -> str:
    put(tmp_path / "runs", make_record())  # started 2026-11-22 10:00 UTC
    collect([str(tmp_path / "runs")], str(tmp_path / "results"))
    return str(tmp_path / "results")


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/St_Johns"])
def test_times_are_utc_on_a_machine_of_any_zone(zone, results):
    sql = (
        "select count(*) filter (where started_at > timestamp '2026-11-22 09:59:59') as later, "
        "count(*) filter (where started_at < timestamp '2026-11-22 10:00:01') as earlier, "
        "max(hour(started_at)) as hour, max(started_at::varchar) as shown, "
        "max(started_at::date)::varchar as day, max(date_trunc('day', started_at)) as midnight "
        "from trials"
    )
    command = [sys.executable, "-m", "analysis", "query", sql, "--format", "json"]
    done = subprocess.run(
        [*command, "--results", results],
        env=os.environ | {"TZ": zone},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [
        {
            "later": 1,
            "earlier": 1,
            "hour": 10,
            "shown": "2026-11-22 10:00:00+00",
            "day": "2026-11-22",
            "midnight": "2026-11-22 00:00:00+00:00",
        }
    ]


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("interval 3 days", "3 days"),
        ("'101'::bit", "101"),
        ("timetz '10:00:00+02'", "10:00:00+02"),
        ("[interval 1 day]", "[1 day]"),
        ("{'a': '1'::bit}", "{'a': 1}"),
        ("340282366920938463463374607431768211455::uhugeint", "3402823669209384634633746074"),
        ("null::interval", None),
    ],
)
def test_values_that_no_file_can_hold_come_as_text(sql, value, results, tmp_path):
    answer = query(f"select 1 as x, {sql} as x -- a remark", results)
    [row] = json.loads(as_file(answer, "json"))
    assert row["x"] == 1
    assert row["x_2"] == value or row["x_2"].startswith(value)
    (tmp_path / "answer.parquet").write_bytes(as_file(answer, "parquet"))
    assert pq.read_table(tmp_path / "answer.parquet").to_pylist() == [row]
    assert as_file(answer, "csv").startswith(b'"x","x_2"\n1,')


@pytest.mark.parametrize(
    "sql",
    [
        "date 'infinity'",
        "timestamp '-infinity'",
        "date '0044-03-15 (BC)'",
        "timestamptz 'infinity'",
        "date '10000-01-01'",
    ],
)
def test_dates_that_no_file_can_hold_are_one_sentence(sql, results):
    with pytest.raises(AnalysisError, match=r"years 1 to 9999; d holds one .* d::varchar\.$"):
        query(f"select {sql} as d", results)
    assert query(f"select ({sql})::varchar as d", results).num_rows == 1


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    "sql",
    ["union_value(a := 1)", "[date 'infinity']", "map {'a': 1}", "'a'::blob", "'nan'::double"],
)
def test_any_other_value_is_written_or_refused_in_a_sentence(kind, sql, results):
    answer = query(f"select {sql} as x", results)
    try:
        assert as_file(answer, kind)
    except AnalysisError as error:
        sentence = str(error)
    else:
        sentence = "A file was made."
    assert sentence.startswith(("A ", "The "))


ENDLESS = "with recursive t(x) as (select 1 union all select {} from t) select count(*) from t"


@pytest.mark.parametrize(
    "sql",
    [
        ENDLESS.format("x + 1"),
        ENDLESS.format("1 - x"),
        "select count(*) from range(100000) a, range(100000) b, range(1000) c where a.range > 1",
    ],
)
def test_a_query_without_an_end_is_ended(sql, results):
    began = time.monotonic()
    with pytest.raises(AnalysisError, match=r"within 0\.2 s; this one was not"):
        query(sql, results, most_seconds=0.2)
    assert time.monotonic() - began < 5


def test_an_answer_that_is_too_large_is_refused(results, monkeypatch):
    monkeypatch.setattr(queries, "MOST_BYTES", 2**20)
    with pytest.raises(AnalysisError, match="at most 1 MB"):
        query("select * from range(1000000000)", results)


def test_ctrl_c_ends_a_long_query(results):
    def ask() -> None:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        query(ENDLESS.format("x + 1"), results)

    began = time.monotonic()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            ask()
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - began < 5
