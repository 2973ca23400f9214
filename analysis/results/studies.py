"""Merge the points and the chosen learning rates that several storages hold of one study.

Each storage may hold other parts of a study, or have decided other cells of it.
"""

import pandas as pd

from analysis import style

_CELL = ["model", "dataset", "scenario", "kernel_size", "interpolation"]
_CHOICE = ["study", "phase", *_CELL]


def choices(cells: pd.DataFrame) -> pd.DataFrame:
    """One row per study, phase and cell: the decided ones first, of these the last written."""
    order = cells.assign(is_open=cells["lr"].isna())
    order = order.sort_values(["is_open", "written_at"], ascending=[True, False], kind="stable")
    return cells.loc[order.drop_duplicates(_CHOICE).index].sort_index()


def points(study_points: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """One row per study, phase and point, reported if it is so in any storage.

    Not so at a learning rate that a later choice for the same cell of the study overrules.
    """
    lost = _overruled(cells)[["study", *_CELL, "lr"]].drop_duplicates()
    rows = study_points.merge(lost, "left", indicator="lost")
    rows["reported"] &= rows["lost"] == "left_only"
    rows = rows.drop(columns="lost").sort_values("reported", ascending=False, kind="stable")
    return rows.drop_duplicates(["study", "phase", "point_id"]).sort_index()


def disagreements(cells: pd.DataFrame) -> list[str]:
    """A sentence for each cell of a study for which storages chose different learning rates."""
    return [
        f"Study {row['study']} in {row['storage']} chose learning rate {row['lr']:g} for "
        f"{row['model']} on {row['dataset']}, {style.scenario_name(row['scenario'])}; a later "
        f"choice in another storage, {row['lr_last']:g}, counts."
        for row in _overruled(cells).to_dict("records")
    ]


def _overruled(cells: pd.DataFrame) -> pd.DataFrame:
    """The choices that a later one of another storage overrules, which is ``lr_last``."""
    last = choices(cells)[[*_CHOICE, "lr"]]
    both = cells.merge(last, on=_CHOICE, suffixes=("", "_last"))
    return both[both["lr"].notna() & (both["lr"] != both["lr_last"])]
