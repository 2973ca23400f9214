"""A study as a job of a cluster: sent, followed, stopped, sent again when its driver is lost."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import aiohttp
from ray.job_submission import JobDetails, JobStatus

from tune_jobs.cluster.head import Head, HeadLostError, HeadNotReadyError, Job, one_line

POLL_SECONDS = 1.0  # between two looks at a job that is followed
PATIENCE_SECONDS = 30.0  # with a head that does not answer, until it counts as lost
STOPPED = 130  # the exit status of a study that was stopped
LIVES, LIFE_SECONDS = 5, 60.0  # drivers in a row that may be lost within so short a life
LOST = ("JOB_SUPERVISOR_ACTOR_DIED", "JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE")
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """How a job ended: the exit status of its study, None if its driver was lost."""

    exit_status: int | None
    reason: str = ""


class Follower:
    """Shows what a job prints, until it ends; goes on where it was interrupted."""

    def __init__(self, head: Head, job_id: str, show: Say) -> None:
        self._head, self._job_id, self._show = head, job_id, show
        self._shown = 0  # characters

    def until_over(self) -> End:
        """Follow to the end; raises HeadLostError when the head no longer answers."""
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
                        return End(exit_status=None, reason="the head was restarted")
                    if job.status.is_terminal():
                        break
                await asyncio.sleep(POLL_SECONDS)
        finally:
            if tail is not None:
                tail.cancel()
        with suppress(OSError, RuntimeError):  # its last lines are welcome, its status counts
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

    Returns the exit status of the study. If an equal job runs already, that one is followed. With
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
        time.sleep(POLL_SECONDS)


def _await_head(head: Head, lost: HeadLostError, say: Say) -> None:
    if isinstance(lost, HeadNotReadyError):
        say(f"{lost} Trying again.")
    else:
        say(f"{head.address} does not answer; waiting for it (`ray up` brings it back)")
    head.wait()
    say(f"{head.address} answers again")


def _end(job: JobDetails) -> End:
    if job.status == JobStatus.SUCCEEDED:
        return End(exit_status=0)
    if job.status == JobStatus.STOPPED:
        return End(exit_status=STOPPED)
    reason = one_line(job.message or job.error_type or "no reason is given")
    code = job.driver_exit_code
    if code is None:
        return End(exit_status=None if job.error_type in LOST else 1, reason=reason)
    if code < 0:
        return End(exit_status=None, reason=f"it was ended by signal {-code}")
    return End(exit_status=code)
