"""A cluster that ``ray up`` starts on machines at hand, and what it does when it loses some."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

import stir
from lab.bars import write_bars
from lab.hold import Hold
from lab.machines import WITH_LAB, Lab, Machine, background, why_not
from lab.records import numbers
from lab.s3_server import CREDENTIALS
from lab.store import LabStore
from tune_jobs.plan.opened import open_study
from tune_jobs.records.keys import point_id_of
from tune_jobs.records.trial import TrialRecord
from tune_jobs.storage import Storage
from tune_jobs.storage.claim import Claim
from tune_jobs.study.file import load_study
from tune_jobs.trial.session import Surroundings
from tune_jobs.trial.trial import run_trial

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

WAIT_SECONDS = 900.0  # for anything; a busy machine takes long to start a Ray
HEAD, WORKERS = "m1", ("m2", "m3")
VARIABLES = {
    **CREDENTIALS,
    "AWS_EC2_METADATA_DISABLED": "false",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "0" * 64,
    "RAY_UP_enable_autoscaler_v2": "0",  # which does not know machines at hand
}
MEMORY = "--object-store-memory=100000000"
CLUSTER = {
    "cluster_name": "lab",
    "min_workers": len(WORKERS),
    "max_workers": len(WORKERS),
    "head_start_ray_commands": [
        "ray stop --force",
        "ray start --head --port=6379 --dashboard-host=0.0.0.0 --num-cpus=0 "
        f"--autoscaling-config=~/ray_bootstrap_config.yaml {MEMORY}",
    ],
    "worker_start_ray_commands": [
        "ray stop --force",
        f"ray start --address=$RAY_HEAD_IP:6379 --num-cpus=1 {MEMORY}",
    ],
}
METADATA = "169.254.169.254"
NOTICE = Path("/tmp/notice.json")  # on the machine whose interruption is announced
DEATHS = """
import ray
ray.init(address="auto", logging_level="ERROR")
print([node["DeathReasonMessage"] for node in ray.nodes()])
"""
DATASET = "bars.npz"
EPOCHS = 40  # of 16 batches each
BATCH_SECONDS = 2.5  # of trials that are held, after 40 batches; they last for 25 minutes


class Cluster:
    """Machines of a lab with a Ray, seen from the launcher, where the user sits."""

    def __init__(self, lab: Lab, store: LabStore, hold: Hold) -> None:
        self.lab, self.store, self.hold = lab, store, hold
        self.home = lab.launcher.home
        write_bars(self.home / DATASET)
        provider = {
            "type": "local",
            "head_ip": lab[HEAD].address,
            "worker_ips": [lab[name].address for name in WORKERS],
        }
        auth = {"ssh_user": "root", "ssh_private_key": str(lab.key)}
        content = CLUSTER | {"provider": provider, "auth": auth}
        (self.home / "cluster.yaml").write_text(yaml.safe_dump(content))

    def up(self) -> None:
        words = ("ray", "up", "--yes", "--no-config-cache", "cluster.yaml")
        self.lab.launcher.run(*words, timeout_seconds=WAIT_SECONDS)

    def down(self) -> None:
        words = ("ray", "down", "--yes", "cluster.yaml")
        self.lab.launcher.run(*words, timeout_seconds=WAIT_SECONDS)

    def require_gone(self) -> None:
        """A worker that hears nothing of its head any more ends by itself, after a minute."""
        look = ("bash", "-c", "pgrep raylet || true")
        deadline = time.monotonic() + WAIT_SECONDS
        while any(self.lab[name].run(*look) for name in (HEAD, *WORKERS)):
            assert time.monotonic() < deadline
            time.sleep(1)

    def write_study(self, name: str, *, seeds: int) -> None:
        """Write a study whose trials are held until ``hold.release``."""
        self.hold.bring_model(self.home)
        self.hold.start(batch_seconds=BATCH_SECONDS)
        axes = {
            "model": "held",
            "dataset": DATASET,
            "scenario": 2,
            "kernel_size": 7,
            "interpolation": None,
            "lr": 0.003,
            "seed": {"from": 1, "to": seeds},
        }
        recipe = {"max_epochs": EPOCHS, "patience": EPOCHS, "batch_size": 4}
        content = {"name": name, "imports": ["held"], "axes": axes, "recipe": recipe}
        (self.home / f"{name}.yaml").write_text(yaml.safe_dump(content))

    def submit(self, name: str, *words: str) -> subprocess.Popen[str]:
        """Send a study; what the command says goes to ``said``."""
        return self.lab.launcher.start(
            *("tune-jobs", "submit", f"{name}.yaml", "--storage", self.store.uri(name)),
            *("--address", f"http://{self.lab[HEAD].address}:8265", "--data", "."),
            *("--checkpoint-seconds", "5", *words),
            log=self._log(name),
        )

    def said(self, name: str) -> str:
        return self._log(name).read_text()

    def now(self, name: str) -> "Snapshot":
        folder = self.lab.folder / f"{name}-{time.monotonic_ns()}"
        return Snapshot(self.store.copy(self.store.uri(name), folder))

    def alone(self, name: str) -> dict[str, TrialRecord]:
        """The results of the study on one machine, without Ray."""
        dataset = stir.load(self.home / DATASET)
        study = load_study(str(self.home / f"{name}.yaml"))
        opened = open_study(study, None, {DATASET: dataset.summary})
        storage = Storage(self.lab.folder / f"{name}-alone")
        surroundings = Surroundings(driver="alone", threads=1)
        for spec in map(opened.spec, opened.study.points):
            run_trial(spec, dataset, storage, surroundings)
        return Snapshot(storage).records

    def _log(self, name: str) -> Path:
        return self.lab.folder / f"{name}.log"


class Snapshot:
    """What a storage held at a moment."""

    def __init__(self, storage: Storage) -> None:
        def read(prefix: str) -> dict[str, bytes]:
            return {point_id_of(i.key): storage.read(i.key) for i in storage.list(prefix)}

        self.records = {key: TrialRecord.from_json(data) for key, data in read("records").items()}
        self.claims = {key: Claim(**json.loads(data)) for key, data in read("claims").items()}
        self.checkpoints = {point_id_of(item.key) for item in storage.list("checkpoints")}
        self.failures = [item.key for item in storage.list("failures")]
        self.weights = [item.key for item in storage.list("weights")]

    def at_work(self, machine: str) -> set[str]:
        """The points that a machine trains and has a checkpoint of."""
        here = {key for key, claim in self.claims.items() if claim.host == machine}
        return here & self.checkpoints

    def trains_since(self, when: float, machine: str) -> bool:
        """Whether the machine has kept up a claim after a time, in seconds since 1970."""
        return any(c.host == machine and c.heartbeat > when for c in self.claims.values())


def wait_for(condition: Callable[[], object], running: subprocess.Popen[str], said) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert running.poll() is None, said()
        assert time.monotonic() < deadline, said()
        time.sleep(1)


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, tell: Callable[[str], None]
) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("lab")
    hold = Hold(folder / "hold")
    with Lab(folder, 3, {**VARIABLES, **hold.variables}) as lab:
        for name in (HEAD, *WORKERS):
            lab[name].power_on()
            serve_metadata(lab[name])
        cluster = Cluster(lab, LabStore(lab), hold)
        tell("a launcher and three machines are on, the storage answers; ray up")
        cluster.up()
        tell("the head is up")
        yield cluster
        cluster.down()
        tell("ray down is through")
        cluster.require_gone()
        tell("no machine runs a Ray")


def serve_metadata(machine: Machine) -> None:
    """Let the machine be told at Amazon's address what happens to it."""
    machine.run("ip", "addr", "replace", f"{METADATA}/32", "dev", "lo")
    machine.start(
        *WITH_LAB, "lab.metadata_service", METADATA, 80, NOTICE, log=machine.folder / "metadata.log"
    )


