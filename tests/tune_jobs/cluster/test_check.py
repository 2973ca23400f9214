"""``tune-jobs cluster-check`` on the shipped cluster file, and on copies with one mistake each."""

import contextlib
import copy
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

from tune_jobs.cli import main
from tune_jobs.cluster.check import check_cluster
from tune_jobs.cluster.check.versions import local_versions
from tune_jobs.cluster.setup.at_hand import write_local
from tune_jobs.cluster.setup.cluster_file import shipped_values
from tune_jobs.cluster.setup.software import write_software
from tune_jobs.cluster.token import make_token
from tune_jobs.errors import TuneJobsError

SHIPPED = Path(__file__).parents[3] / "cluster.yaml"
WORLD = """
  security_group:
    GroupName: open
    IpPermissions:
      - {FromPort: 8265, ToPort: 8265, IpProtocol: tcp, IpRanges: [{CidrIp: 0.0.0.0/0}]}
"""
COMMANDS = shipped_values()["install"]
INSTALL = "  install: &install\n" + "".join(f"    - {command}\n" for command in COMMANDS)
MISTAKES = {  # what is replaced, by what, and what must be said of it
    "a misspelt key at the top": (
        "\nmax_workers:",
        "\nmax_worker:",
        "no key 'max_worker'. Did you mean 'max_workers'?",
    ),
    "a misspelt key of the provider": (
        "cache_stopped_nodes: false",
        "cache_stopped_nodes: false\n  use_internal_ip: true",
        "provider has no key 'use_internal_ip'. Did you mean 'use_internal_ips'?",
    ),
    "a region that is none": (
        "&region us-east-1",
        "&region us-east1",
        "got 'us-east1'. Did you mean 'us-east-1'?",
    ),
    "a misspelt key of a launch": (
        "SpotInstanceType: one-time",
        "SpotInstancesType: one-time",
        "gpu_spot.node_config.InstanceMarketOptions.SpotOptions has no key 'SpotInstancesType'. "
        "Did you mean 'SpotInstanceType'?",
    ),
    "a misspelt kind of machine": (
        "&cpu_type c7i.4xlarge",
        "&cpu_type c7i.4xlrage",
        "'c7i.4xlrage'. Did you mean 'c7i.4xlarge'?",
    ),
    "a number where EC2 wants text": (
        '&gpu_most "0.70"',
        "&gpu_most 0.70",
        "SpotOptions.MaxPrice must be a string; got 0.7",
    ),
    "a port that is open to the world": (
        "\nauth:",
        WORLD + "\nauth:",
        "port 8265 is open to 0.0.0.0/0",
    ),
    "no security group": (
        "    SecurityGroupIds: *security_group\n",
        "",
        "cpu_spot.node_config must have SecurityGroupIds",
    ),
    "a worker without a profile": (
        "      IamInstanceProfile: *worker_profile\n      InstanceInitiated",
        "      InstanceInitiated",
        "gpu_on_demand.node_config must have an IamInstanceProfile",
    ),
    "a worker that may launch machines": (
        "IamInstanceProfile: *worker_profile",
        "IamInstanceProfile: *head_profile",
        "gpu_spot.node_config.IamInstanceProfile is the head's",
    ),
    "keys for any request": (
        "HttpTokens: required",
        "HttpTokens: optional",
        "head.node_config.MetadataOptions.HttpTokens must be required",
    ),
    "a dashboard for everybody": (
        "--dashboard-host=127.0.0.1",
        "--dashboard-host 0.0.0.0",
        "say --dashboard-host=0.0.0.0",
    ),
    "no token asked for": (
        "    - --env=RAY_AUTH_MODE=token",
        "    - --env=RAY_AUTH_MODE=disabled",
        "RAY_AUTH_MODE=token on every worker",
    ),
    "no token brought": (
        "~/.ray/auth_token: ~/.ray/auth_token",
        "~/notes: ~/notes",
        "none is called auth_token",
    ),
    "a key in the file": (
        "    - --ulimit=nofile=65536:65536",
        "    - --env=AWS_SECRET_ACCESS_KEY=abc",
        "it has an AWS key",
    ),
    "a head that AWS may take back": (
        "      InstanceType: *head_type\n",
        "      InstanceType: *head_type\n      InstanceMarketOptions: {MarketType: spot}\n",
        "must be an on-demand machine",
    ),
    "trials beside the driver": ("{CPU: 0, GPU: 0}", "{CPU: 2}", "CPU is 2. Write CPU: 0"),
    "stopped machines": (
        "cache_stopped_nodes: false",
        "cache_stopped_nodes: true",
        "cache_stopped_nodes must be false",
    ),
    "one zone": (
        "cache_stopped_nodes: false",
        "cache_stopped_nodes: false\n  availability_zone: us-east-1a",
        "'us-east-1a' alone",
    ),
    "spot machines that are kept": (
        "InstanceInterruptionBehavior: terminate",
        "InstanceInterruptionBehavior: stop",
        "gpu_spot.node_config.InstanceMarketOptions asks to keep it",
    ),
    "another Ray": ("ray:2.60.0-", "ray:2.59.0-", "docker.image says 2.59.0"),
    "another Python": ("-py311-", "-py312-", "docker.image says 3.12"),
    "another Ray in an image of one's own": (
        "rayproject/ray:2.60.0-py311-cpu",
        "me/scale-generalization:0.1.0-ray2.59.0-torch2.13.0-py3.11",
        "docker.image says 2.59.0",
    ),
    "another PyTorch": (
        "rayproject/ray:2.60.0-py311-cpu",
        "me/scale-generalization:0.1.0-ray2.60.0-torch2.12.1-py3.11",
        "docker.image says 2.12.1",
    ),
    "an image of unknown content": (
        f"rayproject/ray:2.60.0-py311-cpu\n{INSTALL}",
        "me/mine:latest\n  install: &install []\n",
        "nothing names scale-generalization, ray, torch, python",
    ),
    "Ray's own set-up": (
        "setup_commands: *install\nhead_setup",
        "head_setup",
        "Only released versions may be installed; setup_commands has",
    ),
}


