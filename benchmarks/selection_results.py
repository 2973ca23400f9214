"""The tables and figures of docs/scale-selection.md that compare trained models.

    stir-analysis collect --storage runs --out results
    python -m benchmarks.selection_results --results results --parts runs/parts --out docs/img

Takes the trials of Mid2Rest, at the published learning rate and a kernel of 7 pixels, from a
results folder, and the oracles that benchmarks.selection_parts left. Prints a table for each
dataset, mean and 95 % interval over seeds, and writes accuracy by size: ``selection-by-size.svg``
(emoji) and ``selection-backgrounds.svg`` (two stand-ins for photographs).
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

import analysis
from analysis.figures.canvas import to_bytes
from analysis.figures.generalization import generalization
from analysis.stats import mean_interval
from analysis.style import model_styles
from siconvnet import MODELS

PROTOCOL = "scenario == 2 and kernel_size == 7 and lr == 0.001 and source == 'ours'"
FEWEST = 3  # seeds for an interval to mean something
FIGURES = {
    "selection-by-size.svg": ("emoji",),
    "selection-backgrounds.svg": ("emoji-clutter", "shapes"),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", default="results", help="a results folder (results)")
    parser.add_argument("--parts", type=Path, default=Path("runs/parts"), help="(runs/parts)")
    parser.add_argument("--out", type=Path, default=Path("docs/img"), help="folder (docs/img)")
    args = parser.parse_args()
    scores = pd.concat([by_scale(args.results), *oracles(args.parts)], ignore_index=True)
    for dataset, found in scores.groupby("dataset"):
        print(table(found, str(dataset)))
    args.out.mkdir(parents=True, exist_ok=True)
    for name, datasets in FIGURES.items():
        shown = scores[scores["dataset"].isin(datasets)]
        if shown.empty:
            print(f"no trial on {' or '.join(datasets)}: {name} is left out", file=sys.stderr)
            continue
        (args.out / name).write_bytes(to_bytes(generalization(shown), "svg"))
    return 0


def by_scale(results: str) -> pd.DataFrame:
    """A row for each trial and unseen or seen size; models in their present version only."""
    trials = analysis.load("trials", results).query(PROTOCOL)
    versions = trials["model"].map({name: str(spec.version) for name, spec in MODELS.items()})
    trials = trials[trials["model_version"].astype(str) == versions]
    columns = ["point_id", "model", "dataset", "scenario", "seed", "test_accuracy"]
    scales = analysis.load("scale_accuracy", results)[["point_id", "scale", "accuracy"]]
    return trials[columns].merge(scales, on="point_id")


def oracles(folder: Path) -> Iterator[pd.DataFrame]:
    """The same of each run with patches at the true box."""
    for file in sorted(folder.glob("oracle*.json")):
        run = json.loads(file.read_text())
        frame = pd.DataFrame(run["by_scale"].items(), columns=["scale", "accuracy"])
        yield frame.assign(
            scale=frame["scale"].astype(int),
            point_id=file.stem,
            model=run["part"],
            dataset=run["dataset"],
            scenario=2,
            seed=run["seed"],
            test_accuracy=run["test_accuracy"],
        )


def table(scores: pd.DataFrame, dataset: str) -> str:
    """Markdown: models by their mean accuracy on unseen sizes, and on the small and large ones."""
    heading = ("model", "n", "unseen sizes", "95 % interval", "17-32 px", "49-64 px")
    rows = []
    for model, cell in scores.groupby("model"):
        runs = cell.groupby("point_id")["test_accuracy"].first().to_numpy()
        reach = mean_interval(runs, rng=np.random.default_rng(0), bounds=(0, 1))
        small = cell.loc[cell["scale"] <= 32, "accuracy"].mean()
        large = cell.loc[cell["scale"] >= 49, "accuracy"].mean()
        row = (
            model_styles([str(model)])[str(model)].name,
            str(len(runs)),
            f"{runs.mean():.1%}",
            f"{reach.low:.1%} to {reach.high:.1%}" if len(runs) >= FEWEST else "",
            f"{small:.1%}",
            f"{large:.1%}",
        )
        rows.append((runs.mean(), row))
    cells = [heading, ("---",) * len(heading), *(row for _, row in sorted(rows, reverse=True))]
    return "\n".join([f"\n{dataset}\n", *(f"| {' | '.join(row)} |" for row in cells)])


if __name__ == "__main__":
    sys.exit(main())
