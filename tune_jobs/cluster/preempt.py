"""Spot machines: notice the interruption that AWS announces two minutes ahead, and drain the node.

The notice comes from the instance metadata service of EC2. Elsewhere there is no such service,
which a few requests at the start find out.
"""

import http.client
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from typing import NoReturn
from urllib.parse import urlsplit

logger = logging.getLogger("tune_jobs")

ENDPOINT = "http://169.254.169.254"
ENDPOINT_VARIABLE = "AWS_EC2_METADATA_SERVICE_ENDPOINT"  # as Amazon's tools call it
DISABLED_VARIABLE = "AWS_EC2_METADATA_DISABLED"
NOTICE_PATH = "/latest/meta-data/spot/instance-action"
TOKEN_PATH = "/latest/api/token"
TOKEN_SECONDS = 21_600  # the longest there is
ANSWER_SECONDS = 1.0
POLL_SECONDS = 5.0  # as AWS advises
LEAVE_SECONDS = 1.0
FIRST_POLLS = 3  # without an answer, until there counts as being no such service
NOTICE_SECONDS = 120.0  # what a notice without a readable time leaves


class NodeLeavingError(Exception):
    """Ends a trial whose node is about to be interrupted, so that Tune starts it on another one."""


class MetadataService:
    """EC2's instance metadata service; every method raises OSError where there is none."""

    def __init__(self, endpoint: str) -> None:
        parts = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")
        self._host = parts.hostname or ""
        self._port = parts.port or http.client.HTTP_PORT
        self._token, self._token_until = "", 0.0

    def interruption(self) -> datetime | None:
        """When this machine will be interrupted; None if no interruption is announced."""
        status, body = self._ask("GET", NOTICE_PATH, {"X-aws-ec2-metadata-token": self.token()})
        if status == http.client.UNAUTHORIZED:
            self._token_until = 0.0
        if status != http.client.OK:
            return None
        with suppress(ValueError, KeyError, TypeError):
            return datetime.fromisoformat(json.loads(body)["time"])
        return datetime.fromtimestamp(time.time() + NOTICE_SECONDS, UTC)

    def token(self) -> str:
        """The session token that version 2 of the service demands with every request."""
        if time.monotonic() >= self._token_until:
            header = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)}
            status, body = self._ask("PUT", TOKEN_PATH, header)
            if status != http.client.OK:
                raise OSError(f"There is no metadata service at {self._host}: status {status}")
            self._token = body.decode("ascii", "replace").strip()
            self._token_until = time.monotonic() + TOKEN_SECONDS / 2
        return self._token

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
        # Not by way of a proxy: the address means this machine.
        line = http.client.HTTPConnection(self._host, self._port, timeout=ANSWER_SECONDS)
        try:
            line.request(method, path, headers=headers)
            answer = line.getresponse()
            return answer.status, answer.read()
        except http.client.HTTPException as error:
            raise OSError(f"{self._host} does not speak HTTP: {error!r}") from error
        finally:
            line.close()


class SpotWatch:
    """True once an interruption is announced; then calls ``on_notice``, once, with its time.

    It polls in a thread of its own, and ends where there is no metadata service.
    """

    def __init__(self, service: MetadataService, on_notice: Callable[[datetime], None]) -> None:
        self._service, self._on_notice = service, on_notice
        self._noticed = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def __call__(self) -> bool:
        return self._noticed.is_set()

    def _watch(self) -> None:
        if not self._is_there():
            return
        while True:
            with suppress(OSError):  # busy for a moment
                if when := self._service.interruption():
                    break
            time.sleep(POLL_SECONDS)
        self._noticed.set()
        try:
            self._on_notice(when)
        except Exception:  # the trials leave all the same, and Ray finds the machine gone
            logger.warning("This node cannot be drained", exc_info=True)

    def _is_there(self) -> bool:
        for _ in range(FIRST_POLLS):
            with suppress(OSError):
                self._service.token()
                return True
            time.sleep(POLL_SECONDS)
        return False


@cache
def spot_watch() -> Callable[[], bool]:
    """The one watch of this process, which is a worker of Ray."""
    if os.environ.get(DISABLED_VARIABLE, "").lower() == "true":
        return lambda: False
    return SpotWatch(
        MetadataService(os.environ.get(ENDPOINT_VARIABLE) or ENDPOINT), drain_this_node
    )


def leave() -> NoReturn:
    """Leave a node that is about to be interrupted; raises NodeLeavingError.

    It waits a moment first, until the node is drained: else the next trial would start here.
    """
    time.sleep(LEAVE_SECONDS)
    raise NodeLeavingError("its machine is about to be taken away")


def drain_this_node(until: datetime) -> None:
    """Let Ray start nothing more on this node; trials lost with it do not count as failed."""
    import ray

    # What the hidden `ray drain-node` calls; neither module shows its names to type checkers.
    client = import_module("ray._raylet").GcsClient
    reasons = import_module("ray.core.generated.autoscaler_pb2").DrainNodeReason
    context = ray.get_runtime_context()
    accepted, refusal = client(address=context.gcs_address).drain_node(
        context.get_node_id(),
        reasons.Value("DRAIN_NODE_REASON_PREEMPTION"),
        "spot interruption",
        int(until.timestamp() * 1000),
    )
    if not accepted:
        raise RuntimeError(refusal)