def copy_with(tmp_path: Path, old: str, new: str) -> Path:
    """The shipped file with one thing replaced, the first time it stands there."""
    text = SHIPPED.read_text()
    assert old in text
    path = tmp_path / "cluster.yaml"
    path.write_text(text.replace(old, new, 1))
    return path


def test_the_shipped_file_passes_and_says_what_is_to_be_filled_in(capsys):
    assert main(["cluster-check", str(SHIPPED)]) == 2  # placeholders are left
    out, err = capsys.readouterr()
    assert err.endswith("is not ready; `tune-jobs cluster-init` fills it in\n")
    assert "WRONG" not in out
    assert out.count("ok  ") == 12
    blanks = ("YOUR-BUCKET", "ami-00000000000000000", "sg-00000000000000000")
    assert all(f"still to fill in: {blank}" in out for blank in blanks)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named(mistake: str, tmp_path: Path, capsys):
    old, new, said = MISTAKES[mistake]
    assert main(["cluster-check", str(copy_with(tmp_path, old, new))]) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert out.count("WRONG") == 1
    assert "Traceback" not in err


def test_all_mistakes_of_one_file_are_named_at_once(tmp_path: Path):
    config = yaml.safe_load(SHIPPED.read_text())
    config["provider"] |= {"availability_zone": "us-east-1b", "cache_stopped_nodes": True}
    config["available_node_types"]["head"]["resources"] = {}
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump(config))
    assert sum(map(len, check_cluster(path).faults.values())) == 3


