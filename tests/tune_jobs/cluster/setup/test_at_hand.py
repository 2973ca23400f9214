"""``cluster-init`` for machines at hand and for Kubernetes."""

from pathlib import Path

import pytest
import yaml

from tune_jobs.cli import main
from tune_jobs.cluster.check.schema import effective

LOCAL = ["cluster-init", "--provider", "local", "--storage", "/shared/stir"]
KUBERAY = ["cluster-init", "--provider", "kuberay", "--storage", "s3://mine/stir"]
IMAGE = "docker.io/me/scale-generalization:0.1.0"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_machines_at_hand_become_a_file_that_ray_accepts(home: Path, capsys):
    assert main([*LOCAL, "10.0.0.7", "10.0.0.8", "--ssh-user", "me"]) == 0
    assert "RAY_UP_enable_autoscaler_v2=0 ray up cluster.yaml" in capsys.readouterr().out
    written = yaml.safe_load(Path("cluster.yaml").read_text())
    assert effective(written)["max_workers"] == 1
    assert written["provider"] == {
        "type": "local",
        "head_ip": "10.0.0.7",
        "worker_ips": ["10.0.0.8"],
    }
    assert (written["max_workers"], written["auth"]) == (1, {"ssh_user": "me"})
    for command in ("head", "worker"):
        (_, start) = written[f"{command}_start_ray_commands"]
        assert "RAY_AUTH_MODE=token TUNE_JOBS_STORAGE=/shared/stir" in start
    assert "--dashboard-host=127.0.0.1" in written["head_start_ray_commands"][1]
    for local in written["file_mounts"].values():
        assert Path(local).expanduser().exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (LOCAL, "Machines must be named, each once"),
        ([*LOCAL, "a", "a"], "Machines must be named, each once"),
        ([*LOCAL, "a;b"], "A machine must be a name or an address"),
        ([*LOCAL, "a", "--storage", "runs"], "--storage must be a folder that all machines share"),
        ([*LOCAL, "a", "--ssh-key", "none"], "--ssh-key must be a private key that is there"),
        ([*LOCAL, "a", "--email", "me@here"], "--email is for AWS; got --provider local"),
        (KUBERAY, "--image must be one that has this software"),
        ([*KUBERAY, "--image", "a b"], "--image must be one that has this software"),
        ([*KUBERAY, "--image", IMAGE, "--storage", "/x"], "--storage must be s3://bucket/prefix"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_writes_nothing(words, said, home: Path, capsys):
    assert main(words) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1
    assert list(home.glob("*.yaml")) == []


def test_a_rayjob_gets_its_image_and_its_bucket_and_keeps_all_else(home: Path):
    assert main([*KUBERAY, "--image", IMAGE]) == 0
    text = Path("rayjob.yaml").read_text()
    assert "YOUR-" not in text
    group = yaml.safe_load(text)["spec"]["rayClusterSpec"]["headGroupSpec"]
    (container,) = group["template"]["spec"]["containers"]
    assert container["image"] == IMAGE
    assert container["env"][0]["value"] == "s3://mine/stir"


def test_a_file_that_is_there_is_left_alone(home: Path, capsys):
    Path("rayjob.yaml").write_text("mine")
    assert main([*KUBERAY, "--image", IMAGE]) == 2
    assert "rayjob.yaml is there already" in capsys.readouterr().err
    assert Path("rayjob.yaml").read_text() == "mine"
