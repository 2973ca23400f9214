"""Notes on a results folder that a reader needs before its numbers."""

from collections.abc import Mapping

import pandas as pd

from analysis import style
from analysis.protocol import RECIPE, recipe_text
from analysis.results.cells import eligible, rate_choices
from analysis.results.folder import ResultsFolder
from stir.terminal import counted


def notes(folder: ResultsFolder) -> list[str]:
    """What a reader must know before the numbers, a sentence or two each."""
    trials = folder.chosen
    lines = [_other_recipes(trials)]
    if failed := int((trials["status"] == "failed").sum()):
        lines.append(f"In no mean: {counted(failed, 'failed point')}, listed under Failed below.")
    if folder.passed_over:
        lines.append(f"In no mean: {folder.passed_over}.")
    if left := len(folder.all_trials) - len(trials):
        lines.append(
            f"Not on this page, but in the same tables: {counted(left, 'trial')} of another "
            "source; --source shows them."
        )
    lines += folder.disagreements
    for choice in rate_choices(eligible(trials, folder.study_points)):
        medians = ", ".join(f"{rate:g}: {median:.3f}" for rate, median in choice.medians.items())
        lines.append(
            f"{_cell(choice.model, choice.dataset, choice.scenario)}, ran at several learning "
            f"rates; only {choice.lr:g} is reported (median best validation "
            f"accuracy over {counted(choice.shared_seeds, 'shared seed')}: {medians})."
        )
    return [line for line in lines if line]


def _cell(model: str, dataset: str, scenario: int) -> str:
    name = style.model_styles([model])[model].name
    return f"{name} on {style.dataset_name(dataset)}, {style.scenario_name(scenario)}"


def undecided(folder: ResultsFolder) -> list[str]:
    """A sentence for each cell of a study that has no learning rate yet."""
    return [
        f"Study {row['study']} has no learning rate for "
        f"{_cell(row['model'], row['dataset'], row['scenario'])}, yet and reports none of its "
        f"runs: {row['undecided']}."
        for row in folder.cells[folder.cells["undecided"] != ""].to_dict("records")
    ]


def unfinished(folder: ResultsFolder) -> list[str]:
    """A sentence for each study of which points have no record."""
    trials = folder.all_trials
    finished = trials.loc[trials["status"] == "finished", "point_id"]
    points = folder.grid_points
    points = points.assign(finished=points["point_id"].isin(finished))
    counts = points.drop_duplicates(["study", "point_id"]).groupby("study")["finished"]
    return [
        f"Study {study}: {done:,} of {all_of_it:,} points have a record."
        for study, done, all_of_it in zip(counts.groups, counts.sum(), counts.size(), strict=True)
        if done < all_of_it
    ]


def _other_recipes(trials: pd.DataFrame) -> str:
    """A sentence on trials by another recipe than the published one, if there are any."""
    stops = trials["on_divergence"] == "stop"
    counts = trials.groupby([*RECIPE, stops]).size()
    other = [
        ({name: int(row[name]) for name in RECIPE}, row["on_divergence"], int(row["count"]))
        for row in counts.reset_index(name="count").to_dict("records")
        if row["on_divergence"] or any(row[name] != value for name, value in RECIPE.items())
    ]
    if not other:
        return ""
    parts = [
        f"{recipe_text(recipe, stops=stops)} ({counted(count, 'trial')})"
        for recipe, stops, count in other
    ]
    short = all(_is_shorter(recipe) and not stops for recipe, stops, _ in other)
    kind = "A shortened recipe" if short else "Another recipe than the published one"
    return (
        f"{kind}: {'; '.join(parts)}. The published recipe is {recipe_text(RECIPE)}. "
        "Numbers of different recipes are not to be compared."
    )


def _is_shorter(recipe: Mapping[str, int]) -> bool:
    """Whether a recipe trains like the published one, at most as long."""
    return recipe["batch_size"] == RECIPE["batch_size"] and all(
        recipe[name] <= RECIPE[name] for name in ("max_epochs", "patience")
    )
