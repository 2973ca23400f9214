import json
from pathlib import Path

import pytest
import torch

from stir.cores import processor_name
from tune_jobs import cli
from tune_jobs.records.calibration import Calibration, ModelSeconds
from tune_jobs.records.keys import calibration_key, parse_key
from tune_jobs.records.schema import RecordError
from tune_jobs.storage import Storage
from tune_jobs.storage.reader import read_calibration
from tune_jobs.study.study import Resources
from tune_jobs.trial.calibrate import calibrate, machine_of_trials, this_machine


def nobody(model: str, seconds: ModelSeconds) -> None:
    """Nobody waits for a report."""


def test_calibrating_leaves_the_number_of_threads_as_it_was():
    before = torch.get_num_threads()
    found = calibrate(["standard"], threads=before + 1, report=nobody)
    assert torch.get_num_threads() == before
    assert found.threads == before + 1
    assert min(found.models["standard"].train, found.models["standard"].valid) > 0


def test_models_timed_before_are_kept_unless_torch_is_another():
    known = calibrate(["standard"], threads=1, report=nobody)
    more = calibrate(["ensemble"], threads=1, report=nobody, known=known)
    assert more.models["standard"] == known.models["standard"]
    assert set(more.models) == {"standard", "ensemble"}
    old = Calibration(**{**vars_of(known), "torch_version": "1.0"})
    assert set(calibrate(["ensemble"], threads=1, report=nobody, known=old).models) == {"ensemble"}


def vars_of(calibration: Calibration) -> dict[str, object]:
    return {name: getattr(calibration, name) for name in calibration.__slots__}


@pytest.mark.parametrize(
    ("processor", "name"),
    [
        ("AMD EPYC 7B13", "amd-epyc-7b13-torch-1"),
        ("Intel(R) Xeon(R) @ 2.60GHz", "intel-r-xeon-r-2-60ghz-torch-1"),
        ("../../x", "x-torch-1"),
        ("\\x00 9 " * 40, "9-" * 12 + "torch-1"),
    ],
)
def test_a_kind_of_machine_has_a_key_whatever_its_maker_calls_it(processor: str, name: str):
    here = this_machine(1)
    other = Calibration(**{**vars_of(here), "processor": processor, "backend": "torch"})
    if len(processor) < 40:
        assert other.name == name
    assert parse_key(calibration_key(other.name)) is not None
    assert len(other.name) <= 64


def test_what_calibrate_stored_is_what_plan_reckons_with(
    tmp_path: Path, bars: Path, capsys: pytest.CaptureFixture[str]
):
    study = tmp_path / "study.yaml"
    study.write_text(
        json.dumps(
            {
                "name": "small",
                "axes": {
                    "model": ["standard", "disco"],
                    "dataset": str(bars),
                    "scenario": 2,
                    "kernel_size": 7,
                    "interpolation": None,
                    "lr": 0.001,
                    "seed": 1,
                },
            }
        )
    )
    places = ["--storage", str(tmp_path / "runs")]
    assert cli.main(["plan", str(study), *places, "--json"]) == 0
    before = json.loads(capsys.readouterr().out)
    assert cli.main(["calibrate", "--model", "standard", *places]) == 0
    assert "standard" in capsys.readouterr().out
    assert cli.main(["plan", str(study), *places, "--json"]) == 0
    after = json.loads(capsys.readouterr().out)
    sources = [
        {cell["model"]: cell["source"] for cell in plan["phases"][0]["cells"]}
        for plan in (before, after)
    ]
    assert sources == [
        {"standard": "table", "disco": "table"},
        {"standard": "calibration", "disco": "table"},
    ]
    assert cli.main(["plan", str(study), *places]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "from a calibration of this machine for 1 of 2 cells" in shown


def test_trials_on_a_gpu_are_those_of_another_machine_where_there_is_none(storage: Storage):
    assert machine_of_trials(storage, Resources(gpus=1.0)) is None
    here = machine_of_trials(storage, Resources(cpus=3))
    assert here is not None
    assert (here.device, here.threads, here.processor) == ("cpu", 3, processor_name())


def test_a_gpu_has_one_calibration_whatever_threads_its_trials_have():
    names = {
        Calibration(
            processor="NVIDIA H200",
            threads=threads,
            backend="torch",
            torch_version="2.13.0",
            models={},
            measured_at="2026-11-26T00:00:00Z",
            device="cuda",
        ).name
        for threads in (1, 2)
    }
    assert names == {"nvidia-h200-torch"}


def test_a_calibration_that_is_damaged_is_named(storage: Storage):
    here = this_machine(1)
    storage.write(calibration_key(here.name), b'{"schema": "stir-calibration/1"}')
    with pytest.raises(RecordError, match=f"calibrations/{here.name}.json"):
        read_calibration(storage, here.name)
    storage.write(calibration_key("another"), here.to_json())
    with pytest.raises(RecordError, match="own key"):
        read_calibration(storage, "another")


def test_a_model_that_is_not_known_is_refused_before_anything_is_timed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert cli.main(["calibrate", "--model", "standart", "--storage", str(tmp_path / "runs")]) == 2
    assert "Did you mean 'standard'?" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