def require_equal(cluster: Cluster, name: str, *, points: int) -> Snapshot:
    """One record a point, one weights object a record, and the numbers of a single machine."""
    end = cluster.now(name)
    assert len(end.records) == points
    assert len(end.weights) == points
    assert end.claims == {}
    assert end.failures == []
    alone = cluster.alone(name)
    assert {key: numbers(record) for key, record in end.records.items()} == {
        key: numbers(record) for key, record in alone.items()
    }
    return end


def test_a_worker_without_power_costs_nothing_but_time_and_works_again_when_it_is_back(
    cluster: Cluster, tell: Callable[[str], None]
):
    name = "power"
    cluster.write_study(name, seeds=6)
    with background(cluster.submit(name)) as submit:

        def wait(condition: Callable[[], object]) -> None:
            wait_for(condition, submit, lambda: cluster.said(name))

        wait(lambda: "to do; storage" in cluster.said(name))
        tell("the study has arrived with its code; its driver runs")
        wait(lambda: cluster.now(name).at_work("m2"))
        lost = cluster.now(name).at_work("m2")
        cluster.lab["m2"].power_off()
        tell("m2 has lost its power in the middle of a trial")
        wait(lambda: "lost " in cluster.said(name))
        tell("the cluster has noticed")
        back = time.time()
        cluster.lab["m2"].power_on()
        serve_metadata(cluster.lab["m2"])
        tell("m2 has its power again")
        wait(lambda: cluster.now(name).trains_since(back, "m2"))
        cluster.hold.release()
        tell("m2 trains again")
        assert submit.wait(WAIT_SECONDS) == 0, cluster.said(name)
    end = require_equal(cluster, name, points=6)
    resumed = {key for key, record in end.records.items() if record.resumptions}
    assert resumed & lost
    tell(f"6 points, one record each, {len(resumed)} resumed, numbers as on a single machine")


