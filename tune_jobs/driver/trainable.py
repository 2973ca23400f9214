"""What Ray Tune calls on a worker: one trial, and all that a worker needs for it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ray import tune
from ray.actor import ActorHandle

from tune_jobs.cluster.preempt import NodeLeavingError, leave, spot_watch
from tune_jobs.driver.stop import stop_listener
from tune_jobs.errors import DeviceLostError
from tune_jobs.point import GridPoint, Recipe, TrialSpec
from tune_jobs.records.state import TrialState
from tune_jobs.storage import Storage
from tune_jobs.storage.datasets import fetch_dataset
from tune_jobs.study.plugins import import_models
from tune_jobs.trial.outcome import Outcome, TrialProgress
from tune_jobs.trial.session import Surroundings
from tune_jobs.trial.trial import run_trial


@dataclass(frozen=True, kw_only=True, slots=True)
class Shared:
    """What all trials of an experiment share; sent to each worker once."""

    storage: Storage
    surroundings: Surroundings
    dataset_keys: dict[str, str]
    imports: tuple[str, ...]  # modules that register users' own models
    folder: Path | None  # of the study's file, where they are looked for too
    board: ActorHandle  # where a stop is announced


def trainable(config: dict[str, Any], shared: Shared) -> None:
    """Run one trial and report how it ended.

    Raises only where the node is taken away or a GPU is lost: Tune then starts the trial again in
    another process.
    """
    spec = spec_of(config)

    def report(progress: TrialProgress) -> None:
        tune.report({"progress": asdict(progress)})

    try:
        stop_asked, node_leaves = stop_listener(shared.board), spot_watch()
        if stop_asked() or node_leaves():
            outcome = Outcome(status=TrialState.PAUSED)
        else:
            import_models(shared.imports, shared.folder)
            outcome = run_trial(
                spec,
                fetch_dataset(shared.dataset_keys[spec.point.dataset], shared.storage),
                shared.storage,
                shared.surroundings,
                stop_asked=lambda: stop_asked() or node_leaves(),
                report=report,
            )
        if outcome.status is TrialState.PAUSED and not stop_asked():
            leave()
        accuracy = outcome.record.test_accuracy if outcome.record else None
        result = {"status": outcome.status, "error": outcome.error, "test_accuracy": accuracy}
    except (NodeLeavingError, DeviceLostError):
        raise
    except Exception as error:
        result = {"status": TrialState.BROKEN, "error": f"{type(error).__name__}: {error}"}
    tune.report(result)


def spec_of(config: dict[str, Any]) -> TrialSpec:
    """The trial that a configuration of Tune's stands for."""
    content = config["spec"]
    return TrialSpec(
        **content | {"point": GridPoint(**content["point"]), "recipe": Recipe(**content["recipe"])}
    )
