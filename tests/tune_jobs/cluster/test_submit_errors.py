"""What ``submit`` refuses, and how it takes the end of a job; without a Ray."""

import json
import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import ray
from ray.job_submission import JobDetails, JobStatus, JobType

from lab.s3_server import CREDENTIALS, S3Server
from tune_jobs.cli import main
from tune_jobs.cluster import head as heads
from tune_jobs.cluster import jobs
from tune_jobs.cluster.head import Head, HeadLostError, Job
from tune_jobs.cluster.jobs import End, run_job
from tune_jobs.errors import TuneJobsError
from tune_jobs.storage import Storage
from tune_jobs.storage.datasets import stored_key
from tune_jobs.study.file import load_study

UNREACHABLE = "http://127.0.0.1:9"  # the discard port


class Dashboard(BaseHTTPRequestHandler):
    """Answers as Ray's does: with its version, and with ``statuses`` to questions about jobs."""

    ray_version = ray.__version__
    statuses: ClassVar[list[int]] = []  # used up one by one; then 200

    def do_GET(self) -> None:
        about_jobs = self.path.startswith("/api/jobs")
        status = self.statuses.pop(0) if about_jobs and self.statuses else 200
        version = {"version": "4", "ray_version": self.ray_version, "ray_commit": ""}
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps([] if about_jobs else version).encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(answers: type[Dashboard]) -> Iterator[str]:
    """The address of a dashboard."""
    with HTTPServer(("127.0.0.1", 0), answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def old_ray() -> Iterator[str]:
    """The address of a dashboard of another Ray."""
    with serving(type("Old", (Dashboard,), {"ray_version": "2.9.0"})) as address:
        yield address


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("tune-jobs: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_a_folder_is_no_storage_of_a_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    said = refused(["submit", "demo", "--storage", str(tmp_path)], capsys)
    assert f"or the folder that its file names; got the folder {tmp_path}." in said


def test_machines_at_hand_may_share_a_folder_if_it_is_here_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("TUNE_JOBS_STORAGE", raising=False)
    shared = tmp_path / "our files"
    local = ["cluster-init", "--provider", "local", "10.0.0.7", "10.0.0.8"]
    assert main([*local, "--storage", str(shared)]) == 0
    capsys.readouterr()
    submit = ["submit", "demo", "--dry-run"]
    assert f"must be here too, because datasets go through it; there is no {shared}" in refused(
        submit, capsys
    )
    shared.mkdir()
    assert main(submit) == 0
    assert "nothing was sent" in capsys.readouterr().out
    assert "or the folder that its file names" in refused([*submit, "--storage", "runs"], capsys)
    Path("cluster.yaml").rename("mine.yaml")
    assert main([*submit, "--cluster", "mine.yaml"]) == 0


@pytest.mark.parametrize("command", ["follow", "stop"])
def test_an_address_that_does_not_answer_is_one_sentence(
    command: str, capsys: pytest.CaptureFixture[str]
):
    said = refused([command, "mine-1", "--address", UNREACHABLE], capsys)
    assert f"{UNREACHABLE} does not answer" in said


def test_an_address_that_is_no_dashboard_is_refused(capsys: pytest.CaptureFixture[str]):
    assert "got '10.0.0.1:6379'" in refused(["stop", "x", "--address", "10.0.0.1:6379"], capsys)


def test_an_address_that_ray_would_replace_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    said = refused(["stop", "x", "--address", UNREACHABLE], capsys)
    assert "RAY_ADDRESS, which Ray takes instead; that is '10.0.0.1:6379'. Unset it." in said


def test_a_cluster_with_another_ray_is_refused(old_ray: str, capsys: pytest.CaptureFixture[str]):
    said = refused(["stop", "x", "--address", old_ray], capsys)
    assert f"{old_ray} has 2.9.0. `pip install 'ray==2.9.0'` here" in said


def test_a_dataset_that_is_nowhere_is_refused_before_the_cluster_is_told(
    s3_server: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(heads, "Head", lambda address: None)
    uri = f"s3://{s3_server.bucket}/none?endpoint_override={s3_server.endpoint}&scheme=http"
    words = ["submit", "demo", "--storage", uri, "--data", str(tmp_path)]
    assert "`stir build emoji` makes it" in refused(words, capsys)


def test_a_study_file_without_a_suffix_is_a_file_on_the_cluster_too(
    s3_server: S3Server,
    s3_keys: None,
    bars: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    file = tmp_path / "mine"
    axes = f"{{model: standard, dataset: {bars}, scenario: 2, kernel_size: 3, "
    file.write_text(f"name: x\naxes: {axes} interpolation: null, lr: 0.001, seed: 1}}")

    def sent(head: None, job: Job, **options: object) -> int:
        monkeypatch.chdir(job.folder)
        words = shlex.split(job.entrypoint)
        assert load_study(words[words.index("run") + 1]).name == "x"
        return 0

    monkeypatch.setattr(heads, "Head", lambda address: None)
    monkeypatch.setattr(jobs, "run_job", sent)
    uri = f"s3://{s3_server.bucket}/mine?endpoint_override={s3_server.endpoint}&scheme=http"
    assert main(["submit", str(file), "--storage", uri]) == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("emoji", "--stored must be DATASET=datasets/NAME-FINGERPRINT.npz"),
        ("emoji=records/x.json", "--stored must be DATASET=datasets/NAME-FINGERPRINT.npz"),
        ("emoji=datasets/emoji-0123456789ab.npz", "has no datasets/emoji-0123456789ab.npz"),
    ],
)
def test_a_stored_dataset_must_be_there(
    given: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ["run", "demo", "--storage", str(tmp_path / "runs"), "--stored", given]
    assert message in refused(words, capsys)


def test_two_stored_datasets_of_one_name_are_not_guessed_between(storage: Storage):
    assert stored_key("emoji", storage) is None
    storage.write("datasets/emoji-0123456789ab.npz", b"")
    storage.write("datasets/my-emoji-0123456789ab.npz", b"")
    assert stored_key("emoji", storage) == "datasets/emoji-0123456789ab.npz"
    storage.write("datasets/emoji-ba9876543210.npz", b"")
    with pytest.raises(TuneJobsError, match=r"is there as datasets/emoji-0123456789ab.npz, data"):
        stored_key("emoji", storage)


def details(status: JobStatus, code: int | None = None, error: str | None = None) -> JobDetails:
    return JobDetails(
        type=JobType.SUBMISSION,
        entrypoint="",
        status=status,
        driver_exit_code=code,
        error_type=error,
        message="why",
    )


@pytest.mark.parametrize(
    ("job", "exit_status"),
    [
        (details(JobStatus.SUCCEEDED, 0), 0),
        (details(JobStatus.STOPPED), 130),
        (details(JobStatus.FAILED, 1), 1),
        (details(JobStatus.FAILED, 2), 2),
        (details(JobStatus.FAILED, -9), None),
        (details(JobStatus.FAILED, error="JOB_SUPERVISOR_ACTOR_DIED"), None),
        (details(JobStatus.FAILED, error="RUNTIME_ENV_SETUP_FAILURE"), 1),
    ],
)
def test_the_exit_status_is_the_study_s_and_none_if_its_driver_was_lost(
    job: JobDetails, exit_status: int | None
):
    assert jobs._end(job).exit_status == exit_status


class Scene(Head):
    """A head that does not exist; jobs sent to it end as they are told to."""

    def __init__(self, *ends: End | HeadLostError) -> None:
        self.address, self.ends, self.sent, self.waits = UNREACHABLE, list(ends), 0, 0

    def running(self, digest: str) -> str | None:
        return None

    def submit(self, job: Job) -> str:
        self.sent += 1
        return f"job-{self.sent}"

    def wait(self) -> None:
        self.waits += 1


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(folder=tmp_path, entrypoint="", name="x", digest="")


def follow(head: Scene, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []

    def until_over(self: jobs.Follower) -> End:
        end = head.ends.pop(0)
        if isinstance(end, HeadLostError):
            raise end
        return end

    monkeypatch.setattr(jobs.Follower, "until_over", until_over)
    return said


LOST = End(exit_status=None, reason="it was ended by signal 9")


def test_a_driver_that_is_lost_again_and_again_is_given_up(
    job: Job, monkeypatch: pytest.MonkeyPatch
):
    head = Scene(*[LOST] * 9)
    said = follow(head, monkeypatch)
    assert run_job(head, job, keep_alive=False, say=said.append, show=said.append) == 1
    assert head.sent == jobs.LIVES
    assert said[-1].startswith(f"given up: the driver was lost {jobs.LIVES} times in a row")


def test_only_keep_alive_waits_for_a_head_that_is_lost(job: Job, monkeypatch: pytest.MonkeyPatch):
    head = Scene(HeadLostError("gone"), LOST, End(exit_status=0))
    said = follow(head, monkeypatch)
    assert run_job(head, job, keep_alive=True, say=said.append, show=said.append) == 0
    assert (head.sent, head.waits) == (2, 1)
    assert f"{UNREACHABLE} does not answer; waiting for it (`ray up` brings it back)" in said
    head = Scene(HeadLostError("gone"))
    follow(head, monkeypatch)
    with pytest.raises(HeadLostError):
        run_job(head, job, keep_alive=False, say=said.append, show=said.append)


def test_a_head_that_is_not_ready_yet_counts_as_lost_and_is_asked_again(
    job: Job, monkeypatch: pytest.MonkeyPatch
):
    answers = type("Starting", (Dashboard,), {"statuses": [500, 503, 500]})
    monkeypatch.setattr(heads, "RETRY_SECONDS", 0.01)
    with serving(answers) as address:
        head = Head(address)
        monkeypatch.setattr(head, "submit", lambda job: "job-1")
        said = follow(Scene(End(exit_status=0)), monkeypatch)
        assert run_job(head, job, keep_alive=True, say=said.append, show=said.append) == 0
        assert said[0].startswith(f"{address} must be ready; it says: Request failed with status")
        assert said[0].endswith(" Trying again.")
        assert (answers.statuses, said[-1][:5]) == ([], "job j")
        answers.statuses += [500]
        with pytest.raises(HeadLostError, match="must be ready"):
            run_job(head, job, keep_alive=False, say=said.append, show=said.append)
