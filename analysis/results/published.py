"""The published results by cell, as they ship with the package."""

from importlib.resources import as_file, files

import pandas as pd


def published_summary() -> pd.DataFrame:
    """A row per published cell (176 of them, 5,500 runs): accuracies 0..1, times in seconds.

    The columns are those of ``summary.summarised``, which made the file from the published export.
    """
    with as_file(files("analysis.results").joinpath("published_summary.csv")) as path:
        return pd.read_csv(path)