def test_trials_leave_a_machine_whose_interruption_is_announced(
    cluster: Cluster, tell: Callable[[str], None]
):
    name = "notice"
    cluster.write_study(name, seeds=2)
    with background(cluster.submit(name, "--checkpoint-seconds", "3600")) as submit:

        def wait(condition: Callable[[], object]) -> None:
            wait_for(condition, submit, lambda: cluster.said(name))

        def hosts() -> dict[str, str]:
            return {key: claim.host for key, claim in cluster.now(name).claims.items()}

        wait(lambda: "m3" in hosts().values())
        (leaving,) = [key for key, host in hosts().items() if host == "m3"]
        when = datetime.now(UTC) + timedelta(seconds=120)
        notice = json.dumps({"action": "terminate", "time": when.isoformat()})
        cluster.lab["m3"].run("bash", "-c", f"echo '{notice}' > {NOTICE}")
        tell("m3 is told that it will be taken away in two minutes")
        wait(lambda: leaving in cluster.now(name).checkpoints)
        wait(lambda: hosts().get(leaving) != "m3")
        tell("its trial has written a checkpoint and given up its claim")
        wait(lambda: "its machine is about to be taken away" in cluster.said(name))
        wait(lambda: "spot interruption" in cluster.lab[HEAD].run("python", "-c", DEATHS))
        assert datetime.now(UTC) < when
        cluster.lab["m3"].power_off()
        cluster.hold.release()
        tell("m3 is drained, and taken away")
        wait(lambda: hosts().get(leaving) == "m2" or leaving in cluster.now(name).records)
        claim = cluster.now(name).claims.get(leaving)
        assert claim is None or claim.deaths == 0
        tell("its trial goes on on m2; its claim counts no death")
        assert submit.wait(WAIT_SECONDS) == 0, cluster.said(name)
    end = require_equal(cluster, name, points=2)
    record = end.records[leaving]
    assert record.provenance.host == "m2"
    assert len(record.resumptions) == 1
    cluster.lab["m3"].power_on()
    cluster.lab["m3"].run("rm", NOTICE)
    serve_metadata(cluster.lab["m3"])
    tell("2 points, one record each, the numbers as on a single machine")


def test_a_study_goes_on_when_the_machine_of_its_driver_is_lost(
    cluster: Cluster, tell: Callable[[str], None]
):
    name = "driver"
    cluster.write_study(name, seeds=3)
    with background(cluster.submit(name, "--keep-alive")) as submit:

        def wait(condition: Callable[[], object]) -> None:
            wait_for(condition, submit, lambda: cluster.said(name))

        wait(lambda: cluster.now(name).checkpoints)
        cluster.lab[HEAD].power_off()
        tell("the head, and the driver on it, have lost their power")
        wait(lambda: "does not answer; waiting for it" in cluster.said(name))
        tell("submit --keep-alive has noticed and waits")
        cluster.lab[HEAD].power_on()
        cluster.up()
        tell("ray up has started the head again")
        wait(lambda: "the study is sent again" in cluster.said(name))
        cluster.hold.release()
        tell("the study is sent again")
        assert submit.wait(WAIT_SECONDS) == 0, cluster.said(name)
    end = require_equal(cluster, name, points=3)
    resumed = sum(bool(record.resumptions) for record in end.records.values())
    assert resumed >= 1
    tell(f"3 points, one record each, {resumed} resumed, numbers as on a single machine")
