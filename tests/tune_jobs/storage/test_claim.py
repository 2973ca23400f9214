"""Who holds a point: processes that are alive, told apart in containers that look alike."""

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lab.processes import wait_for
from tune_jobs import clock
from tune_jobs.plan.leftovers import find_leftovers, remove
from tune_jobs.records.keys import claim_key
from tune_jobs.storage import Storage
from tune_jobs.storage import claim as claims
from tune_jobs.storage.claim import Claim, new_claim, read_claim, write_claim

POINT = "0123456789ab"
HOLD = (
    "import sys; from tune_jobs.storage import Storage; from tune_jobs.storage import claim;"
    f"claim.write_claim(Storage(sys.argv[1]), {POINT!r}, claim.new_claim('d', (1, 0), None));"
    "sys.stdin.read()"
)
JUDGE = (
    "import sys; from tune_jobs.storage import Storage, claim;"
    f"print(claim.read_claim(Storage(sys.argv[1]), {POINT!r}).is_fresh)"
)
CONTAINERS = {
    "with a /proc of its own": ["unshare", "-r", "-p", "-f", "--kill-child", "--mount-proc"],
    "with the /proc of its host": ["unshare", "-r", "-p", "-f", "--kill-child"],
}


def can_make_containers() -> bool:
    try:
        command = [*CONTAINERS["with a /proc of its own"], "true"]
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


in_containers = pytest.mark.skipif(
    not can_make_containers(), reason="needs namespaces of one's own (unshare -r -p)"
)


@contextmanager
def holder(storage: Storage, prefix: list[str]) -> Iterator[tuple[subprocess.Popen, Claim]]:
    """A process that holds a claim for as long as the block lasts."""
    command = [*prefix, sys.executable, "-c", HOLD, storage.uri]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        wait_for(lambda: read_claim(storage, POINT), process)
        claim = read_claim(storage, POINT)
        assert claim is not None
        yield process, claim
    finally:
        process.kill()
        process.communicate()


@in_containers
@pytest.mark.parametrize("kind", CONTAINERS)
def test_a_process_in_a_container_that_looks_like_this_machine_is_alive(
    kind: str, storage: Storage
):
    with holder(storage, CONTAINERS[kind]) as (_, claim):
        assert (claim.host, claim.boot_id) == (new_claim("", (1, 0), None).host, claims._boot_id())
        assert claim.is_fresh
        for judge in CONTAINERS.values():
            command = [*judge, sys.executable, "-c", JUDGE, storage.uri]
            found = subprocess.run(command, capture_output=True, text=True, check=True)
            assert found.stdout == "True\n"


def test_a_process_that_is_stopped_loses_its_claim_and_one_that_died_at_once(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
):
    with holder(storage, []) as (process, claim):
        process.send_signal(signal.SIGSTOP)
        assert claim.is_fresh
        later = time.time() + 181
        with monkeypatch.context() as patched:
            patched.setattr(clock, "now", lambda: later)
            assert not claim.is_fresh
        process.kill()
        process.wait()
        assert not claim.is_fresh


def test_a_process_id_that_another_process_has_now_is_not_alive(storage: Storage):
    ours = new_claim("d", (1, 0), None)
    assert ours.is_fresh
    assert not replace(ours, pid=1).is_fresh


@pytest.mark.parametrize("field", ["host", "boot_id", "pid_namespace"])
def test_of_processes_elsewhere_only_the_heartbeat_counts(field: str):
    theirs = replace(new_claim("d", (1, 0), None), pid=1, **{field: "another"})
    assert theirs.is_fresh
    assert not replace(theirs, heartbeat=time.time() - 181).is_fresh


def test_a_claim_of_an_earlier_version_is_read_and_counts_by_its_heartbeat(storage: Storage):
    old = asdict(new_claim("d", (1, 0), None))
    for name in ("token", "pid_namespace"):
        del old[name]
    write_claim(storage, POINT, Claim(**old | {"pid_started": "long ago"}))
    claim = read_claim(storage, POINT)
    assert claim is not None
    assert claim.is_fresh
    assert not replace(claim, heartbeat=time.time() - 181).is_fresh


@pytest.mark.parametrize(("ahead", "fresh"), [(170, True), (190, False), (10**6, False)])
def test_a_heartbeat_in_the_future_is_believed_as_far_as_clocks_may_differ(
    ahead: float, fresh: bool, storage: Storage, caplog: pytest.LogCaptureFixture
):
    theirs = replace(new_claim("d", (1, 0), None), host="fast", heartbeat=time.time() + ahead)
    storage.write(claim_key(POINT), b"{}")
    with caplog.at_level(logging.WARNING):
        assert theirs.is_fresh is fresh
    assert ("The clock of fast is" in caplog.text) is not fresh


def test_clean_removes_a_claim_whose_clock_runs_ahead(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patched:
        ahead = time.time() + 10_000
        patched.setattr(clock, "now", lambda: ahead)
        write_claim(storage, POINT, replace(new_claim("d", (1, 0), None), host="fast"))
    [leftover] = find_leftovers(storage).gone
    assert remove(leftover, storage)
    assert list(Path(storage.uri, "claims").iterdir()) == []


@pytest.mark.parametrize(
    "damaged",
    [b"", b"{}", b"null", b'{"driver": 1}', b"\xff\xfe", b"[1, 2]", b'{"position": 3}'],
)
def test_a_claim_that_cannot_be_read_is_none(damaged: bytes, storage: Storage):
    storage.write(claim_key(POINT), damaged)
    assert read_claim(storage, POINT) is None
