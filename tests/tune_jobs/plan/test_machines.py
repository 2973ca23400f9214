"""``plan --machines``: trials at once, hours and money on kinds of machine."""

import json
from pathlib import Path

import pytest

from tune_jobs.cli import main
from tune_jobs.errors import TuneJobsError
from tune_jobs.plan.machines.fleets import ON_DEMAND, SPOT, fleets
from tune_jobs.plan.machines.kinds import Machine, load_machines
from tune_jobs.study.study import Resources

CPU = Machine(type="cpu", cpus=16, on_demand=0.8, spot=0.3)
GPU = Machine(type="gpu", cpus=8, gpus=1, gpu_gb=24, on_demand=1.0)


def test_eight_machines_take_an_eighth_of_the_time_and_the_head_costs_all_along():
    spot, on_demand = fleets(
        [CPU], 8, Resources(cpus=2), trial_hours=640.0, longest_hours=1.0, head_price=0.1
    )
    assert (spot.market, spot.at_once, spot.hours) == (SPOT, 64, 10.0)
    assert spot.money == pytest.approx(10 * (8 * 0.3 + 0.1))
    assert (on_demand.market, on_demand.hours) == (ON_DEMAND, 10.0)
    assert on_demand.money == pytest.approx(10 * (8 * 0.8 + 0.1))
    assert not spot.price_is_guess


def test_no_number_of_machines_ends_before_the_longest_trial():
    first, *_ = fleets([CPU], 100, Resources(), trial_hours=10.0, longest_hours=3.0, head_price=0.0)
    assert first.hours == 3.0


def test_nothing_is_said_of_the_time_on_a_gpu():
    found = list(
        fleets(
            [CPU, GPU], 2, Resources(cpus=2, gpus=0.25), trial_hours=10.0, longest_hours=1.0,
            head_price=0.0,
        )
    )  # fmt: skip
    assert [(one.machine.type, one.at_once, one.hours, one.money) for one in found] == [
        ("gpu", 8, None, None)
    ] * 2
    assert [one.price_is_guess for one in found] == [True, False]


def test_a_time_that_is_not_known_makes_no_money():
    found = fleets([CPU], 1, Resources(), trial_hours=None, longest_hours=0.0, head_price=0.1)
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


def test_prices_without_machines_are_refused(tmp_path: Path, capsys):
    assert main(["plan", "demo", "--storage", str(tmp_path), "--prices", "x.yaml"]) == 2
    assert "--prices goes with --machines" in capsys.readouterr().err
