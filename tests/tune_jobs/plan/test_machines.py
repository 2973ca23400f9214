"""``plan --machines``: trials at once, hours and money on kinds of machine."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lab.bars import CLASSES
from stir import SCENARIOS
from tune_jobs.cli import main
from tune_jobs.errors import TuneJobsError
from tune_jobs.plan.cost import Here, Kind, Source
from tune_jobs.plan.machines.fleets import ON_DEMAND, SPOT, TrialHours, fleets
from tune_jobs.plan.machines.hours import hours_on
from tune_jobs.plan.machines.kinds import Machine, load_machines
from tune_jobs.plan.prior import PRIOR_GPU
from tune_jobs.records.calibration import Calibration, ModelSeconds
from tune_jobs.records.keys import calibration_key
from tune_jobs.storage import Storage
from tune_jobs.study.study import Resources

CPU = Machine(type="cpu", cpus=16, on_demand=0.8, spot=0.3)
GPU = Machine(type="gpu", cpus=8, gpus=1, gpu_gb=24, on_demand=1.0)
SEARCH = "search: {trials: 6}"


def test_eight_machines_take_an_eighth_of_the_time_and_the_head_costs_all_along():
    spot, on_demand = fleets(
        [CPU],
        8,
        Resources(cpus=2),
        trials=lambda machine: TrialHours(all=640.0, longest=1.0),
        head_price=0.1,
    )
    assert (spot.market, spot.at_once, spot.hours) == (SPOT, 64, 10.0)
    assert spot.money == pytest.approx(10 * (8 * 0.3 + 0.1))
    assert (on_demand.market, on_demand.hours) == (ON_DEMAND, 10.0)
    assert on_demand.money == pytest.approx(10 * (8 * 0.8 + 0.1))
    assert not spot.price_is_guess


def test_no_number_of_machines_ends_before_the_longest_trial():
    trials = TrialHours(all=10.0, longest=3.0)
    first, *_ = fleets([CPU], 100, Resources(), trials=lambda machine: trials, head_price=0.0)
    assert first.hours == 3.0


@pytest.mark.parametrize(("share", "at_once", "hours"), [(0.25, 16, 2.5), (1, 4, 2.5), (2, 2, 5)])
def test_trials_that_share_a_gpu_are_done_no_sooner(share: float, at_once: int, hours: float):
    machine = replace(GPU, gpus=2)
    trials = TrialHours(all=10.0, longest=1.0)
    found = fleets(
        [CPU, machine], 2, Resources(gpus=share), trials=lambda machine: trials, head_price=0.0
    )
    assert [(one.machine.type, one.at_once, one.hours, one.price_is_guess) for one in found] == [
        ("gpu", at_once, hours, True),
        ("gpu", at_once, hours, False),
    ]


def test_a_time_that_is_not_known_makes_no_money():
    found = fleets([CPU], 1, Resources(), trials=lambda machine: None, head_price=0.1)
    assert {one.money for one in found} == {None}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "must be a list of them"),
        ("- {type: a, cpus: 4}", "must have type (a name), cpus and on_demand"),
        ("- {type: a, cpus: 4, on_demand: 1, spots: 2}", "Did you mean 'spot'?"),
        ("- {type: a, cpus: 0, on_demand: 1}", "cpus of a machine must be above 0"),
        ("- {type: a, cpus: 1.5, on_demand: 1}", "cpus of a machine must be a number"),
        ("- {type: a, cpus: 4, on_demand: -1}", "on_demand of a machine must be above 0"),
        ("- {type: a, cpus: 4, on_demand: true}", "on_demand of a machine must be a number"),
        ("- [a]", "must be a mapping"),
        ("- {type: a, cpus: 4, gpu: NVIDIA L4, on_demand: 1}", "must say with gpus how many"),
        (
            "- {type: a, cpus: 4, gpus: 1, gpu: 4, on_demand: 1}",
            "gpu of a machine must be",
        ),
    ],
)
def test_a_list_that_is_none_is_refused_in_a_sentence(text: str, said: str, tmp_path: Path):
    path = tmp_path / "machines.yaml"
    path.write_text(text)
    with pytest.raises(TuneJobsError) as error:
        load_machines(path)
    assert said in str(error.value)


def test_the_command_prints_a_table_and_what_in_it_is_an_estimate(tmp_path: Path, capsys):
    prices = tmp_path / "mine.yaml"
    prices.write_text("- {type: tower, cpus: 64, on_demand: 0.2, spot: 0.1}\n")
    plan = ["plan", "demo", "--storage", str(tmp_path / "runs"), "--machines", "2"]
    assert main([*plan, "--prices", str(prices)]) == 0
    out = capsys.readouterr().out
    assert "2 tower" in out
    assert "~ hours are estimates" in out
    assert "guessed" not in out
    assert main([*plan, "--json"]) == 0
    machines = json.loads(capsys.readouterr().out)["machines"]
    assert {one["type"] for one in machines} >= {"c7i.4xlarge", "c7a.4xlarge"}
    assert all(one["price_is_guess"] == (one["market"] == SPOT) for one in machines)


def write_study(path: Path, bars: Path, *, seeds: str, search: str = "") -> str:
    path.write_text(
        f"""
