"""What a results folder holds, as frames: each is read, or worked out, once."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError
from analysis.results import evaluations, studies
from analysis.results.cells import CELL, eligible, failed_beside, labelled, reported
from analysis.results.published import published_summary
from analysis.results.query import query
from analysis.results.summary import contrasts, summarised
from analysis.tables import parquet
from analysis.tables.schemas import SEARCH_PHASE
from tune_jobs.storage import Storage

BOOTSTRAP_SEED = 20221128  # fixed, so that a table can be made again digit for digit


@dataclass(frozen=True)
class ResultsFolder:
    """The frames of a results folder: the trials of a source, and what belongs to them.

    ``source`` is ours, published or both; left out, it is ours unless only published ones have
    finished. All reading of files is here; what works with the frames takes them as arguments.
    """

    uri: str
    source: str | None = None

    @cached_property
    def all_trials(self) -> pd.DataFrame:
        """Every trial of every source."""
        return parquet.load("trials", self.uri)

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
            why = self.passed_over or "there is none"
            raise AnalysisError(f"This needs at least one finished trial to report; {why}.")
        return self.reported

    @cached_property
    def failed(self) -> pd.DataFrame:
        """The failed trials of the cells that ``reported`` has; see ``cells.failed_beside``."""
        return failed_beside(self.reported, self.chosen)

    @cached_property
    def passed_over(self) -> str:
        """How many finished trials no study reports, as a phrase; nothing if there are none."""
        finished = int((self.chosen["status"] == "finished").sum())
        left = finished - len(eligible(self.chosen, self.study_points))
        noun = "finished trial is" if left == 1 else "finished trials are"
        return f"{left:,} {noun} reported by no study (losing rates, searches)" if left else ""

    @cached_property
    def study_points(self) -> pd.DataFrame:
        """The points of each phase of each study, of all storages; see ``studies.points``."""
        return studies.points(self._table("study_points"), self._table("cells"))

    @property
    def grid_points(self) -> pd.DataFrame:
        """``study_points`` without those of searches, which need not all be finished."""
        return self.study_points[self.study_points["phase"] != SEARCH_PHASE]

    @cached_property
    def cells(self) -> pd.DataFrame:
        """What each study chose for each cell, of all storages; see ``studies.choices``."""
        return studies.choices(self._table("cells"))

    @cached_property
    def disagreements(self) -> list[str]:
        """Where storages chose different learning rates; see ``studies.disagreements``."""
        return studies.disagreements(self._table("cells"))

    @cached_property
    def searches(self) -> pd.DataFrame:
        """A row per study and sample of a search, whatever came of it."""
        return self._table("searches")

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
        return summarised(self.trials, self.failed, rng=np.random.default_rng(BOOTSTRAP_SEED))

    @cached_property
    def contrasts(self) -> pd.DataFrame:
        """Every two models of a dataset and scenario; see ``summary.contrasts``."""
        return contrasts(self.reported)

    @cached_property
    def published_cells(self) -> pd.DataFrame:
        """The published results by cell; see ``published.published_summary``."""
        return published_summary()

    @cached_property
    def equivariance_errors(self) -> pd.DataFrame:
        """A row per trial with equivariance errors; see ``evaluations.errors``."""
        trials = evaluations.evaluated(self.trials, self._evaluations, "equivariance")
        return evaluations.errors(trials, self._pair_errors)

    @cached_property
    def pool_correlations(self) -> pd.DataFrame:
        """A row per trial, stage and channel: how kernel sizes follow object sizes."""
        trials = evaluations.evaluated(self.trials, self._evaluations, "pool_correlations")
        return self._channels.merge(trials, on="point_id", validate="many_to_one")

    @cached_property
    def evaluated_cells(self) -> pd.DataFrame:
        """A row per cell with evaluated trials; see ``evaluations.by_cell``."""
        trials = evaluations.evaluated(self.trials, self._evaluations, *evaluations.MEASURES)
        rng = np.random.default_rng(BOOTSTRAP_SEED)
        return evaluations.by_cell(trials, self._pair_errors, self._channels, self.failed, rng=rng)

    def close_up(
        self, measure: str, wanted: evaluations.Object | None = None
    ) -> evaluations.CloseUp:
        """One object of the most accurate trial that has a measure; see ``evaluations.CloseUp``.

        AnalysisError for an object that was not evaluated.
        """
        trials = evaluations.evaluated(self.trials, self._evaluations, measure)
        trial = evaluations.best_trial(trials)
        rows = query(
            f"select * from {measure} where point_id = '{trial['point_id']}' "
            f"and stage = (select max(stage) from {measure} "
            f"where point_id = '{trial['point_id']}')",
            self.uri,
        ).to_pandas()
        return evaluations.close_up(trial, rows, wanted)

    @cached_property
    def _evaluations(self) -> pd.DataFrame:
        return self._table("evaluations")

    @cached_property
    def _pair_errors(self) -> pd.DataFrame:
        """Mean errors by trial and scale pair; too many objects to hold them all."""
        return query(
            "select point_id, scale, other_scale, avg(error) as error, count(error) as defined, "
            f"count(*) as objects from equivariance where stage = {evaluations.STAGE} "
            "group by all order by all",
            self.uri,
        ).to_pandas()

    @cached_property
    def _channels(self) -> pd.DataFrame:
        return query("select * from pool_correlations order by all", self.uri).to_pandas()

    def _table(self, name: str) -> pd.DataFrame:
        return parquet.read_if_any(name, Storage(self.uri)).to_pandas()

    def _joined(self, name: str) -> pd.DataFrame:
        cells = self.trials[["point_id", "source", *CELL, "seed"]]
        rows = parquet.load(name, self.uri)
        return cells.merge(rows, "left", on="point_id", validate="one_to_many")
