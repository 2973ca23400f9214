"""From an empty account to results: ``cluster-init``, ``ray up``, ``submit``, and back to nothing.

The account is one of moto's, and its instances are machines of the lab. Replaced in the file that
``cluster-init`` wrote are the address of S3, the user who logs in, how many CPUs a machine has, and
what a spot machine costs, which moto does not know; idle workers end after a minute, not five. uv,
which the machines have, installs the wheel that travels, but not its requirements, which they have.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen

import pytest

from lab.aws.cloud import ENDPOINT, LabCloud
from lab.bars import write_bars
from lab.hold import Hold
from lab.machines import WITH_LAB, Lab, background, why_not
from lab.s3_server import CREDENTIALS
from tune_jobs.cluster.setup.cluster_file import ClusterFile
from tune_jobs.records.rental import cost_of
from tune_jobs.records.trial import TrialRecord
from tune_jobs.storage import Storage
from tune_jobs.storage.rentals import read_rentals

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())
WAIT_SECONDS = 1200.0  # for anything; a busy machine takes long to start a Ray
IMAGE = "ami-03cf127a"  # one that moto has
INSTALLED = ".installed"  # in a machine's home
UV = f"""
offline = true
[pip]
no-deps = true
target = "{Path.home() / INSTALLED}"
"""
BUCKET = "stir-123456789012-us-east-1"
# Two workers that cost 0.24 each before they join, and 0.001 a second each from then on.
SPOT_PRICE, BUDGET = "3.6", 0.60
STUDY = """
name: bars
imports: [held]
axes:
  {model: held, dataset: DATASET, scenario: 2, kernel_size: 7, interpolation: bicubic,
   lr: 0.001, seed: {from: 1, to: 4}}
