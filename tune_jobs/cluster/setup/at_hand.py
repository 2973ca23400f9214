"""Cluster files for machines that one has, and for Kubernetes."""

import getpass
import json
import platform
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from stir import archive
from tune_jobs.cluster.setup.cluster_file import SHIPPED
from tune_jobs.cluster.setup.keys import cluster_folder
from tune_jobs.cluster.setup.software import describe, write_software
from tune_jobs.errors import TuneJobsError

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.:-]*[A-Za-z0-9])?")
_IMAGE = "docker.io/YOUR-NAME/scale-generalization"
_BUCKET = "s3://YOUR-BUCKET/stir"


def write_local(
    out: Path,
    *,
    name: str,
    hosts: Sequence[str],
    user: str,
    key: str,
    storage: str,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Write a file for machines that SSH reaches, the first of them the head."""
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise TuneJobsError(
                f"A machine must be a name or an address, such as 10.0.0.7; got {host!r:.80}."
            )
    if not hosts or len(set(hosts)) != len(hosts):
        raise TuneJobsError(
            "Machines must be named, each once: cluster-init --provider local HEAD WORKER...; got "
            f"{' '.join(hosts) or 'none'}."
        )
    if not (storage.startswith("s3://") or Path(storage).is_absolute()):
        raise TuneJobsError(
            "--storage must be a folder that all machines share, /such/as/this, or "
            f"s3://bucket/prefix; got {storage or 'none'}."
        )
    if key and not Path(key).expanduser().is_file():
        raise TuneJobsError(f"--ssh-key must be a private key that is there; got {key}.")
    _require_free(out)
    folder = cluster_folder(name) / "software"
    say(describe(write_software(folder), folder))
    auth = {"ssh_user": user or getpass.getuser(), **({"ssh_private_key": key} if key else {})}
    text = (SHIPPED / "local.yaml").read_text(encoding="utf-8")
    for place, value in {
        "name": name,
        "head": hosts[0],
        "workers": json.dumps(list(hosts[1:])),
        "auth": json.dumps(auth),
        "count": str(len(hosts) - 1),
        "files": str(folder),
        "python": "python" + ".".join(platform.python_version_tuple()[:2]),
        "storage": shlex.quote(storage),
    }.items():
        text = text.replace(f"{{{place}}}", value)
    _write(out, text)


def write_kuberay(out: Path, *, image: str, storage: str) -> None:
    """Write a RayJob for KubeRay."""
    if not re.fullmatch(r"[\w.-]+(?::\d+)?(?:/[\w.-]+)+(?::[\w.-]+)?(?:@sha256:\w+)?", image):
        raise TuneJobsError(
            "--image must be one that has this software, built from the Dockerfile, such as "
            f"docker.io/me/scale-generalization:0.1.0; got {image or 'none'}."
        )
    if not re.fullmatch(r"s3://[\w.-]+(?:/[\w./-]+)?(?:\?[\w=&:.-]+)?", storage):
        raise TuneJobsError(f"--storage must be s3://bucket/prefix; got {storage or 'none'}.")
    _require_free(out)
    text = (SHIPPED / "rayjob.yaml").read_text(encoding="utf-8")
    text = re.sub(rf"{re.escape(_IMAGE)}:\S+", image, text).replace(_BUCKET, storage)
    _write(out, text)


def _require_free(out: Path) -> None:
    """Leave alone a file that is not one with blanks, such as the shipped ones."""
    if out.exists() and "YOUR-" not in out.read_text(encoding="utf-8", errors="replace"):
        raise TuneJobsError(
            f"--out must be a new file, or the shipped one; {out} is there already. Remove it, or "
            "name another."
        )


def _write(out: Path, text: str) -> None:
    with archive.written(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
