import subprocess
from pathlib import Path

import pytest

from lab.machines import Lab, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


def networks() -> list[str]:
    return subprocess.run(
        ["ip", "netns", "list"], capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_a_machine_is_reached_by_ssh_with_a_home_name_and_variables_of_its_own(tmp_path: Path):
    with Lab(tmp_path, 1, {"COLOUR": "green"}) as lab:
        lab["m1"].power_on()
        words = "hostname; echo $COLOUR; ls ~; touch ~/mine"
        ssh = ("ssh", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR", "-i", lab.key)
        said = lab.launcher.run(*ssh, lab["m1"].address, words)
        assert said.split() == ["m1", "green"]
        assert (lab["m1"].home / "mine").exists()
        assert not (lab.launcher.home / "mine").exists()
        assert not (Path.home() / "mine").exists()


def test_power_off_ends_every_process_and_keeps_the_disk(tmp_path: Path):
    with Lab(tmp_path, 1) as lab:
        machine = lab["m1"]
        machine.power_on()
        sleeper = machine.start("sleep", "1000")
        machine.run("bash", "-c", "echo kept > ~/disk")
        machine.power_off()
        assert not machine.is_on
        assert sleeper.poll() is not None
        with pytest.raises(RuntimeError, match="m1"):
            lab.launcher.run("bash", "-c", f"exec 3<>/dev/tcp/{machine.address}/22 # m1")
        machine.power_on()
        assert machine.run("bash", "-c", "cat ~/disk; pgrep sleep || true") == "kept\n"


def test_nothing_is_left_of_a_lab_that_fails(tmp_path: Path):
    def fail() -> None:
        with Lab(tmp_path, 2) as lab:
            lab["m2"].power_on()
            processes.append(lab["m2"].start("sleep", "1000"))
            raise ZeroDivisionError

    before, processes = networks(), []
    with pytest.raises(ZeroDivisionError):
        fail()
    assert networks() == before
    assert processes[0].poll() is not None
