"""Several machines on this one: Linux namespaces with a network, a home and an sshd each."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parent.parent  # what is under test
WITH_LAB = ("env", f"PYTHONPATH={ROOT}", "python", "-m")  # runs a module of the lab on a machine
PREFIX = "lab"  # of the names of network namespaces: PREFIX-<process id>-<machine>
TOOLS = ("ip", "unshare", "nsenter", "setpriv", "sshd", "ssh", "ssh-keygen", "rsync")
PACKAGES = "iproute2 util-linux openssh-server openssh-client rsync"
START_SECONDS = 20.0
STOP_SECONDS = 10.0
# Process 1 of a machine, in its own namespaces already: what is in KEEP stays visible although home
# and /tmp become its own. As process 1, bash also ends zombies whose parents are gone.
BOOT = """
set -e
name=$1 folder=$2 home=$3; shift 3
hostname "$name"
for own in "$home" /tmp; do
  mkdir -p "$folder$own"
  for keep in "$@"; do
    if [[ $keep == "$own"/* ]]; then
      mkdir -p "$folder$keep"
      mount --bind "$keep" "$folder$keep"
    fi
  done
done
for own in "$home" /tmp; do mount --rbind "$folder$own" "$own"; done
chmod 1777 /tmp
mount -t tmpfs -o size=1g tmpfs /dev/shm
cd "$home"
mkdir -p /run/sshd
/usr/sbin/sshd -D -e -f "$(dirname "$folder")/sshd_config" 2>>"$folder/sshd.log" &
until : 2>/dev/null </dev/tcp/127.0.0.1/22; do sleep 0.02; done
touch "$folder/up"
set +e
wait
"""


def why_not() -> str:
    """Why there can be no lab here; empty if there can."""
    if not sys.platform.startswith("linux"):
        return "machines of the lab are Linux namespaces"
    if os.geteuid() != 0:
        return "machines of the lab are namespaces, which only root may make"
    missing = [tool for tool in TOOLS if not _tool(tool)]
    if missing:
        return f"{', '.join(missing)} must be there (Debian: apt-get install {PACKAGES})"
    tried = subprocess.run(["unshare", "--net", "--pid", "--fork", "true"], capture_output=True)
    return f"namespaces cannot be made: {tried.stderr.decode().strip()}" * (tried.returncode != 0)


class Machine:
    """A machine that can be switched on, cut from its power, and given commands.

    Its own are its network, processes, home, /tmp and /dev/shm; all other files are those of the
    machine that the lab is on. What it has on disk stays when it is off.
    """

    def __init__(self, lab: "Lab", name: str, address: str) -> None:
        self.lab, self.name, self.address = lab, name, address
        self.folder = lab.folder / name
        self.namespace = f"{PREFIX}-{os.getpid()}-{name}"
        self._init: subprocess.Popen[bytes] | None = None
        self._commands: list[subprocess.Popen[str]] = []

    @property
    def home(self) -> Path:
        """Its home folder, as it is reached from outside."""
        return Path(f"{self.folder}{Path.home()}")

    @property
    def is_on(self) -> bool:
        return self._init is not None and self._init.poll() is None

    def power_on(self) -> None:
        """Boot, and wait until it can be reached by SSH."""
        self.home.mkdir(parents=True, exist_ok=True)
        up = self.folder / "up"
        up.unlink(missing_ok=True)
        _run("ip", "-n", self.namespace, "link", "set", "eth0", "up")
        route = ("ip", "-n", self.namespace, "route", "replace", "default", "dev", "eth0")
        _run(*route)  # every address is on the one wire
        keep = sorted({str(path) for path in (ROOT, sys.prefix, sys.base_prefix, self.lab.folder)})
        inside = ("ip", "netns", "exec", self.namespace, "unshare", "--pid", "--fork")
        own = ("--kill-child=SIGKILL", "--mount-proc", "--uts", "--ipc")
        script = ("/bin/bash", "-c", BOOT, "boot", self.name, self.folder, Path.home(), *keep)
        with (self.folder / "console.log").open("ab") as console:
            self._init = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *inside, *own, *script],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not up.exists():
            if not self.is_on or time.monotonic() > deadline:
                output = (self.folder / "console.log").read_text()[-1000:]
                raise OSError(f"{self.name} must start within {START_SECONDS:.0f} s:\n{output}")
            time.sleep(0.05)

    def power_off(self) -> None:
        """Cut the power: no connection is closed, every process is gone."""
        if self._init is None:
            return
        _run("ip", "-n", self.namespace, "link", "set", "eth0", "down")
        self._init.kill()
        self._init.wait()
        self._init = None
        for command in self._commands:
            command.kill()
            command.wait()
            if command.stdout:
                command.stdout.close()
        self._commands.clear()

    def add_address(self, address: str) -> None:
        """Make it answer to one more address, such as 54.1.2.3."""
        _run("ip", "-n", self.namespace, "addr", "add", f"{address}/32", "dev", "eth0")

    def remove_address(self, address: str) -> None:
        _run("ip", "-n", self.namespace, "addr", "del", f"{address}/32", "dev", "eth0")

    def start(self, *command: object, log: Path | None = None) -> subprocess.Popen[str]:
        """Begin a command on it, in its home folder; its output goes to ``log``, or a pipe."""
        assert self._init is not None
        inside = ("nsenter", "--target", str(self._first()), "--all", f"--wdns={Path.home()}")
        with contextlib.ExitStack() as files:
            output = files.enter_context(log.open("a")) if log else subprocess.PIPE
            process = subprocess.Popen(
                [*inside, *map(str, command)],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,  # a signal to the group reaches both sides of nsenter
            )
        self._commands.append(process)
        return process

    def run(self, *command: object, timeout_seconds: float = 120.0) -> str:
        """Do a command on it and return its output; raises RuntimeError if it ends badly."""
        process = self.start(*command)
        try:
            output, _ = process.communicate(timeout=timeout_seconds)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            self._commands.remove(process)
        if process.returncode:
            raise RuntimeError(f"{self.name}: {command} gave {process.returncode}:\n{output}")
        return output

    def environment(self) -> dict[str, str]:
        """What its commands see; nothing of the environment that the lab runs in."""
        system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        path = f"{Path(sys.prefix) / 'bin'}:{system}"
        own = {"HOME": str(Path.home()), "USER": "root", "PATH": path, "PYTHONPATH": str(ROOT)}
        return {**own, **self.lab.variables}

    def _first(self) -> int:
        """The process id, as seen from outside, of its process 1."""
        assert self._init is not None
        children = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children").read_text()
        return int(children.split()[0])


class Lab:
    """A network of machines, 10.77.0.0/24, without a way out; the first of them starts the others.

    ``machines`` are ``launcher`` (10.77.0.10), and ``m1`` to ``m<count>`` (10.77.0.1 and so on);
    all but the launcher are off at first. ``variables`` go into the environment of whatever runs
    on any of them, whether it is started here or comes by SSH. ``key`` is a private key that every
    machine accepts for root.
    """

    def __init__(
        self, folder: Path, count: int, variables: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.variables = {"RAY_USAGE_STATS_ENABLED": "0", **(variables or {})}
        self.key = folder / "id"
        names = {"launcher": "10.77.0.10"} | {f"m{i}": f"10.77.0.{i}" for i in range(1, count + 1)}
        self.machines = {name: Machine(self, name, at) for name, at in names.items()}
        self._bridge = f"{PREFIX}-{os.getpid()}-bridge"

    @property
    def launcher(self) -> Machine:
        return self.machines["launcher"]

    def __getitem__(self, name: str) -> Machine:
        return self.machines[name]

    def __enter__(self) -> Self:
        _sweep()
        self._make_keys()
        try:
            self._lay_wires()
            for machine in self.machines.values():
                self._write_profiles(machine)
            self.launcher.power_on()
        except BaseException:
            self._tear_down()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tear_down()

    def _tear_down(self) -> None:
        for machine in self.machines.values():
            machine.power_off()
        for name in [self._bridge, *(machine.namespace for machine in self.machines.values())]:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)

    def _make_keys(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for key in (self.key, self.folder / "hostkey"):
            if not key.exists():
                _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
        names = " ".join(f"{name}={value}" for name, value in self.variables.items())
        path = self.launcher.environment()["PATH"]
        settings = {
            "HostKey": self.folder / "hostkey",
            "AuthorizedKeysFile": f"{self.key}.pub",
            "PermitRootLogin": "prohibit-password",
            "PasswordAuthentication": "no",
            "UsePAM": "no",
            "StrictModes": "no",
            "PidFile": "none",
            "Subsystem": "sftp internal-sftp",
            "MaxSessions": 100,
            "MaxStartups": 100,
            "SetEnv": f"PATH={path} {names}",
        }
        lines = "".join(f"{name} {value}\n" for name, value in settings.items())
        (self.folder / "sshd_config").write_text(lines)

    def _lay_wires(self) -> None:
        _run("ip", "netns", "add", self._bridge)
        _run("ip", "-n", self._bridge, "link", "add", "br0", "type", "bridge")
        _run("ip", "-n", self._bridge, "link", "set", "br0", "up")
        for machine in self.machines.values():
            name, port = machine.namespace, f"port-{machine.name}"
            _run("ip", "netns", "add", name)
            _run("ip", "-n", name, "link", "set", "lo", "up")
            ends = ("type", "veth", "peer", "name", port, "netns", self._bridge)
            _run("ip", "link", "add", "eth0", "netns", name, *ends)
            _run("ip", "-n", name, "addr", "add", f"{machine.address}/24", "dev", "eth0")
            _run("ip", "-n", self._bridge, "link", "set", port, "master", "br0", "up")

    def _write_profiles(self, machine: Machine) -> None:
        """A login shell resets PATH; this sets it, and the variables, again."""
        machine.home.mkdir(parents=True, exist_ok=True)
        lines = [f"export {name}='{value}'" for name, value in machine.environment().items()]
        for name in (".bashrc", ".profile"):
            (machine.home / name).write_text("\n".join(lines) + "\n")


@contextlib.contextmanager
def background(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """A command that is stopped at the end: asked first, then made to."""
    try:
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
                break


def _sweep() -> None:
    """Remove the networks of labs whose process is gone."""
    for line in _run("ip", "netns", "list").splitlines():
        match = re.match(rf"{PREFIX}-(\d+)-\S+", line)
        if match and not Path(f"/proc/{match[1]}").exists():
            _run("ip", "netns", "del", match[0])


def _tool(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        output = " ".join(done.stderr.split())
        raise OSError(f"`{' '.join(command)}` must work in the lab; it printed: {output}")
    return done.stdout
