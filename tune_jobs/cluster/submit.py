"""A study as a job of a cluster: sent over HTTP, followed, stopped, and sent again when lost.

All knowledge of Ray Jobs is here.
"""

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import ray
import requests
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

from tune_jobs.errors import TuneJobsError

OVERRIDES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")  # Ray takes them instead of an argument
CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 30.0
LOOK_SECONDS = 1.0  # between two looks at a job that is followed
PATIENCE_SECONDS = 30.0  # with a head that does not answer, until it counts as lost
HEAD_SECONDS = 5.0  # between two looks for a head that is lost
STOP_SECONDS = 120  # that trials have for their checkpoints before a stopped job is killed
STOPPED = 130  # the exit status of a study that was stopped
LIVES, LIFE_SECONDS = 5, 60.0  # drivers in a row that may be lost within so short a life
TOKEN_FILE = "~/.ray/auth_token"
DIGEST = "tune_jobs"  # the name in a job's metadata of what tells equal jobs
LOST = ("JOB_SUPERVISOR_ACTOR_DIED", "JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE")
Say = Callable[[str], None]


class HeadLostError(OSError):
    """The head of a cluster does not answer."""


class HeadNotReadyError(HeadLostError):
    """The head of a cluster answers that it cannot answer yet, as it does while it starts."""


class _NotThereError(TuneJobsError):
    """The head knows no such job."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What is sent: a folder of code, the command to run in it, and a name for people.

    ``digest`` is equal for jobs that do the same.
    """

    folder: Path
    entrypoint: str
    name: str
    digest: str


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """How a job ended: the exit status of its study, None if its driver was lost."""

    exit_status: int | None
    reason: str = ""


class Head:
    """The head of a Ray cluster, asked over HTTP.

    Raises HeadLostError where nobody answers; TuneJobsError where the token is missing or wrong,
    and where the cluster has another version of Ray than this machine.
    """

    def __init__(self, address: str) -> None:
        self.address = _checked(address)
        with self._asking():
            self.client = _Client(self.address, headers=_token())
            version = self.client.ray_version()
        if version != ray.__version__:
            raise TuneJobsError(
                f"The cluster must have the Ray of this machine, {ray.__version__}; {address} has "
                f"{version}. `pip install 'ray=={version}'` here, or change the cluster's."
            )

    def submit(self, job: Job) -> str:
        """Start a job and return its id."""
        with self._asking():
            return self.client.submit_job(
                entrypoint=job.entrypoint,
                submission_id=f"{job.name}-{secrets.token_hex(4)}",
                runtime_env={
                    "working_dir": str(job.folder),
                    # Read by the process that stops the driver: trials need time to checkpoint.
                    "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)},
                },
                metadata={DIGEST: job.digest},
            )

    def running(self, digest: str) -> str | None:
        """The id of an equal job that is not over, if there is one."""
        with self._asking():
            jobs = self.client.list_jobs()
        for job in jobs:
            if (job.metadata or {}).get(DIGEST) == digest and not job.status.is_terminal():
                return job.submission_id
        return None

    def look(self, job_id: str) -> JobDetails | None:
        """How a job is; None if the head does not know it."""
        try:
            with self._asking():
                return self.client.get_job_info(job_id)
        except _NotThereError:
            return None

    def find(self, job_id: str) -> JobDetails:
        """How a job is; raises TuneJobsError, with those there are, if there is none of that id."""
        job = self.look(job_id)
        if job is None:
            with self._asking():
                known = [job.submission_id for job in self.client.list_jobs() if job.submission_id]
            raise TuneJobsError(
                f"A job must be named by its id; {self.address} has none called {job_id!r}. "
                f"Known: {', '.join(known) or 'none'}."
            )
        return job

    def stop(self, job_id: str) -> None:
        """Ask a job to end; its trials write their checkpoints first."""
        with self._asking():
            self.client.stop_job(job_id)

    def wait(self) -> None:
        """Wait for however long it takes until the head answers, about its jobs too."""
        while True:
            time.sleep(HEAD_SECONDS)
            with suppress(HeadLostError):
                Head(self.address).running("")
                return

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except AuthenticationError as error:
            raise TuneJobsError(
                f"{self.address} must be given its cluster's token in {TOKEN_FILE} or "
                f"RAY_AUTH_TOKEN; it says: {_reason(error.args[0].partition(chr(10))[0])}."
            ) from None
        except (ConnectionError, requests.exceptions.RequestException) as error:
            raise HeadLostError(
                f"--address must be of a cluster's dashboard that can be reached, such as "
                f"http://127.0.0.1:8265; {self.address} does not answer ({_reason(error)}). "
                "`ray dashboard cluster.yaml` makes a tunnel to it."
            ) from None
        except RuntimeError as error:  # an answer with a status that says no
            if "status code 5" in str(error):
                raise HeadNotReadyError(
                    f"{self.address} must be ready; it says: {_reason(error)}"
                ) from None
            kind = _NotThereError if "status code 404" in str(error) else TuneJobsError
            raise kind(f"{self.address} must do as asked; it says: {_reason(error)}") from None


for chatty in ("ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging"):
    logging.getLogger(chatty).setLevel(logging.WARNING)


class _Client(JobSubmissionClient):
    """Asks with a time limit, so that a machine without power is noticed."""

    def ray_version(self) -> str:
        """That of the cluster."""
        return self._do_request("GET", "/api/version").json()["ray_version"]

    def _do_request(self, method: str, endpoint: str, **kwargs: Any) -> requests.Response:
        kwargs.setdefault("timeout", (CONNECT_SECONDS, ANSWER_SECONDS))
        return super()._do_request(method, endpoint, **kwargs)