recipe: {max_epochs: 40, patience: 40, batch_size: 4}
"""
LEFT = """
found = [one for held in ec2.describe_instances()["Reservations"] for one in held["Instances"]]
groups = [group["GroupName"] for group in ec2.describe_security_groups()["SecurityGroups"]]
roles = [role["RoleName"] for role in iam.list_roles()["Roles"]]
print(json.dumps({
    "instances": [one["InstanceId"] for one in found if one["State"]["Name"] != "terminated"],
    "volumes": [one["VolumeId"] for one in ec2.describe_volumes()["Volumes"]],
    "groups": [name for name in groups if name != "default"],
    "pairs": [pair["KeyName"] for pair in ec2.describe_key_pairs()["KeyPairs"]],
    "roles": [name for name in roles if not name.startswith("AWSServiceRole")],
    "profiles": iam.list_instance_profiles()["InstanceProfiles"],
    "policies": iam.list_policies(Scope="Local")["Policies"],
    "stacks": boto3.client("cloudformation").describe_stacks()["Stacks"],
    "buckets": [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]],
}, default=str))
"""


@pytest.fixture
def hold(tmp_path: Path) -> Hold:
    return Hold(tmp_path / "lab" / "hold")


@pytest.fixture
def lab(tmp_path: Path, hold: Hold) -> Iterator[Lab]:
    folder = tmp_path / "lab"
    cloud = LabCloud.variables(folder)
    (folder / "uv.toml").write_text(UV)
    tools = {"PIP_NO_INDEX": "1", "UV_CONFIG_FILE": str(folder / "uv.toml")}
    variables = {**CREDENTIALS, **tools, **cloud, **hold.variables}
    with Lab(folder, 3, variables) as lab:
        yield lab


class Account:
    """The user of an account, who sits at the launcher, and what happens in the account."""

    def __init__(self, lab: Lab, cloud: LabCloud, tell: Callable[[str], None]) -> None:
        self.lab, self.cloud, self.tell = lab, cloud, tell
        self.launcher = lab.launcher
        self.uri = ""

    def init(self) -> None:
        """``cluster-init``, and what the lab has to replace in the file that it wrote."""
        words = ("--from-address", self.launcher.address, "--machine-image", IMAGE)
        self.launcher.run(
            "tune-jobs", "cluster-init", "--yes", "--cpu", "--max-machines", 2, *words,
            timeout_seconds=300,
        )  # fmt: skip
        path = self.launcher.home / "cluster.yaml"
        text = path.read_text()
        for old, new in {
            f"=s3://{BUCKET}/stir": f"='s3://{BUCKET}/stir?endpoint_override={ENDPOINT}&scheme=http'",
            "ssh_user: ubuntu": "ssh_user: root",
            "{CPU: 16}": "{CPU: 1}",
            '&cpu_spot_price "0.00001"': f'&cpu_spot_price "{SPOT_PRICE}"',
            "idle_timeout_minutes: 5": "idle_timeout_minutes: 1",
        }.items():
            assert old in text, old
            text = text.replace(old, new)
        path.write_text(text)
        self.uri = ClusterFile(path).storage

    def submit(self, study: Path, budget: float) -> Popen[str]:
        log = self.log(budget)
        words = ("--keep-alive", "--budget", budget, "--checkpoint-seconds", 10)
        return self.launcher.start("tune-jobs", "submit", study, *words, log=log)

    def log(self, budget: float) -> Path:
        return self.lab.folder / f"submit-{budget}.log"

    def keys(self, prefix: str) -> list[str]:
        """The objects below a folder of the storage."""
        look = (*WITH_LAB, "lab.store", "keys", self.uri, prefix)
        return self.launcher.run(*look).split()

    def results(self) -> Storage:
        """A copy of what the bucket holds."""
        inside = self.lab.folder / "copied"
        self.launcher.run(*WITH_LAB, "lab.store", "copy", self.uri, inside)
        return Storage(inside)

    def wait_for(
        self, what: str, happened: Callable[[], object], running: Popen[str] | None = None
    ) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not happened():
            self.cloud.check()
            said = "".join(path.read_text()[-3000:] for path in self.lab.folder.glob("submit*"))
            assert running is None or running.poll() is None, said
            assert time.monotonic() < deadline, f"{what}: not in {WAIT_SECONDS:.0f} s\n{said}"
            time.sleep(0.5)
        self.tell(what)


def test_an_empty_account_comes_to_results_and_keeps_nothing_but_them(
    lab: Lab, hold: Hold, tell: Callable[[str], None]
):
    spot = {"market": "spot", "kind": "cpu_spot"}
    with LabCloud(lab, ("m1", "m2", "m3")) as cloud:
        account = Account(lab, cloud, tell)
        tell("an empty account of moto's; tune-jobs cluster-init")
        account.init()
        tell("cluster-init has made what a cluster needs; ray up cluster.yaml")
        log = lab.folder / "up.log"
        up = lab.launcher.start("ray", "up", "-y", "cluster.yaml", log=log)
        account.wait_for("the head is up", lambda: up.poll() is not None)
        assert up.returncode == 0, log.read_text()
        assert [event.market for event in cloud.of("boot", kind="head")] == ["on-demand"]

        hold.bring_model(lab.folder)
        hold.start(batch_seconds=2.5)  # for 25 minutes
        study = lab.folder / "bars.yaml"
        study.write_text(STUDY.replace("DATASET", str(write_bars(lab.folder / "bars.npz"))))
        with background(account.submit(study, BUDGET)) as first:
            two = lambda: len(cloud.of("boot", **spot)) == 2  # noqa: E731
            account.wait_for("submit has made a tunnel; two spot workers boot", two, first)
            ran_out = lambda: first.poll() is not None  # noqa: E731
            account.wait_for("the budget is spent", ran_out)
        said = account.log(BUDGET).read_text()
        assert first.returncode == 3, said
        assert f"the budget of {BUDGET:.2f} is spent" in said
        assert account.keys("claims") == []
        checkpoints = account.keys("checkpoints")
        for event in cloud.of("boot", **spot):
            assert (lab[event.machine].home / INSTALLED / "tune_jobs" / "cli.py").is_file()

        with background(account.submit(study, 1000.0)) as second:
            again = lambda: len(account.keys("claims")) == 2  # noqa: E731
            account.wait_for("with a larger budget both workers train", again, second)
            boots = len(cloud.of("boot", **spot))
            on = {event.instance for event in cloud.of("boot", **spot)}
            on -= {event.instance for event in cloud.of("end", **spot)}
            cloud.machine(min(on)).power_off()
            account.wait_for("a worker is lost", lambda: cloud.of("lost"))
            another = lambda: len(cloud.of("boot", **spot)) > boots  # noqa: E731
            account.wait_for("another boots in its place", another, second)
            hold.release()
            account.wait_for("the study is done", lambda: second.poll() is not None)
        assert second.returncode == 0, account.log(1000.0).read_text()

        done = account.results()
        records = [TrialRecord.from_json(done.read(item.key)) for item in done.list("records")]
        assert len(records) == 4
        assert sum(bool(record.resumptions) for record in records) >= max(1, len(checkpoints))
        assert list(done.list("failures")) == []
        rentals = read_rentals(done, "bars")
        assert {rental.kind for rental in rentals.values()} == {"head", "cpu_spot"}
        assert cost_of(rentals.values()) > BUDGET

        booted = len(cloud.of("boot", **spot))
        gone = lambda: len(cloud.of("end", **spot)) + len(cloud.of("lost")) == booted  # noqa: E731
        account.wait_for("idle workers are ended", gone)
        lab.launcher.run("ray", "down", "-y", "cluster.yaml", timeout_seconds=600)
        account.wait_for("ray down has ended the head", lambda: cloud.of("end", kind="head"))
        output = lab.launcher.run("tune-jobs", "cluster-destroy", "--yes", timeout_seconds=300)
        left = {what: names for what, names in cloud.ask(LEFT).items() if names}
        assert left == {"buckets": [BUCKET]}
        (stays,) = [line.strip() for line in output.splitlines() if "stays:" in line]
        tell(f"cluster-destroy: {stays}")
