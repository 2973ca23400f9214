"""``ray up cluster.yaml`` on an EC2 of moto's whose instances are machines of the lab.

Replaced are addresses (the security group, the storage), the machine image with its user, and the
instance types that this machine is too small for; idle workers end after a minute, not five.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen

import pytest

from lab.bars import write_bars
from lab.cloud import LabCloud
from lab.machines import ROOT, Lab, Machine, background, why_not
from lab.s3_server import CREDENTIALS
from lab.store import LabStore
from tune_jobs.cluster.check import check_cluster
from tune_jobs.records.trial import TrialRecord

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())
WAIT_SECONDS = 900.0  # for anything; a busy machine takes long to start a Ray
STUDY = """
name: bars
axes:
  {model: standard, dataset: DATASET, scenario: 2, kernel_size: 7, interpolation: bicubic,
   lr: 0.001, seed: {from: 1, to: 3}}
recipe: {max_epochs: 300, patience: 300}
"""
MAKE_ACCOUNT = """
root = sys.argv[1]
for role in ("stir-head", "stir-worker"):
    trust = open(f"{root}/trust-policy.json").read()
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust)
    policy = open(f"{root}/{role.removeprefix('stir-')}-policy.json").read()
    iam.put_role_policy(RoleName=role, PolicyName=role, PolicyDocument=policy)
    iam.create_instance_profile(InstanceProfileName=role)
    iam.add_role_to_instance_profile(InstanceProfileName=role, RoleName=role)
vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
group = ec2.create_security_group(GroupName="stir", Description="STIR", VpcId=vpc)["GroupId"]
image = ec2.describe_images()["Images"][0]["ImageId"]
print(json.dumps([group, image]))
"""
LEFT = """
found = [one for held in ec2.describe_instances()["Reservations"] for one in held["Instances"]]
print(json.dumps([one["State"]["Name"] for one in found]))
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    folder = tmp_path / "lab"
    variables = {**CREDENTIALS, **LabCloud.variables(folder)}
    with Lab(folder, 3, variables) as lab:
        yield lab


def cluster_file(lab: Lab, cloud: LabCloud, storage: str) -> Path:
    """The shipped file for this cloud."""
    group, image = cloud.ask(MAKE_ACCOUNT, ROOT / "deploy")
    text = (ROOT / "cluster.yaml").read_text()
    for old, new in {
        "[sg-00000000000000000]": f"[{group}]",
        "ami-00000000000000000": image,
        "s3://YOUR-BUCKET/stir": f"'{storage}'",  # it has an &, and docker run is a shell's line
        "ssh_user: ubuntu": "ssh_user: root",
        "c7i.4xlarge": "c7i.large",
        "{CPU: 16}": "{CPU: 1}",
        "&workers 16": "&workers 2",
        "idle_timeout_minutes: 5": "idle_timeout_minutes: 1",
    }.items():
        assert old in text
        text = text.replace(old, new)
    path = lab.folder / "cluster.yaml"
    path.write_text(text)
    assert check_cluster(path).faults == {}
    return path


def reached(launcher: Machine) -> bool:
    """Whether something answers where `ray dashboard` brings the dashboard."""
    try:
        launcher.run("bash", "-c", "</dev/tcp/127.0.0.1/8265")
    except RuntimeError:
        return False
    return True


def test_ray_up_of_the_shipped_file_survives_the_loss_of_a_spot_worker(
    lab: Lab, tell: Callable[[str], None]
):
    with LabCloud(lab, ("m1", "m2", "m3")) as cloud:

        def wait_for(
            what: str, happened: Callable[[], object], running: Popen[str] | None = None
        ) -> None:
            deadline = time.monotonic() + WAIT_SECONDS
            while not happened():
                cloud.check()
                assert running is None or not running.poll(), log.read_text()
                assert time.monotonic() < deadline, f"{what}: not in {WAIT_SECONDS:.0f} s"
                time.sleep(0.5)
            tell(what)

        launcher, store = lab.launcher, LabStore(lab)
        uri = store.uri("stir")
        file = cluster_file(lab, cloud, uri)
        launcher.run("ray", "get-auth-token", "--generate")
        tell("ray up cluster.yaml, on an EC2 of moto's")
        log = lab.folder / "up.log"
        up = launcher.start("ray", "up", "-y", "--no-config-cache", file, log=log)
        wait_for("the head is up", lambda: up.poll() is not None)
        assert up.returncode == 0, log.read_text()
        assert [event.market for event in cloud.of("boot", kind="head")] == ["on-demand"]

        with background(launcher.start("ray", "dashboard", file, log=lab.folder / "tunnel.log")):
            study = lab.folder / "bars.yaml"
            study.write_text(STUDY.replace("DATASET", str(write_bars(lab.folder / "bars.npz"))))
            send = ("tune-jobs", "submit", study, "--storage", uri, "--checkpoint-seconds", 10)
            wait_for("the dashboard is brought here", lambda: reached(launcher))
            log = lab.folder / "submit.log"
            driver = launcher.start("env", "RAY_AUTH_MODE=token", *send, log=log)
            spot = {"market": "spot", "kind": "cpu_spot"}
            wait_for("two spot workers boot", lambda: len(cloud.of("boot", **spot)) == 2, driver)
            wait_for(
                "both trials checkpoint", lambda: len(store.keys(uri, "checkpoints")) == 2, driver
            )
            lost = cloud.of("boot", **spot)[0].instance
            cloud.machine(lost).power_off()
            wait_for("a worker is lost", lambda: cloud.of("lost"))
            wait_for(
                "another boots in its place", lambda: len(cloud.of("boot", **spot)) == 3, driver
            )
            wait_for("the study is done", lambda: driver.poll() is not None)
        assert driver.returncode == 0, log.read_text()
        done = store.copy(uri, lab.folder / "results")
        records = [TrialRecord.from_json(done.read(item.key)) for item in done.list("records")]
        assert len(records) == 3
        assert any(record.resumptions for record in records)
        assert list(done.list("failures")) == []

        wait_for("idle workers are ended", lambda: len(cloud.of("end", **spot)) == 2)
        launcher.run("ray", "down", "-y", file, timeout_seconds=300)
        wait_for("ray down has ended the head", lambda: cloud.of("end", kind="head"))
        assert set(cloud.ask(LEFT)) == {"terminated"}
