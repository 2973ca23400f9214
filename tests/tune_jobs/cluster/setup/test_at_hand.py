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


def test_the_file_of_machines_at_hand_passes_cluster_check_which_says_so(capsys):
    assert main([*LOCAL, "10.0.0.7", "10.0.0.8"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert main(["cluster-check", "cluster.yaml"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 8
    assert all(line.startswith("ok ") for line in shown)
    assert said[3:11] == shown


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("head_ip:", "haed_ip:", "no key 'haed_ip'. Did you mean 'head_ip'?"),
        ('  worker_ips: ["10.0.0.8"]\n', "", "it has no worker_ips."),
        ('"10.0.0.8"', '"10.0.0.7"', "10.0.0.7 is there 2 times"),
        ("min_workers: 1", "min_workers: 0", "they are 0 and 1 of 1"),
        ("STORAGE=/shared/stir PATH", "STORAGE=/mine PATH", "have /mine, worker_"),
        ("--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0", "say --dashboard-host=0.0.0.0"),
        ("RAY_AUTH_MODE=token", "RAY_AUTH_MODE=none", "on every head"),
        ("~/.ray/auth_token: ~/.ray/auth_token", "~/.x: ~/.ray/auth_token", "called auth_token"),
        ("  - python3.", "  - python3.9", "must run python 3."),
    ],
)
def test_a_mistake_in_a_file_of_machines_at_hand_is_named(old, new, said, capsys):
    assert main([*LOCAL, "10.0.0.7", "10.0.0.8"]) == 0
    path = Path("cluster.yaml")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    capsys.readouterr()
    assert main(["cluster-check", "cluster.yaml"]) == 2
    assert said in capsys.readouterr().err


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