name: gpus
axes: {{model: standard, dataset: {bars}, scenario: 2, kernel_size: 3, interpolation: null,
        lr: 0.001, seed: {seeds}}}
recipe: {{max_epochs: 10}}
resources: {{gpus: 1}}
{search}
"""
    )
    return str(path)


@pytest.mark.parametrize(
    "kind", [{"seeds": "{from: 1, to: 6}"}, {"seeds": "{randint: [1, 99]}", "search": SEARCH}]
)
def test_hours_on_a_gpu_are_those_of_its_calibration_and_of_no_other(
    bars: Path, storage: Storage, tmp_path: Path, capsys, kind: dict[str, str]
):
    study, prices = write_study(tmp_path / "study.yaml", bars, **kind), tmp_path / "prices.yaml"
    prices.write_text(
        "- {type: fast, cpus: 8, gpus: 1, gpu: NVIDIA L4, on_demand: 2}\n"
        "- {type: other, cpus: 8, gpus: 1, gpu: NVIDIA A10G, on_demand: 3}\n"
        "- {type: nameless, cpus: 8, gpus: 1, on_demand: 4}\n"
    )
    machine = Calibration(
        processor="NVIDIA L4",
        threads=1,
        backend="torch",
        torch_version="2.13.0",
        models={"standard": ModelSeconds(train=3.6, valid=0.0)},
        measured_at="2026-11-26T12:00:00+00:00",
        device="cuda",
    )
    storage.write(calibration_key(machine.name), machine.to_json())
    plan = ["plan", study, "--storage", storage.uri, "--machines", "3", "--prices", str(prices)]
    assert main([*plan, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["machines"]
    hours = {(one["type"], one["market"]): one["hours"] for one in found}
    images = CLASSES * len(SCENARIOS[2].train_scales)
    assert hours.pop(("fast", ON_DEMAND)) == pytest.approx(6 * 10 * images * 3.6 / 3600 / 3)
    assert hours.pop(("fast", SPOT)) is not None
    assert set(hours.values()) == {None}

    assert main(plan) == 0
    out = capsys.readouterr().out
    assert "hours are unknown on NVIDIA A10G: trials that have ended on one tell them" in out
    assert "hours are unknown where the list does not say with gpu" in out
    assert "~ hours are estimates, of trials that have a GPU to themselves" in out


@dataclass(frozen=True)
class Known:
    """What is left of a study, with times from a source."""

    trial_seconds_left: float
    sources: frozenset[Source]
    longest_seconds_left: float = 0.0


@pytest.mark.parametrize(
    ("seconds", "source", "gpu", "hours"),
    [
        (7200.0, Source.RECORDS, "NVIDIA L4", 2.0),
        (7200.0, Source.OTHER_RECORDS, "NVIDIA L4", None),
        (7200.0, Source.GPU_TABLE, "NVIDIA L4", None),
        (7200.0, Source.GPU_TABLE, PRIOR_GPU, 2.0),
        (0.0, Source.GPU_TABLE, "NVIDIA L4", 0.0),
    ],
)
def test_hours_are_told_where_they_were_measured_or_nothing_is_left(
    seconds: float, source: Source, gpu: str, hours: float | None
):
    left = Known(seconds, frozenset([source]))
    here = Here(kind=Kind.of_gpu(gpu), exactly=True)
    found = hours_on(left, lambda name: (here, left))(replace(GPU, gpu=gpu))
    assert (found and found.all) == hours


def test_hours_on_the_gpu_of_the_table_are_known(bars: Path, tmp_path: Path, capsys):
    study, prices = write_study(tmp_path / "study.yaml", bars, seeds="1"), tmp_path / "prices.yaml"
    prices.write_text(f"- {{type: a, cpus: 8, gpus: 1, gpu: {PRIOR_GPU}, on_demand: 2}}\n")
    plan = ["plan", study, "--storage", str(tmp_path / "runs"), "--machines"]
    assert main([*plan, "--prices", str(prices), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["machines"]
    assert all(one["hours"] > 0 for one in found)


def test_prices_without_machines_are_refused(tmp_path: Path, capsys):
    assert main(["plan", "demo", "--storage", str(tmp_path), "--prices", "x.yaml"]) == 2
    assert "--prices goes with --machines" in capsys.readouterr().err
