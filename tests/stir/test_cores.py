"""How many cores work may use: what the affinity mask and the quotas of control groups leave."""

import os
from pathlib import Path

import pytest

from stir.cores import available_cores


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)


def counted(folder: Path, membership: str, files: dict[str, str]) -> int:
    (folder / "membership").write_text(membership)
    for name, content in files.items():
        path = folder / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return available_cores(folder / "cgroup", folder / "membership")


V1 = "4:memory:/job\n3:cpu,cpuacct:/slurm/job\n1:name=systemd:/\n"


@pytest.mark.parametrize(
    ("membership", "files", "cores"),
    [
        ("", {}, 8),
        ("0::/job", {"job/cpu.max": "max 100000"}, 8),
        ("0::/job", {"job/cpu.max": "300000 100000"}, 3),
        ("0::/user/job", {"user/cpu.max": "200000 100000", "user/job/cpu.max": "max 100000"}, 2),
        ("0::/user/job", {"user/cpu.max": "500000 100000", "user/job/cpu.max": "150000 50000"}, 3),
        ("0::/job", {"job/cpu.max": "250000 100000"}, 2),
        ("0::/job", {"job/cpu.max": "50000 100000"}, 1),
        ("0::/job", {"job/cpu.max": "1600000 100000"}, 8),
        ("0::/", {"cpu.max": "200000 100000"}, 2),  # a container's own group is its root
        ("0::/../../job", {"cpu.max": "200000 100000"}, 2),  # of a group that is not shown
        ("0::/job", {"job/cpu.max": "not a number"}, 8),
        (V1, {"cpu,cpuacct/slurm/job/cpu.cfs_quota_us": "400000",
              "cpu,cpuacct/slurm/job/cpu.cfs_period_us": "100000"}, 4),
        (V1, {"cpu/slurm/cpu.cfs_quota_us": "100000", "cpu/slurm/cpu.cfs_period_us": "50000"}, 2),
        (V1, {"cpu/slurm/job/cpu.cfs_quota_us": "-1",
              "cpu/slurm/job/cpu.cfs_period_us": "100000"}, 8),
        (V1, {"memory/job/cpu.cfs_quota_us": "100000",
              "memory/job/cpu.cfs_period_us": "100000"}, 8),
    ],
)  # fmt: skip
def test_quotas_of_both_versions_count_in_the_group_and_above(
    eight: None, tmp_path: Path, membership: str, files: dict[str, str], cores: int
):
    assert counted(tmp_path, membership, files) == cores


def test_the_affinity_mask_counts_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3}, raising=False)
    assert counted(tmp_path, "", {}) == 1
    monkeypatch.delattr(os, "sched_getaffinity")
    assert counted(tmp_path, "", {}) == 64
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert counted(tmp_path, "", {}) == 1
