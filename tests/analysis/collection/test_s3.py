"""The analysis with records and results on S3, against a real server (SeaweedFS)."""

from collections.abc import Iterator

import pytest

from analysis import load
from analysis.collection.collect import collect
from analysis.report.report import report
from analysis.results.query import query
from lab.s3_server import CREDENTIALS, S3Server
from tune_jobs.storage import Storage


@pytest.fixture
def bucket(tmp_path, monkeypatch) -> Iterator[str]:
    """How to write the URI of a prefix in an empty bucket."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with S3Server(tmp_path / "s3") as server:
        yield f"s3://{server.bucket}/{{}}?endpoint_override={server.endpoint}&scheme=http"


def test_records_on_s3_become_tables_and_a_report_on_s3(bucket, make_record, make_evaluation):
    runs, results, out = (bucket.format(name) for name in ("runs", "results", "out"))
    for seed in (1, 2):
        record = make_record(seed=seed, correct=9 * seed)
        Storage(runs).write(f"records/{record.point_id}.json", record.to_json())
        evaluation = make_evaluation(record, error=seed / 4)
        Storage(runs).write(f"evaluations/{record.point_id}.npz", evaluation.to_npz())
    first, again = (collect([runs], results) for _ in range(2))
    assert (first.new, first.evaluations) == (2, 2)
    assert (again.new, again.evaluations) == (0, 0)
    assert sorted(load("trials", results)["test_accuracy"]) == [0.25, 0.5]
    answer = query("select avg(test_accuracy) as mean from trials", results)
    assert answer.to_pylist() == [{"mean": 0.375}]
    answer = query("select avg(error) as mean, count(*) as n from equivariance", results)
    assert answer.to_pylist() == [{"mean": 0.375, "n": 144}]
    keys = report(results, out)
    assert [item.key for item in Storage(out).list("")] == sorted(keys)
