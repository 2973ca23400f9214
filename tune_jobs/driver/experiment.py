"""Trials that take the same resources, as one experiment of Ray Tune."""

import logging
import os
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path

from ray import tune

from tune_jobs.driver.display import Display
from tune_jobs.driver.stop import Stop
from tune_jobs.driver.trainable import Shared, spec_of, trainable
from tune_jobs.driver.turns import Slots, Trials
from tune_jobs.driver.watch import Watch
from tune_jobs.study.study import Resources

PENDING_TRIALS = 200  # that a cluster is shown at once, so that it knows how far to grow


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What all experiments of one run have in common. ``folder`` is for Tune's own files."""

    shared: Shared
    folder: Path
    slots: Slots
    stop: Stop
    display: Display


class Experiment:
    """Trials of one shape in a Tune experiment, which runs in a thread of its own once started."""

    def __init__(self, trials: Trials, resources: Resources, setting: Setting) -> None:
        self._trials, self._resources, self._setting = trials, resources, setting
        self.watch = Watch(trials.handed_out, setting.stop, setting.display)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def is_over(self) -> bool:
        return self._thread.ident is not None and not self._thread.is_alive()

    @property
    def is_starting(self) -> bool:
        """Whether more trials of it are to begin, as far as that is known."""
        return bool(self.watch.unstarted) or (self._trials.space is None and not self.is_over)

    @property
    def tried(self) -> set[str]:
        """The ids of points that it runs or has run, but for those that another driver runs."""
        return set(self._trials.handed_out) - self.watch.elsewhere

    def check(self) -> None:
        """Raise what Tune raised, if it did."""
        if self._error:
            raise self._error

    def _run(self) -> None:
        try:
            self._tuner().fit()
        except BaseException as error:  # raised again where the driver waits
            self._error = error

    def _tuner(self) -> tune.Tuner:
        # In a search Tune would ask a growing cluster for one machine after the other, unless it
        # may show many trials at once; an adaptive one has no use for that.
        pending = 1 if self._trials.is_adaptive else PENDING_TRIALS
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(pending)
        os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # results are records
        os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # the display is ours, also of trials that are lost
        for chatty in ("tune", "execution.tune_controller"):
            logging.getLogger(f"ray.tune.{chatty}").setLevel(logging.CRITICAL)
        return tune.Tuner(
            tune.with_resources(
                tune.with_parameters(trainable, shared=self._setting.shared),
                {"cpu": self._resources.cpus, "gpu": self._resources.gpus},
            ),
            param_space=self._trials.space,
            tune_config=self._tune_config(),
            run_config=tune.RunConfig(
                name=secrets.token_hex(4),
                storage_path=str(self._setting.folder),
                # A process or node that dies is no fault of the trial, which counts that itself.
                failure_config=tune.FailureConfig(max_failures=-1),
                callbacks=[self.watch],
                stop=self.watch,
                verbose=0,
            ),
        )

    def _tune_config(self) -> tune.TuneConfig:
        return tune.TuneConfig(
            reuse_actors=True,
            search_alg=self._trials.in_turn(self._setting.slots, self._setting.stop),
            num_samples=self._trials.most,
            scheduler=self._trials.scheduler(),
            trial_name_creator=self._trials.label,
            trial_dirname_creator=lambda trial: spec_of(trial.config).point_id,
        )
