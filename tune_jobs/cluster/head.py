"""The head of a Ray cluster, asked over HTTP: start a job, read its details, end it."""

import logging
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import requests
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobSubmissionClient

from tune_jobs.cluster.address import is_loopback
from tune_jobs.cluster.token import TOKEN_FILE, read_token
from tune_jobs.errors import TuneJobsError
from tune_jobs.redaction import redact

OVERRIDES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")  # Ray takes them instead of an argument
CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 30.0
RETRY_SECONDS = 5.0  # between two attempts to reach a head that is lost
STOP_SECONDS = 120  # that trials have for their checkpoints before a stopped job is killed
DIGEST = "tune_jobs"  # the key in a job's metadata that is equal for equal jobs
NO_PROXY = {"http": "", "https": ""}
CHATTY = ("ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging")


class HeadLostError(OSError):
    """The head of a cluster does not answer."""

    def __init__(self, message: str) -> None:
        super().__init__(redact(message))


class HeadNotReadyError(HeadLostError):
    """The head of a cluster answers that it cannot serve requests yet, as it does at its start."""


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


class Head:
    """The head of a Ray cluster at the address of its dashboard.

    Raises HeadLostError where nothing answers; TuneJobsError where the token is missing or wrong,
    and where the cluster has another version of Ray than this machine. A loopback address is never
    reached by way of a proxy, which would be given the token.
    """

    def __init__(self, address: str) -> None:
        self.address = _checked(address)
        for name in CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)
        token = read_token() if os.environ.get("RAY_AUTH_MODE") != "disabled" else ""
        # Ray's client sends the token only with RAY_AUTH_MODE=token, although a cluster that is
        # started where there is a token asks for it.
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with self._asking():
            self.client = _Client(self.address, headers=headers)
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
        """The id of an equal job that has not ended, if there is one."""
        with self._asking():
            jobs = self.client.list_jobs()
        for job in jobs:
            if (job.metadata or {}).get(DIGEST) == digest and not job.status.is_terminal():
                return job.submission_id
        return None

    def look(self, job_id: str) -> JobDetails | None:
        """The details of a job; None if the head does not know it."""
        try:
            with self._asking():
                return self.client.get_job_info(job_id)
        except _NotThereError:
            return None

    def find(self, job_id: str) -> JobDetails:
        """The details of a job; TuneJobsError, which names those there are, if it has none."""
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
            time.sleep(RETRY_SECONDS)
            with suppress(HeadLostError):
                Head(self.address).running("")
                return

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Turn whatever a request may raise into one sentence."""
        try:
            yield
        except AuthenticationError as error:
            raise TuneJobsError(
                f"{self.address} must be given its cluster's token in {TOKEN_FILE} or "
                f"RAY_AUTH_TOKEN; it says: {one_line(error.args[0].partition(chr(10))[0])}."
            ) from None
        except (ConnectionError, requests.exceptions.RequestException) as error:
            raise HeadLostError(
                f"--address must be of a cluster's dashboard that can be reached, such as "
                f"http://127.0.0.1:8265; {self.address} does not answer ({one_line(error)}). "
                "`ray dashboard cluster.yaml` makes a tunnel to it."
            ) from None
        except RuntimeError as error:  # an answer with a status that says no
            if "status code 5" in str(error):
                raise HeadNotReadyError(
                    f"{self.address} must be ready; it says: {one_line(error)}"
                ) from None
            kind = _NotThereError if "status code 404" in str(error) else TuneJobsError
            raise kind(
                f"{self.address} must accept the request; it says: {one_line(error)}"
            ) from None


class _Client(JobSubmissionClient):
    """Ray's client, with a time limit on every request, so that a dead machine is noticed."""

    def ray_version(self) -> str:
        """The version of Ray that the cluster runs."""
        return self._do_request("GET", "/api/version").json()["ray_version"]

    def _do_request(self, method: str, endpoint: str, **kwargs: Any) -> requests.Response:
        kwargs.setdefault("timeout", (CONNECT_SECONDS, ANSWER_SECONDS))
        if is_loopback(self._address):
            kwargs["proxies"] = NO_PROXY
        return super()._do_request(method, endpoint, **kwargs)


def one_line(error: object) -> str:
    """What an error says, on one line of at most 300 characters."""
    return " ".join(str(error).split())[:300]


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
