"""What figures, tables and the report are made from."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from analysis.collection.rows import SEARCH_PHASE
from analysis.errors import AnalysisError
from analysis.results import studies
from analysis.results.cells import CELL, labelled, reported, settled
from analysis.results.summary import summarised
from analysis.tables import parquet
from tune_jobs.storage import Storage

BOOTSTRAP_SEED = 20221128  # fixed, so that a table can be made again digit for digit


@dataclass(frozen=True)
class Frames:
    """A results folder's reported trials and what belongs to them, each read once.

    ``source`` is ours, published or both; left out, it is ours unless only published ones have
    finished.
    """

    results: str
    source: str | None = None

    @cached_property
    def all_trials(self) -> pd.DataFrame:
        """Every trial of every source."""
        return parquet.load("trials", self.results)

    @cached_property
    def chosen(self) -> pd.DataFrame:
        """Every trial of the source, failed ones and those not reported too."""
        if self.source == "both":
            return self.all_trials
        trials = self.all_trials
        finished = set(trials.loc[trials["status"] == "finished", "source"])
        source = self.source or ("published" if finished == {"published"} else "ours")
        return trials[trials["source"] == source]

    @cached_property
    def reported(self) -> pd.DataFrame:
        """The reported trials, if any; see ``cells.reported`` and ``cells.labelled``."""
        return labelled(reported(self.chosen, self.study_points))

    @property
    def trials(self) -> pd.DataFrame:
        """The reported trials; AnalysisError, saying why, if there are none."""
        if self.reported.empty:
            words = self.passed_over or "there is none"
            raise AnalysisError(f"This needs at least one finished trial to report; {words}.")
        return self.reported

    @cached_property
    def passed_over(self) -> str:
        """How many finished trials no study reports, in words; nothing if there are none."""
        finished = int((self.chosen["status"] == "finished").sum())
        left = finished - len(settled(self.chosen, self.study_points))
        noun = "finished trial is" if left == 1 else "finished trials are"
        return f"{left:,} {noun} reported by no study (losing rates, searches)" if left else ""

    @cached_property
    def study_points(self) -> pd.DataFrame:
        """The points of each phase of each study, of all storages; see ``studies.points``."""
        return studies.points(self._of_storages("study_points"), self._of_storages("cells"))

    @property
    def grid_points(self) -> pd.DataFrame:
        """``study_points`` without those of searches, which need not all be finished."""
        return self.study_points[self.study_points["phase"] != SEARCH_PHASE]

    @cached_property
    def cells(self) -> pd.DataFrame:
        """What each study chose for each cell, of all storages; see ``studies.choices``."""
        return studies.choices(self._of_storages("cells"))

    @cached_property
    def disagreements(self) -> list[str]:
        """Where storages chose different learning rates; see ``studies.disagreements``."""
        return studies.disagreements(self._of_storages("cells"))

    @cached_property
    def scales(self) -> pd.DataFrame:
        """A row per reported trial and object scale, with the trial's cell.

        A trial without accuracies by scale has one row, in which they are missing.
        """
        return self._joined("scale_accuracy")

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """A row per reported trial and epoch, with the trial's cell; one if it has no epochs."""
        return self._joined("epochs")

    @cached_property
    def summary(self) -> pd.DataFrame:
        """A row per cell; see ``summary.summarised``."""
        return summarised(self.trials, rng=np.random.default_rng(BOOTSTRAP_SEED))

    def _of_storages(self, name: str) -> pd.DataFrame:
        return parquet.read_if_any(name, Storage(self.results)).to_pandas()

    def _joined(self, name: str) -> pd.DataFrame:
        cells = self.trials[["point_id", "source", *CELL, "seed"]]
        rows = parquet.load(name, self.results)
        return cells.merge(rows, "left", on="point_id", validate="one_to_many")
