"""What a trained ``scale_select`` does with images that it was not made for; a table and a figure.

example: python -m benchmarks.scale_selection --storage runs --data data --figure selected.svg

Takes every record of the model on emoji, Mid2Rest, in the storage, changes the test images in one
way after the other, and prints the accuracy on unseen sizes: mean over the seeds, smallest and
largest. Then what was selected against what is true: place, scale, and how both follow the object.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

import stir
import tune_jobs
from siconvnet.selection import ScaleSelection
from stir import SCALES, STIRDataset
from tune_jobs.plan.inventory import take_inventory
from tune_jobs.storage import Storage
from tune_jobs.storage.reader import read_records

BATCH = 512  # images
SCENARIO = 2
Images = Tensor  # (N, C, H, W), values 0..1


def noisy(deviation: float) -> Callable[[Images], Images]:
    rng = torch.Generator().manual_seed(0)
    return lambda x: (x + deviation * torch.randn(x.shape, generator=rng)).clamp(0, 1)


def with_square(side: int, value: float) -> Callable[[Images], Images]:
    """A square in the corner that is farthest from the object's brightest quarter."""

    def changed(x: Images) -> Images:
        x = x.clone()
        quarters = F.adaptive_avg_pool2d(x.mean(1, keepdim=True), 2).flatten(1)
        for image, corner in zip(x, quarters.argmin(1).tolist(), strict=True):
            rows = slice(0, side) if corner < 2 else slice(-side, None)
            columns = slice(0, side) if corner % 2 == 0 else slice(-side, None)
            image[:, rows, columns] = value
        return x

    return changed


def cut(share: float) -> Callable[[Images], Images]:
    """The object moved out of the frame to the left until ``share`` of the frame is gone."""
    return lambda x: F.pad(x[..., round(share * x.shape[-1]) :], (0, round(share * x.shape[-1])))


CHANGES: Mapping[str, Callable[[Images], Images]] = {
    "as they are": lambda x: x,
    "inverted": lambda x: 1 - x,
    "contrast a tenth": lambda x: 0.1 * x,
    "grey ground 0.05": lambda x: 0.05 + 0.95 * x,
    "grey ground 0.5": lambda x: 0.5 + 0.5 * x,
    "noise 0.05": noisy(0.05),
    "noise 0.1": noisy(0.1),
    "noise 0.2": noisy(0.2),
    "square of 8 px, grey": with_square(8, 0.5),
    "square of 8 px, white": with_square(8, 1.0),
    "square of 16 px, white": with_square(16, 1.0),
    "an eighth of the frame cut off": cut(1 / 8),
    "a gradient of light": lambda x: 0.3 * torch.linspace(0, 1, x.shape[-1]) + 0.7 * x,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--storage", default="runs", help="where trained models lie (runs)")
    parser.add_argument("--data", help="folder of datasets (data)")
    parser.add_argument("--model", default="scale_select", help="which model (scale_select)")
    parser.add_argument("--figure", type=Path, help="file for selected against true scale")
    args = parser.parse_args()
    dataset = stir.load("emoji", args.data)
    models = trained(Storage(args.storage), args.model)
    if not models:
        print(f"{args.storage} has no record of {args.model} on emoji, Mid2Rest", file=sys.stderr)
        return 2
    unseen = stir.SCENARIOS[SCENARIO].test_scales
    images, labels = map(torch.from_numpy, dataset.select("test", unseen, shuffle=False))
    print(f"| {args.model}, {len(models)} seeds | mean | smallest | largest |\n|---|---|---|---|")
    for name, change in CHANGES.items():
        changed = change(images / 255)
        found = [accuracy(model, changed, labels) for model in models]
        mean = sum(found) / len(found)
        print(f"| {name} | {mean:.1%} | {min(found):.1%} | {max(found):.1%} |", flush=True)
    describe_selection(dataset, args.figure)
    return 0


def trained(storage: Storage, model: str) -> list[nn.Module]:
    """Every finished model of that name, trained on emoji in the middle sizes."""
    records = read_records(storage, sorted(take_inventory(storage).finished)).values()
    wanted = [
        record.point_id
        for record in records
        if (record.point.model, record.point.dataset) == (model, "emoji")
        and record.point.scenario == SCENARIO
    ]
    return [tune_jobs.load_model(storage, point_id).eval() for point_id in wanted]


@torch.no_grad()
def accuracy(model: nn.Module, images: Images, labels: Tensor) -> float:
    batches = zip(images.split(BATCH), labels.split(BATCH), strict=True)
    right = sum(int((model(x).argmax(1) == y).sum()) for x, y in batches)
    return right / len(labels)


def describe_selection(dataset: STIRDataset, path: Path | None) -> None:
    """Compare what is selected in the test images, at all sizes, with the objects' boxes."""
    images, _ = dataset.select("test", SCALES, shuffle=False)
    found = ScaleSelection(*images.shape[2:])(torch.from_numpy(images) / 255)
    sides, corners = dataset.get_latents("test", SCALES, shuffle=False)
    centres = corners + (sides[:, None] - 1) / 2
    scales = found.scale[:, 0].numpy()
    octaves = np.log2(scales / sides)
    slope, _ = np.polyfit(np.log2(sides), np.log2(scales), 1)
    r = np.corrcoef(np.log2(sides), np.log2(scales))[0, 1]
    places = np.stack([found.x[:, 0].numpy(), found.y[:, 0].numpy()], axis=1)
    away = np.linalg.norm(places - centres, axis=1) / sides
    print(
        f"\nselected against true scale, {len(images):,} test images at all sizes: slope "
        f"{slope:.3f} octaves an octave, r {r:.4f}, spread {octaves.std():.3f} octaves; the place "
        f"is {np.median(away):.1%} of the object's side away from its centre (median), "
        f"{np.quantile(away, 0.95):.1%} at most in 95 %"
    )
    if path:
        draw_selection(sides, scales).savefig(path)


def draw_selection(sides: NDArray[np.int64], scales: NDArray[np.float32]) -> Figure:
    """Each image's selected scale over its object's size, both logarithmic."""
    figure = Figure(figsize=(4.5, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.plot(sides, scales, ".", ms=2, color="0.5", alpha=0.5, label="a test image")
    factor = 2 ** np.median(np.log2(scales / sides))
    axes.plot(SCALES, factor * np.array(SCALES), color="#c2185b", label=f"{factor:.2f} x size")
    axes.set(xlabel="object size [px]", ylabel="selected scale [px]")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    axes.legend(frameon=False)
    return figure


if __name__ == "__main__":
    sys.exit(main())
