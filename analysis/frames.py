"""What figures, tables and the report are made from."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from analysis import tables
from analysis.cells import CELL, labelled, reported
from analysis.summary import summarised
from tune_jobs.storage import Storage

BOOTSTRAP_SEED = 20221128  # fixed, so that a table can be made again digit for digit


@dataclass(frozen=True)
class Frames:
    """A results folder's reported trials and what belongs to them, each read once.

    ``source`` is ours, published or both; left out, it is ours if there are any, else published.
    """

    results: str
    source: str | None = None

    @cached_property
    def all_trials(self) -> pd.DataFrame:
        """Every trial of every source."""
        return tables.load("trials", self.results)

    @cached_property
    def chosen(self) -> pd.DataFrame:
        """Every trial of the source, failed ones and those not reported too."""
        if self.source == "both":
            return self.all_trials
        sources = self.all_trials["source"]
        source = self.source or ("ours" if (sources == "ours").any() else "published")
        return self.all_trials[sources == source]

    @cached_property
    def trials(self) -> pd.DataFrame:
        """The reported trials; see ``cells.reported`` and ``cells.labelled``."""
        return labelled(reported(self.chosen, self.study_points))

    @cached_property
    def study_points(self) -> pd.DataFrame:
        """The points of each phase of each study; empty where nothing of studies was collected."""
        return tables.read_if_any("study_points", Storage(self.results)).to_pandas()

    @cached_property
    def cells(self) -> pd.DataFrame:
        """What each study chose for each cell; empty where nothing of studies was collected."""
        return tables.read_if_any("cells", Storage(self.results)).to_pandas()

    @cached_property
    def scales(self) -> pd.DataFrame:
        """A row per reported trial and object scale, with the trial's cell."""
        return self._joined("scale_accuracy")

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """A row per reported trial and epoch, with the trial's cell."""
        return self._joined("epochs")

    @cached_property
    def summary(self) -> pd.DataFrame:
        """A row per cell; see ``summary.summarised``."""
        return summarised(self.trials, rng=np.random.default_rng(BOOTSTRAP_SEED))

    def _joined(self, name: str) -> pd.DataFrame:
        cells = self.trials[["point_id", "source", *CELL, "seed"]]
        return tables.load(name, self.results).merge(cells, on="point_id", validate="many_to_one")
