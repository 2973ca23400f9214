"""``tune-jobs calibrate``: time one batch of each model, so that ``plan`` knows this machine."""

import argparse
from typing import TYPE_CHECKING

from stir.terminal import counted
from tune_jobs.commands import options
from tune_jobs.errors import TuneJobsError

if TYPE_CHECKING:
    from tune_jobs.records.calibration import ModelSeconds


def add(commands) -> None:
    parser = options.declare(
        commands,
        "calibrate",
        "time one batch of each model on this machine, at most a minute; `plan` uses it",
        "tune-jobs calibrate --storage runs && tune-jobs plan emoji --storage runs",
    )
    parser.add_argument(
        "--model", action="append", default=[], dest="models", metavar="M",
        help="a model to time, given once or more (all)",
    )  # fmt: skip
    parser.add_argument(
        "--threads", type=options.positive, default=1, metavar="N",
        help="threads of a trial, as a study's resources.cpus says (1)",
    )  # fmt: skip
    options.add_device(parser)
    options.add_imports(parser)
    options.add_storage(parser)
    parser.set_defaults(run=_calibrate)


def _calibrate(args: argparse.Namespace) -> int:
    from tune_jobs.records.keys import calibration_key
    from tune_jobs.storage import Storage
    from tune_jobs.study.plugins import import_models
    from tune_jobs.trial.calibrate import calibrate, calibration_here, this_machine

    import_models(args.imports)
    models = _usable(args.models)
    options.require_device(args.device)
    here = this_machine(args.threads, args.device)
    storage = Storage(args.storage)
    storage.check_writable()
    options.say(f"{here.processor}, {counted(here.threads, 'thread')}, layers by {here.backend}")
    print(f"{'model':20} {'training':>10} {'inference':>10}   ms per image")
    known = calibration_here(storage, threads=args.threads, device=args.device)
    found = calibrate(models, threads=args.threads, device=args.device, report=_show, known=known)
    key = calibration_key(found.name)
    storage.write(key, found.to_json())
    print(f"stored as {storage.uri}/{key}; `tune-jobs plan` uses it on machines like this one")
    return 0


def _usable(asked: list[str]) -> list[str]:
    """The models to time: those asked for, else all but those whose package cannot be used."""
    from siconvnet import MODELS
    from siconvnet.models.plugins import PluginError
    from tune_jobs.names import look_up

    usable = []
    for name in asked or MODELS:
        try:
            usable.append(look_up("model", name, MODELS).name)
        except PluginError as error:
            if asked:
                raise TuneJobsError(str(error)) from None
            options.say(f"{name} is left out: {error}")
    return usable


def _show(model: str, seconds: "ModelSeconds") -> None:
    print(f"{model:20} {1000 * seconds.train:10.2f} {1000 * seconds.valid:10.2f}", flush=True)
