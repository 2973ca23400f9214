"""What a study may cost: counted on a real Ray, kept in the storage, its end when it is spent."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.hold import Hold
from lab.records import keys
from tune_jobs.cli import main
from tune_jobs.cluster import meter
from tune_jobs.cluster.connection import ray_session
from tune_jobs.cluster.meter import Meter, price_labels
from tune_jobs.records.rental import Rental, cost_of
from tune_jobs.records.schema import RecordError
from tune_jobs.storage import Storage
from tune_jobs.storage.rentals import read_rentals, write_rentals

LABELS = '{"dollars-an-hour": "1.5", "ray.io/node-group": "cpu_spot"}'
HOUR = 3600.0


def rental(machine: str, since: float, until: float, price: float = 2.0) -> Rental:
    return Rental(machine=machine, kind="spot", price=price, since=since, until=until)


def test_a_machine_that_two_drivers_saw_is_paid_for_once(storage: Storage):
    write_rentals(storage, "emoji", "a" * 12, {"m": rental("m", 0, HOUR)})
    write_rentals(storage, "emoji", "b" * 12, {"m": rental("m", HOUR / 2, 3 * HOUR)})
    write_rentals(storage, "other", "c" * 12, {"m": rental("m", 0, 50 * HOUR)})
    assert cost_of(read_rentals(storage, "emoji").values()) == 6.0


def test_machines_of_different_prices_add_up(storage: Storage):
    machines = {"a": rental("a", 0, HOUR, 0.25), "b": rental("b", 0, 2 * HOUR, 0.5)}
    write_rentals(storage, "emoji", "a" * 12, machines)
    assert cost_of(read_rentals(storage, "emoji").values()) == 1.25


def test_a_damaged_account_is_not_taken_for_nothing_spent(storage: Storage):
    write_rentals(storage, "emoji", "a" * 12, {"m": rental("m", 0, HOUR)})
    path = Path(storage.uri) / "costs" / "emoji" / f"{'a' * 12}.json"
    path.write_bytes(path.read_bytes().replace(b"2.0", b"0.0"))
    with pytest.raises(RecordError):
        read_rentals(storage, "emoji")


@contextlib.contextmanager
def labelled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Ray whose machine says what it costs, as those of cluster.yaml do."""
    monkeypatch.setenv("RAY_OVERRIDE_LABELS", LABELS)
    with ray_session(folder, cpus=1):
        yield


@pytest.mark.ray
def test_machines_say_what_they_cost_and_time_between_drivers_counts(
    tmp_path_factory, storage: Storage, monkeypatch: pytest.MonkeyPatch
):
    spent: list[bool] = []
    now = [1e9]
    monkeypatch.setattr(meter.clock, "now", lambda: now[0])
    with labelled(tmp_path_factory.mktemp("r"), monkeypatch):
        ((machine, kind, price),) = price_labels()
        assert (kind, price) == ("cpu_spot", 1.5)
        with Meter(storage, "emoji", "a" * 12, price=None, budget=None):
            now[0] += HOUR
        assert cost_of(read_rentals(storage, "emoji").values()) == 1.5
        now[0] += HOUR  # nobody drives, but the machine is on
        with Meter(
            storage, "emoji", "b" * 12, price=None, budget=4.0, on_spent=lambda: spent.append(True)
        ) as second:
            assert second.cost == 3.0
            assert not second.is_spent
            now[0] += HOUR
            second.look()
            second.look()
            assert (second.cost, spent) == (4.5, [True])
        assert list(read_rentals(storage, "emoji")) == [machine]


@pytest.mark.ray
def test_a_study_stops_at_its_budget_with_checkpoints_and_goes_on_with_a_larger_one(
    bars: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch, hold: Hold
):
    study = tmp_path / "small.yaml"
    study.write_text(
        f"""
name: small
imports: [held]
axes: {{model: held, dataset: {bars}, scenario: 2, kernel_size: 7, interpolation: null,
        lr: 3e-3, seed: 1}}
recipe: {{max_epochs: 16, patience: 16, batch_size: 4}}
"""
    )
    runs = tmp_path / "runs"
    hold.start()

    def now() -> float:
        """The first checkpoint takes an hour."""
        return time.time() + HOUR * any(runs.glob("checkpoints/*.pt"))

    monkeypatch.setattr(meter.clock, "now", now)
    run = ["run", str(study), "--storage", str(runs), "--price", "1"]
    assert main([*run, "--budget", "0.5", "--checkpoint-seconds", "0.3"]) == 3
    assert "the budget of 0.50 is spent (1.0" in capsys.readouterr().out
    (checkpoint,) = runs.glob("checkpoints/*.pt")
    written = checkpoint.stat().st_mtime_ns
    assert main([*run, "--budget", "0.5"]) == 3  # it was spent before: nothing is trained
    assert checkpoint.stat().st_mtime_ns == written
    capsys.readouterr()
    hold.release()
    assert main([*run, "--budget", "10000"]) == 0
    assert "resumed " in "".join(capsys.readouterr())
    assert len(keys(runs, "records")) == 1
    assert len(keys(runs, "costs/small")) == 3


def test_a_budget_needs_to_know_what_machines_cost(bars: Path, tmp_path: Path, capsys):
    study = tmp_path / "small.yaml"
    study.write_text(
        f"""
name: small
axes: {{model: standard, dataset: {bars}, scenario: 2, kernel_size: 7, interpolation: null,
        lr: 3e-3, seed: 1}}
"""
    )
    assert main(["run", str(study), "--storage", str(tmp_path / "runs"), "--budget", "5"]) == 2
    err = capsys.readouterr().err
    assert "--budget needs to know what machines cost; none says so. Give --price" in err
    assert len(err.splitlines()) == 1
