"""The S3 server of a lab of machines, and a look from outside at what it holds."""

import signal
import sys
import time
from pathlib import Path

from lab.machines import WITH_LAB, Lab
from lab.s3_server import S3Server
from tune_jobs.storage import Storage

COPIED = ("records", "weights", "failures", "claims", "checkpoints", "studies", "costs")
START_SECONDS = 60.0
MODULE = (*WITH_LAB, "lab.store")


class LabStore:
    """SeaweedFS on a lab's launcher, until that is switched off.

    The lab's variables must have ``s3_server.CREDENTIALS``.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        folder, log = lab.folder / "store", lab.folder / "store.log"
        process = lab.launcher.start(*MODULE, "serve", folder, lab.launcher.address, log=log)
        deadline = time.monotonic() + START_SECONDS
        while not (folder / "endpoint").exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise OSError(f"The lab's store must start; it did not:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)
        self._endpoint = (folder / "endpoint").read_text()

    def uri(self, prefix: str) -> str:
        """A storage of its own, as every machine of the lab reaches it."""
        return f"s3://{S3Server.bucket}/{prefix}?endpoint_override={self._endpoint}&scheme=http"

    def copy(self, uri: str, folder: Path) -> Storage:
        """All but the datasets of a storage, as they are now, in a new folder of this machine."""
        inside = self._lab.folder / "copied"
        self._lab.launcher.run(*MODULE, "copy", uri, inside)
        inside.rename(folder)
        return Storage(folder)

    def keys(self, uri: str, prefix: str) -> list[str]:
        """The objects below a folder of a storage."""
        return self._lab.launcher.run(*MODULE, "keys", uri, prefix).split()


def _serve(folder: str, host: str) -> None:
    with S3Server(folder, host) as server:
        (Path(folder) / "endpoint").write_text(server.endpoint)
        signal.pause()


def _copy(uri: str, folder: str) -> None:
    storage = Storage(uri)
    Path(folder).mkdir()
    for prefix in COPIED:
        for item in storage.list(prefix):
            target = Path(folder) / item.key
            target.parent.mkdir(parents=True, exist_ok=True)
            storage.download(item.key, target)


def _keys(uri: str, prefix: str) -> None:
    sys.stdout.writelines(f"{item.key}\n" for item in Storage(uri).list(prefix))


if __name__ == "__main__":
    {"serve": _serve, "copy": _copy, "keys": _keys}[sys.argv[1]](*sys.argv[2:])