def test_what_is_to_be_sent_and_not_there_yet_is_named(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["cluster-check", str(filled(tmp_path))]) == 2
    out, err = capsys.readouterr()
    assert "still to make: ~/.ray/auth_token\nstill to make: ~/.stir/stir/software" in out
    assert "is not ready; `tune-jobs cluster-init` fills it in" in err
    make_token()
    write_software(tmp_path / ".stir" / "stir" / "software")
    assert main(["cluster-check", str(filled(tmp_path))]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("blank", ["s3://YOUR-BUCKET", "ami-00000000000000000"])
def test_one_thing_still_to_fill_in_is_enough_to_fail(blank, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    make_token()
    (tmp_path / ".stir" / "stir" / "software").mkdir(parents=True)
    path = filled(tmp_path)
    path.write_text(path.read_text().replace("s3://mine", blank).replace("ami-1", blank))
    assert main(["cluster-check", str(path)]) == 2
    assert f"still to fill in: {blank.removeprefix('s3://')}" in capsys.readouterr().out


def filled(tmp_path: Path) -> Path:
    """The shipped file with every blank filled in."""
    text = SHIPPED.read_text()
    for blank, value in {
        "YOUR-BUCKET": "mine",
        "ami-00000000000000000": "ami-1",
        "sg-00000000000000000": "sg-1",
    }.items():
        text = text.replace(blank, value)
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    return path


def test_a_wheel_of_another_version_is_named(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".stir" / "stir" / "software"
    folder.mkdir(parents=True)
    (folder / "scale_generalization-0.0.9-py3-none-any.whl").touch()
    (folder / "constraints.txt").write_text("ray==2.60.0\ntorch==2.12.0\n")
    (faults,) = check_cluster(filled(tmp_path)).faults.values()
    assert [
        f"says {version}." in fault
        for version, fault in zip(("0.0.9", "2.12.0"), sorted(faults), strict=True)
    ]
    assert len(faults) == 2


def test_resources_that_ray_looks_up_may_be_left_out(tmp_path: Path):
    path = copy_with(tmp_path, "    resources: {CPU: 16}\n", "")
    assert check_cluster(path).faults == {}


def test_ray_asking_in_its_start_commands_is_as_good_as_in_the_container(tmp_path: Path):
    config = yaml.safe_load(SHIPPED.read_text())
    del config["docker"]["run_options"][1]
    for kind in ("head", "worker"):
        key = f"{kind}_start_ray_commands"
        config[key][1] = f"export RAY_AUTH_MODE=token; {config[key][1]}"
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump(config))
    assert check_cluster(path).faults == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("provider: {type: aws", "must be valid YAML"),
        ("- a list", "must be a mapping"),
        ("\udcff: not UTF-8", "must be valid YAML"),
        ("cluster_name: x", "has a mapping called provider"),
        ("cluster_name: x\nprovider: {type: gcp}", "got 'gcp'"),
        ("cluster_name: x\nprovider: {type: aws, region: us-east-1}\nmax_workers: few", "few"),
        (
            "cluster_name: x\nprovider: {type: aws}\nhead_node_type: a\navailable_node_types: {}",
            "`head_node_type` must be one of",
        ),
    ],
)
def test_what_is_no_cluster_file_is_refused_in_a_sentence(text, said, tmp_path: Path, capsys):
    path = tmp_path / "cluster.yaml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    assert main(["cluster-check", str(path)]) == 2
    _, err = capsys.readouterr()
    assert said in err
    assert "Traceback" not in err


def test_a_file_that_is_not_there_is_named(capsys):
    assert main(["cluster-check", "nowhere.yaml"]) == 2
    assert "nowhere.yaml" in capsys.readouterr().err


def test_without_boto3_the_command_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    from tune_jobs.cluster.check.nodes import _session

    _session.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "botocore.session", None)
    with pytest.raises(TuneJobsError, match=r"needs boto3.*\.\[all,aws\]"):
        check_cluster(SHIPPED)


def test_image_and_installer_of_the_shipped_file_have_the_pinned_versions():
    pins = dict(
        line.split("==")
        for line in (SHIPPED.parent / "constraints.txt").read_text().splitlines()
        if "==" in line
    )
    versions = local_versions()
    image = yaml.safe_load(SHIPPED.read_text())["docker"]["image"]
    assert image == f"rayproject/ray:{pins['ray']}-py{versions['python'].replace('.', '')}-cpu"
    assert COMMANDS[0] == f"python -m pip install --quiet uv=={pins['uv']}"


def places(content: object) -> list[tuple]:
    """The way to every value in a file."""
    keys = (
        content
        if isinstance(content, dict)
        else range(len(content))
        if isinstance(content, list)
        else ()
    )
    return [(key, *rest) for key in keys for rest in [(), *places(content[key])]]


@pytest.mark.parametrize("odd", ["odd", [7], {"odd": [7]}], ids=str)
def test_nothing_in_a_file_makes_the_check_itself_fail(odd: object, tmp_path: Path):
    whole = yaml.safe_load(SHIPPED.read_text())
    del whole["metadata"]
    for kind in ("gpu_on_demand", "cpu_spot"):  # the like of another
        del whole["available_node_types"][kind]
    unbound = ("provider", "docker", "file_mounts", "available_node_types")  # by Ray's schema
    check_with_odd_values(whole, unbound, odd, tmp_path / "cluster.yaml")


def test_nor_does_anything_in_a_file_of_machines_at_hand(tmp_path: Path):
    path = tmp_path / "local.yaml"
    write_local(path, name="x", hosts=("a", "b"), user="me", key="", storage="/shared")
    whole = yaml.safe_load(path.read_text())
    check_with_odd_values(whole, tuple(whole), [7], path)


def check_with_odd_values(whole: dict, keys: Iterable[str], odd: object, path: Path) -> None:
    """Check a file with something odd in place of each value below some keys, one at a time."""
    for way in places({key: whole[key] for key in keys}):
        config = copy.deepcopy(whole)
        inner = config
        for key in way[:-1]:
            inner = inner[key]
        inner[way[-1]] = odd
        path.write_text(yaml.dump(config, Dumper=NoAliases))
        with contextlib.suppress(TuneJobsError):
            check_cluster(path)


class NoAliases(yaml.SafeDumper):
    """One change is one change, also where the file names a value twice."""

    def ignore_aliases(self, data: object) -> bool:
        return True
