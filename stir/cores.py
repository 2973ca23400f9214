"""How many processor cores this process may use, and what the processor is called."""

import math
import os
import platform
from pathlib import Path

CGROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def available_cores(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> int:
    """The cores that the affinity mask and the CPU quotas of control groups leave, at least 1.

    Quotas of versions 1 and 2 count, of the process's own group and of all above it, as containers
    and batch systems set them, rounded down to whole cores. ``cgroups`` and
    ``membership`` are where Linux shows them; elsewhere only the operating system's count is known.
    """
    has_mask = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_mask else os.cpu_count() or 1
    return max(1, math.floor(min([cores, *_quotas(cgroups, membership)])))


def processor_name() -> str:
    """What the maker of this machine's processor calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (names or [platform.processor()])[0] or platform.machine()


def _quotas(cgroups: Path, membership: Path) -> list[float]:
    """The limits, in cores, of every control group that the process is in."""
    return [
        quota
        for folder in _groups(cgroups, membership)
        for quota in (_version_2(folder), _version_1(folder))
        if quota is not None
    ]


def _groups(cgroups: Path, membership: Path) -> list[Path]:
    """The folders of the process's groups that may limit the CPU, and of those above.

    In a container the path in ``membership`` may not exist, as the root shown is its own group;
    the root then remains.
    """
    folders: dict[Path, None] = {}
    for line in _read(membership).splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        roots = [cgroups / controllers, cgroups / "cpu"] if controllers else [cgroups]
        parts = Path(path).relative_to("/").parts if path.startswith("/") else ()
        for root in roots:
            for depth in range(len(parts), -1, -1):
                folders[root.joinpath(*parts[:depth])] = None
    return list(folders)


def _version_2(folder: Path) -> float | None:
    quota, _, period = _read(folder / "cpu.max").strip().partition(" ")
    return _ratio(quota, period)


def _version_1(folder: Path) -> float | None:
    return _ratio(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))


def _ratio(quota: str, period: str) -> float | None:
    """Microseconds of CPU time per period; None where there is no limit (``max``, -1, no file)."""
    try:
        cores = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None
    return cores if cores > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
