"""Which files of users' code may be sent to a cluster: an allow-list, and what never is."""

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tune_jobs.errors import TuneJobsError

UNTRACKED_BYTES: Mapping[str, int] = {".py": 10**6, ".yaml": 10**6, ".yml": 10**6}
OUR_SUFFIXES = (*UNTRACKED_BYTES, ".cpp", ".h", ".so")  # what our own packages are made of
NEVER_FOLDERS = frozenset(("data", "runs", "secrets"))  # but for modules in them that are loaded
FOREIGN_FOLDERS = frozenset(("node_modules", "site-packages", "__pycache__"))
ENVIRONMENT_MARKS = ("pyvenv.cfg", "conda-meta")  # what a virtual environment has inside
NEVER_FILES = re.compile(
    r"(?:.*[-_.])?(?:secrets?|credentials?|passwords?)(?:[-_.].*)?|"
    r".*\.(?:pem|key|p12|pfx|jks|keystore|kdbx|env|core|dmp|pyc)|id_(?:rsa|dsa|ecdsa|ed25519).*|"
    r"kubeconfig.*|service[-_]account.*\.json|auth_token|core(?:\.\d+)?",
    re.IGNORECASE,
)
PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY")
ELF_CORE = re.compile(rb"\x7fELF.{12}(?:\x04\x00|\x00\x04)", re.DOTALL)
HEAD_BYTES = 4096  # of a file, enough to know a key or a core dump by


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file of users' code, its size in bytes, and why it is not sent; empty if it is."""

    path: Path
    size: int
    reason: str


def candidates(source: Path, *, ours: bool = False) -> Iterator[Candidate]:
    """Every file in a package's folder, or the one module that ``source`` is.

    Sent is what git tracks, and of the rest Python and YAML up to UNTRACKED_BYTES; never keys,
    secrets, core dumps, hidden files, virtual environments, and folders called ``data`` or ``runs``
    but for modules in them that are loaded. Raises TuneJobsError for a link that leads out of the
    project, which is the git repository, else the folder itself.
    """
    rules = _Rules.of(source, ours=ours)
    if source.is_file():
        yield rules.judge(source)
        return
    for folder, folders, files in os.walk(source):
        here = Path(folder)
        entered = [name for name in sorted(folders) if rules.enters(here / name)]
        folders[:] = [name for name in entered if not (here / name).is_symlink()]
        for name in set(entered) - set(folders):
            rules.require_inside(here / name)
            yield Candidate(here / name, 0, "a link to a folder")
        for name in sorted(files):
            yield rules.judge(here / name)


@dataclass(frozen=True, slots=True)
class _Rules:
    """What decides about the files of one folder or module."""

    source: Path
    project: Path
    tracked: frozenset[Path]
    loaded: frozenset[Path]
    ours: bool

    @classmethod
    def of(cls, source: Path, *, ours: bool) -> Self:
        folder = source.parent if source.is_file() else source
        top = _git(folder, "rev-parse", "--show-toplevel").strip()
        names = _git(folder, "ls-files", "-z").split("\0")
        files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
        return cls(
            source=source,
            project=Path(top or folder).resolve(),
            tracked=frozenset(
                home / name for name in names if name for home in (folder, folder.resolve())
            ),
            loaded=frozenset(Path(file).resolve() for file in files if file) | {source.resolve()},
            ours=ours,
        )

    def enters(self, folder: Path) -> bool:
        """Whether there may be something to send in a folder."""
        if folder.name.startswith(".") or folder.name in FOREIGN_FOLDERS:
            return False
        if any((folder / mark).exists() for mark in ENVIRONMENT_MARKS):
            return False
        home = folder.resolve()
        return folder.name not in NEVER_FOLDERS or any(
            path.is_relative_to(home) for path in self.loaded
        )

    def judge(self, path: Path) -> Candidate:
        reason = self._reason(path)
        if not reason and path.is_symlink():
            self.require_inside(path)
            reason = self._reason(path.resolve())
        try:
            size = path.stat().st_size
        except OSError:
            return Candidate(path, 0, "a link to nothing")
        return Candidate(path, size, reason)

    def require_inside(self, link: Path) -> None:
        target = link.resolve()
        if not target.is_relative_to(self.project):
            raise TuneJobsError(
                f"Code sent to a cluster must lie in its own project, {self.project}; {link} is a "
                f"link to {target}. Put a copy in its place, or remove it."
            )

    def _reason(self, path: Path) -> str:
        """Why a file is not sent; empty if it is."""
        loaded = path.resolve() in self.loaded
        if path.name.startswith("."):
            return "hidden"
        if not loaded and NEVER_FILES.fullmatch(path.name):
            return "may hold a secret or a dump"
        never = NEVER_FOLDERS.intersection(path.parent.parts[len(self.source.parts) :])
        if not loaded and never:
            return f"in {min(never)}/"
        try:
            facts = path.stat()
        except OSError as error:
            return "" if path.is_symlink() else f"unreadable: {error.strerror}"
        if not stat.S_ISREG(facts.st_mode):
            return "not a file"
        if not (path in self.tracked or loaded or (self.ours and path.suffix in OUR_SUFFIXES)):
            most = UNTRACKED_BYTES.get(path.suffix)
            if most is None:
                return "neither tracked by git nor Python or YAML"
            if facts.st_size > most:
                return f"not tracked by git and above {most / 1e6:g} MB"
        return _danger_inside(path)


def _danger_inside(path: Path) -> str:
    """What a file's first bytes show, whatever its name."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        return f"unreadable: {error.strerror}"
    if PRIVATE_KEY.search(head):
        return "holds a private key"
    return "a core dump" if ELF_CORE.match(head) else ""


def _git(folder: Path, *arguments: str) -> str:
    """What git says about a folder; nothing without git, or outside of a repository."""
    command = ["git", "-c", "core.fsmonitor=false", *arguments]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    except OSError:
        return ""
    return os.fsdecode(done.stdout) if done.returncode == 0 else ""
