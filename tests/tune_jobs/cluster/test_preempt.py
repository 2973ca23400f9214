import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from lab.metadata_service import MetadataServer
from lab.processes import WAIT_SECONDS
from tune_jobs.cluster import preempt
from tune_jobs.cluster.preempt import MetadataService, SpotWatch

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[MetadataServer]:
    monkeypatch.setattr(preempt, "POLL_SECONDS", 0.02)
    with MetadataServer() as server:
        yield server


def wait_for(condition) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_notice_is_heard_once_with_its_time(metadata: MetadataServer):
    heard: list[datetime] = []
    watch = SpotWatch(MetadataService(metadata.endpoint), heard.append)
    wait_for(lambda: "GET 404" in metadata.asked)
    assert not watch()
    metadata.notice = json.dumps({"action": "terminate", "time": "2026-01-02T03:04:05Z"})
    watch.thread.join(WAIT_SECONDS)
    assert watch()
    assert heard == [WHEN]
    assert metadata.asked.count("PUT 200") == 1


def test_a_token_that_runs_out_is_asked_for_again(metadata: MetadataServer):
    watch = SpotWatch(MetadataService(metadata.endpoint), lambda when: None)
    wait_for(lambda: "GET 404" in metadata.asked)
    metadata.token = "second"
    metadata.notice = json.dumps({"action": "stop", "time": "2026-01-02T03:04:05Z"})
    watch.thread.join(WAIT_SECONDS)
    assert watch()
    assert metadata.asked.count("GET 401") == 1


def test_a_notice_that_cannot_be_read_still_counts(metadata: MetadataServer):
    metadata.notice = "soon"
    heard: list[datetime] = []
    SpotWatch(MetadataService(metadata.endpoint), heard.append).thread.join(WAIT_SECONDS)
    assert heard[0].timestamp() == pytest.approx(time.time() + preempt.NOTICE_SECONDS, abs=10)


def test_a_watch_gives_up_where_there_is_no_metadata_service(metadata: MetadataServer):
    metadata.token = ""
    nobody = MetadataService("http://127.0.0.1:9")  # the discard port: nobody listens
    watch = SpotWatch(nobody, lambda when: None)
    watch.thread.join(WAIT_SECONDS)
    assert not watch.thread.is_alive()
    assert not watch()


def test_trials_leave_although_the_node_cannot_be_drained(
    metadata: MetadataServer, caplog: pytest.LogCaptureFixture
):
    def refuse(when: datetime) -> None:
        raise RuntimeError("not now")

    metadata.notice = json.dumps({"time": "2026-01-02T03:04:05Z"})
    watch = SpotWatch(MetadataService(metadata.endpoint), refuse)
    watch.thread.join(WAIT_SECONDS)
    assert watch()
    assert "cannot be drained" in caplog.text
