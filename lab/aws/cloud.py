"""A cloud for the lab: an account of moto's on its launcher, whose instances are its machines."""

import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lab.machines import WITH_LAB, Lab, Machine

PORT = 5000
ENDPOINT = f"10.77.0.10:{PORT}"
REGION = "us-east-1"
SERVICES = ("CLOUDFORMATION", "EC2", "IAM", "S3", "SERVICE_QUOTAS", "SSM", "STS")
START_SECONDS = 120.0
POLL_SECONDS = 0.5
LOGIN_FILES = (".bashrc", ".profile")
MODULE = (*WITH_LAB, "lab.aws.cloud")
PUBLIC_KEY = """
pairs = ec2.describe_key_pairs(KeyNames=[sys.argv[1]], IncludePublicKey=True)["KeyPairs"]
print(json.dumps(pairs[0]["PublicKey"].strip()))
"""
# What a command line finds instead of docker. The machine is its own container: options of `run`
# that set the environment and mount files are done, and what is executed in it gets them.
DOCKER = """#!/bin/bash
state=$HOME/.container
bind() {
  if [ -d "$1" ]; then mkdir -p "$2"; else mkdir -p "$(dirname "$2")"; touch "$2"; fi
  mount --bind "$1" "$2"
}
case $1 in
  pull) ;;
  info) echo 'map[runc:{}]' ;;
  inspect)
    case $3 in
      *Config.Env*) echo "[\\"HOME=$HOME\\"]" ;;
      *Config.Image*) cat "$state/image" ;;
      *Mounts*) echo '[]' ;;
      *) [ -f "$state/image" ] && echo true ;;
    esac ;;
  run)
    mkdir -p "$state"
    : > "$state/env"
    shift
    while [ $# -gt 2 ]; do
      case $1 in
        -v) bind "${2%%:*}" "${2#*:}"; shift ;;
        -e) printf 'export %q\\n' "$2" >> "$state/env"; shift ;;
        --env=*) printf 'export %q\\n' "${1#--env=}" >> "$state/env" ;;
      esac
      shift
    done
    echo "$1" > "$state/image" ;;
  exec)
    shift
    while [[ $1 == -* ]]; do shift; done
    shift
    [ -f "$state/image" ] || { echo 'No such container' >&2; exit 1; }
    . "$state/env"
    exec "$@" ;;
  *) echo "this docker does not know $1" >&2; exit 1 ;;
esac
"""


@dataclass(frozen=True, slots=True)
class Event:
    """What became of an instance, and when: ``boot``, ``lost`` or ``end``."""

    seconds: float  # since the cloud began
    what: str
    instance: str
    machine: str
    market: str  # spot or on-demand
    kind: str  # the node type that Ray gave it