class Follower:
    """What a job prints, as it prints it, until it is over; goes on where it was interrupted."""

    def __init__(self, head: Head, job_id: str, show: Say) -> None:
        self._head, self._job_id, self._show = head, job_id, show
        self._shown = 0  # characters

    def until_over(self) -> End:
        """Follow to the end; raises HeadLostError when the head does not answer any more."""
        return asyncio.run(self._until_over())

    async def _until_over(self) -> End:
        tail: asyncio.Task[None] | None = None
        answered = time.monotonic()
        try:
            while True:
                if tail is None or tail.done():
                    tail = asyncio.create_task(self._tail())
                try:
                    job = await asyncio.to_thread(self._head.look, self._job_id)
                    answered = time.monotonic()
                except HeadLostError:
                    if time.monotonic() - answered > PATIENCE_SECONDS:
                        raise
                else:
                    if job is None:
                        return End(exit_status=None, reason="the head was started anew")
                    if job.status.is_terminal():
                        break
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            if tail is not None:
                tail.cancel()
        with suppress(OSError, RuntimeError):  # its last words are not what counts
            self._show_from(0, self._head.client.get_job_logs(self._job_id))
        return _end(job)

    async def _tail(self) -> None:
        position = 0
        with suppress(RuntimeError, aiohttp.ClientError, OSError):  # begun again a moment later
            async for chunk in self._head.client.tail_job_logs(self._job_id):
                self._show_from(position, chunk)
                position += len(chunk)

    def _show_from(self, position: int, text: str) -> None:
        new = text[max(0, self._shown - position) :]
        if new:
            self._show(new)
            self._shown = position + len(text)


def run_job(head: Head, job: Job, *, keep_alive: bool, say: Say, show: Say) -> int:
    """Send a job, follow it, and send it again whenever its driver is lost.

    Returns the exit status of the study. An equal job that runs already is followed instead. With
    ``keep_alive`` a head that is lost is waited for; else HeadLostError is raised.
    """
    losses = 0
    while True:
        try:
            job_id = head.running(job.digest)
            if job_id is None:
                job_id = head.submit(job)
            say(f"job {job_id} on {head.address}; Ctrl-C leaves it running")
            began = time.monotonic()
            end = follow_job(head, job_id, keep_alive=keep_alive, say=say, show=show)
        except HeadLostError as error:
            if not keep_alive:
                raise
            _await_head(head, error, say)
            continue
        if end.exit_status is not None:
            if end.reason:
                say(end.reason)
            return end.exit_status
        losses = losses + 1 if time.monotonic() - began < LIFE_SECONDS else 1
        if losses == LIVES:
            say(f"given up: the driver was lost {LIVES} times in a row: {end.reason}")
            return 1
        say(f"the driver is lost: {end.reason}; the study is sent again")


def follow_job(head: Head, job_id: str, *, keep_alive: bool = False, say: Say, show: Say) -> End:
    """Follow one job to its end, with ``keep_alive`` beyond losses of the head."""
    follower = Follower(head, job_id, show)
    while True:
        try:
            return follower.until_over()
        except HeadLostError as error:
            if not keep_alive:
                raise
            _await_head(head, error, say)
        except KeyboardInterrupt:
            again = f"{job_id} --address {head.address}"
            say(f"{job_id} goes on; `tune-jobs follow {again}` shows it, `tune-jobs stop` ends it")
            raise


def stop_job(head: Head, job_id: str) -> None:
    """Ask a job to end, and wait until it has; its trials write their checkpoints first."""
    head.stop(job_id)
    while not head.find(job_id).status.is_terminal():
        time.sleep(LOOK_SECONDS)


def _await_head(head: Head, lost: HeadLostError, say: Say) -> None:
    if isinstance(lost, HeadNotReadyError):
        say(f"{lost} Asking again.")
    else:
        say(f"{head.address} does not answer; waiting for it (`ray up` brings it back)")
    head.wait()
    say(f"{head.address} answers again")


def _end(job: JobDetails) -> End:
    if job.status == JobStatus.SUCCEEDED:
        return End(exit_status=0)
    if job.status == JobStatus.STOPPED:
        return End(exit_status=STOPPED)
    reason = _reason(job.message or job.error_type or "no reason is given")
    code = job.driver_exit_code
    if code is None:
        return End(exit_status=None if job.error_type in LOST else 1, reason=reason)
    if code < 0:
        return End(exit_status=None, reason=f"it was ended by signal {-code}")
    return End(exit_status=code)


def _token() -> dict[str, str]:
    """The header with this user's token for Ray, if there is one, where Ray keeps it.

    Ray's own client sends it only with RAY_AUTH_MODE=token, although a cluster that is started
    where there is a token asks for it.
    """
    if os.environ.get("RAY_AUTH_MODE") == "disabled":
        return {}
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or TOKEN_FILE).expanduser()
    token = os.environ.get("RAY_AUTH_TOKEN") or (file.read_text() if file.is_file() else "")
    return {"Authorization": f"Bearer {token.strip()}"} if token.strip() else {}


def _checked(address: str) -> str:
    if not address.startswith(("http://", "https://")):
        raise TuneJobsError(
            "--address must be that of a cluster's dashboard, such as http://127.0.0.1:8265; got "
            f"{address!r}."
        )
    address = address.rstrip("/")
    for name in OVERRIDES:
        if os.environ.get(name, address) != address:
            raise TuneJobsError(
                f"--address must not differ from {name}, which Ray takes instead; that is "
                f"{os.environ[name]!r}. Unset it."
            )
    return address


def _reason(error: object) -> str:
    return " ".join(str(error).split())[:300]
