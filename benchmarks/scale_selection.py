"""What a trained ``scale_select`` does with images that it was not made for; a table, two figures.

example: python -m benchmarks.scale_selection --storage runs --data data --out docs/img

Takes every record of the model on emoji, Mid2Rest, in the storage, changes the test images in one
way after the other, and prints the accuracy on unseen sizes: mean over the seeds, smallest and
largest. Then what was selected against what is true: place, scale, and how both follow the object.
The figures: ``selected-scale.svg``, and ``selection-failures.svg`` with what the first seed's model
took for an object where it answered wrongly.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

import stir
import tune_jobs
from analysis.figures.canvas import to_bytes
from siconvnet.networks import ScaleSelectNetwork
from siconvnet.selection import ScaleSelection
from stir import SCALES, STIRDataset
from stir.terminal import counted
from tune_jobs.plan.inventory import take_inventory
from tune_jobs.storage import Storage
from tune_jobs.storage.reader import read_records

BATCH = 512  # images
SCENARIO = 2
SHOWN = ("noise 0.05", "square of 16 px, white", "a second icon of 24 px", "a gradient of light")
COLUMNS = 6  # failures of a kind in the figure
Images = Tensor  # (N, C, H, W), values 0..1


def noisy(deviation: float) -> Callable[[Images], Images]:
    rng = torch.Generator().manual_seed(0)
    return lambda x: (x + deviation * torch.randn(x.shape, generator=rng)).clamp(0, 1)


def with_stamp(stamps: Images) -> Callable[[Images], Images]:
    """A stamp in the corner that is farthest from the object's brightest quarter.

    One for each class, whose images lie in the classes' order, or one for all; where it meets the
    object the brighter of both is seen.
    """
    side = stamps.shape[-1]

    def changed(x: Images) -> Images:
        x = x.clone()
        quarters = F.adaptive_avg_pool2d(x.mean(1, keepdim=True), 2).flatten(1)
        for number, (image, corner) in enumerate(zip(x, quarters.argmin(1).tolist(), strict=True)):
            rows = slice(0, side) if corner < 2 else slice(-side, None)
            columns = slice(0, side) if corner % 2 == 0 else slice(-side, None)
            place = image[:, rows, columns]
            place.copy_(torch.maximum(place, stamps[number % len(stamps)]))
        return x

    return changed


def square(side: int, value: float) -> Images:
    return torch.full((1, 1, side, side), value)


def other_icons(icons: Images, side: int) -> Images:
    """For each class the icon of a class far from it, ``side`` pixels large."""
    return F.interpolate(icons.roll(len(icons) // 2, 0), size=(side, side), mode="area")


def cut(share: float) -> Callable[[Images], Images]:
    """The object moved out of the frame to the left until ``share`` of the frame is gone."""
    return lambda x: F.pad(x[..., round(share * x.shape[-1]) :], (0, round(share * x.shape[-1])))


def changes(icons: Images) -> Mapping[str, Callable[[Images], Images]]:
    """What is done to the images; ``icons`` fill their images, one for each class."""
    return {
        "as they are": lambda x: x,
        "inverted": lambda x: 1 - x,
        "contrast a tenth": lambda x: 0.1 * x,
        "grey ground 0.05": lambda x: 0.05 + 0.95 * x,
        "grey ground 0.5": lambda x: 0.5 + 0.5 * x,
        "noise 0.05": noisy(0.05),
        "noise 0.1": noisy(0.1),
        "noise 0.2": noisy(0.2),
        "square of 8 px, grey": with_stamp(square(8, 0.5)),
        "square of 8 px, white": with_stamp(square(8, 1.0)),
        "square of 16 px, white": with_stamp(square(16, 1.0)),
        "a second icon of 16 px": with_stamp(other_icons(icons, 16)),
        "a second icon of 24 px": with_stamp(other_icons(icons, 24)),
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
    parser.add_argument("--out", type=Path, help="folder for the figures (none is drawn)")
    args = parser.parse_args()
    dataset = stir.load("emoji", args.data)
    models = trained(Storage(args.storage), args.model)
    if not models:
        print(f"{args.storage} has no record of {args.model} on emoji, Mid2Rest", file=sys.stderr)
        return 2
    unseen = stir.SCENARIOS[SCENARIO].test_scales
    images, labels = map(torch.from_numpy, dataset.select("test", unseen, shuffle=False))
    icons, _ = dataset.select("test", [max(SCALES)], shuffle=False)
    ways = changes(torch.from_numpy(icons) / 255)
    seeds = counted(len(models), "seed")
    print(f"| {args.model}, {seeds} | mean | smallest | largest |\n|---|---|---|---|")
    failures = {}
    for name, change in ways.items():
        changed = change(images / 255)
        said = [answers(model, changed) for model in models]
        found = [float((answer == labels).float().mean()) for answer in said]
        mean = sum(found) / len(found)
        print(f"| {name} | {mean:.1%} | {min(found):.1%} | {max(found):.1%} |", flush=True)
        failures[name] = changed[said[0] != labels]
    selected = describe_selection(dataset)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        drawn = {"selected-scale.svg": draw_selection(*selected)}
        shown = {name: failures[name] for name in SHOWN if len(failures[name])}
        drawn["selection-failures.svg"] = draw_failures(shown, models[0])
        for name, figure in drawn.items():
            (args.out / name).write_bytes(to_bytes(figure, "svg"))
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
def answers(model: nn.Module, images: Images) -> Tensor:
    return torch.cat([model(x).argmax(1) for x in images.split(BATCH)])


def describe_selection(dataset: STIRDataset) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Compare what is selected in the test images, at all sizes, with the objects' boxes.

    Returns the objects' sides and the selected scales.
    """
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
    return sides, scales


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


def draw_failures(failures: Mapping[str, Images], model: nn.Module) -> Figure:
    """Images that were answered wrongly, a row for each change, and the patch that was read."""
    assert isinstance(model, ScaleSelectNetwork)
    figure = Figure(figsize=(6.4, 1.2 * len(failures)), layout="constrained")
    grid = figure.subplots(len(failures), COLUMNS, squeeze=False)
    for row, (name, images) in zip(grid, failures.items(), strict=True):
        some = images[:: max(1, len(images) // COLUMNS)][:COLUMNS]
        with torch.no_grad():
            _, found = model.patches(some)
        for axes in row:
            axes.set_axis_off()
        row[0].set_title(name, loc="left", fontsize="small")
        for axes, image, *places in zip(row, some, found.x, found.y, found.scale, strict=False):
            axes.imshow(image[0], cmap="gray", vmin=0, vmax=1)
            for x, y, scale in zip(*(place.tolist() for place in places), strict=True):
                corner = (x - scale, y - scale)
                axes.add_patch(
                    Rectangle(corner, 2 * scale, 2 * scale, fill=False, color="#c2185b", lw=1.2)
                )
            axes.set(xlim=(-32.5, 95.5), ylim=(95.5, -32.5))
    return figure


if __name__ == "__main__":
    sys.exit(main())