class LabCloud:
    """Instances that are pending or running are machines that are on; those that ended, off.

    ``machines`` are the names of those it may use. ``events`` has all that happened. The lab's
    variables must be those of ``variables``.
    """

    @staticmethod
    def variables(folder: Path) -> dict[str, str]:
        """The environment of a lab that has a cloud; its docker is put into ``folder``."""
        tools = folder / "tools"
        tools.mkdir(parents=True, exist_ok=True)
        (tools / "docker").write_text(DOCKER)
        (tools / "docker").chmod(0o755)
        system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return {
            **{f"AWS_ENDPOINT_URL_{service}": f"http://{ENDPOINT}" for service in SERVICES},
            "AWS_DEFAULT_REGION": REGION,
            "PATH": f"{tools}:{Path(sys.prefix) / 'bin'}:{system}",
        }

    def __init__(self, lab: Lab, machines: tuple[str, ...]) -> None:
        self._lab, self._free = lab, list(machines)
        self._live: dict[str, tuple[Machine, Event, list[str]]] = {}
        self._began = time.monotonic()
        self._lost = lab.folder / "lost"
        self._answers = threading.Event()
        self._broken: Exception | None = None
        self.events: list[Event] = []

    def __enter__(self) -> Self:
        self._lost.mkdir()
        launcher = self._lab.launcher
        log = self._lab.folder / "moto.log"
        launcher.start("moto_server", "-H", launcher.address, "-p", PORT, log=log)
        self._watcher = launcher.start(*MODULE, "watch", self._lost, launcher.address)
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()
        if not self._answers.wait(START_SECONDS):
            raise OSError(f"The lab's account must start; it did not:\n{log.read_text()[-2000:]}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The end of its output is the end of the thread, and of the machines it switched on.
        os.killpg(self._watcher.pid, signal.SIGKILL)
        self._thread.join()
        self._watcher.communicate()

    def ask(self, script: str, *arguments: object) -> Any:
        """What a piece of Python with clients of EC2, IAM and S3 prints as JSON."""
        begin = "import boto3, json, sys\nec2, iam, s3 = map(boto3.client, ('ec2', 'iam', 's3'))\n"
        return json.loads(self._lab.launcher.run("python", "-c", begin + script, *arguments))

    def of(self, what: str, **fields: str) -> list[Event]:
        """The events of a kind, such as ``of("boot", market="spot")``."""
        return [
            event
            for event in self.events
            if event.what == what
            and all(getattr(event, name) == value for name, value in fields.items())
        ]

    def machine(self, instance: str) -> Machine:
        return self._live[instance][0]

    def check(self) -> None:
        """Raise what has broken in the cloud, if anything has."""
        if self._broken:
            raise self._broken

    def _follow(self) -> None:
        assert self._watcher.stdout is not None
        for line in self._watcher.stdout:
            if line.startswith("[") and not self._broken:
                self._answers.set()
                try:
                    self._compare({one["InstanceId"]: one for one in json.loads(line)})
                except Exception as error:  # raised by check(), in the thread that waits
                    self._broken = error

    def _compare(self, wanted: Mapping[str, dict[str, Any]]) -> None:
        for instance, (machine, _, _) in list(self._live.items()):
            if instance not in wanted:
                self._end(instance, "end")
            elif not machine.is_on:
                (self._lost / instance).touch()
                self._end(instance, "lost")
        for instance, content in wanted.items():
            known = instance in self._live or (self._lost / instance).exists()
            if not known and self._free:
                self._boot(instance, content)

    def _boot(self, instance: str, content: Mapping[str, Any]) -> None:
        machine = self._lab[self._free.pop(0)]
        _wipe(machine)
        key = self.ask(PUBLIC_KEY, content["KeyName"])
        with Path(f"{self._lab.key}.pub").open("a") as accepted:
            accepted.write(f"{key}\n")
        machine.power_on()
        addresses = [content[key] for key in ("PublicIpAddress", "PrivateIpAddress")]
        for address in addresses:
            machine.add_address(address)
        tags = {tag["Key"]: tag["Value"] for tag in content.get("Tags", [])}
        market = content.get("InstanceLifecycle", "on-demand")
        event = self._note(
            "boot", instance, machine.name, market, tags.get("ray-user-node-type", "")
        )
        self._live[instance] = machine, event, addresses

    def _end(self, instance: str, what: str) -> None:
        machine, event, addresses = self._live.pop(instance)
        machine.power_off()
        for address in addresses:
            machine.remove_address(address)
        self._free.append(machine.name)
        self._note(what, instance, machine.name, event.market, event.kind)

    def _note(self, what: str, instance: str, machine: str, market: str, kind: str) -> Event:
        event = Event(time.monotonic() - self._began, what, instance, machine, market, kind)
        self.events.append(event)
        return event


def _wipe(machine: Machine) -> None:
    """Take a new disk: only the files that a login needs stay."""
    for folder in (machine.home, machine.folder / "tmp"):
        for path in folder.iterdir() if folder.exists() else ():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name not in LOGIN_FILES:
                path.unlink()


def _watch(lost: str, address: str) -> None:
    """Print the instances that are wanted, one JSON line a look; end those that are lost."""
    import boto3
    from botocore.exceptions import EndpointConnectionError

    ec2 = boto3.client("ec2", endpoint_url=f"http://{address}:{PORT}", region_name=REGION)
    ended: set[str] = set()
    while True:
        time.sleep(POLL_SECONDS)
        gone = set(os.listdir(lost)) - ended  # noqa: PTH208  (names are what is wanted)
        try:
            if gone:
                ec2.terminate_instances(InstanceIds=sorted(gone))
                ended |= gone
            found = ec2.describe_instances()["Reservations"]
        except EndpointConnectionError:
            continue
        wanted = [
            instance
            for reservation in found
            for instance in reservation["Instances"]
            if instance["State"]["Name"] in ("pending", "running")
        ]
        sys.stdout.write(json.dumps(wanted, default=str) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    {"watch": _watch}[sys.argv[1]](*sys.argv[2:])
