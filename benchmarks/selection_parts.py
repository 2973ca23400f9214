"""What each part of scale selection is worth: the true box instead of a search, free kernels.

    python -m benchmarks.selection_parts --dataset emoji-clutter --parts oracle_k --seeds 1 2 3

Objects are located once and learned from by the published protocol, scenario Mid2Rest. ``oracle``
and ``oracle_k`` are scale_select and scale_select_k with patches at the object's true place and
size, which bound what a better search could give; ``free`` is scale_select with 3 x 3 kernels, all
of whose weights are learned, in the place of Gaussian jets. Each run is kept in a file of --out,
and not run again; the table of all that is there is Markdown on stdout.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import stir
from analysis.stats import mean_interval
from siconvnet import build_model
from siconvnet.evaluation.accuracy import ScaleCounts
from siconvnet.fit import Fit, Images
from siconvnet.networks import ScaleSelectNetwork
from siconvnet.selection import Selection
from stir import STIRDataset

SCENARIO = stir.SCENARIOS[2]
LR, BATCH = 1e-3, 16
SIDE = 64  # of an image in pixels
BOX_SCALE = 0.62  # of an object's side: the scale that is selected for the median emoji
PARTS = ("oracle", "oracle_k", "free")


@dataclass(frozen=True, slots=True)
class Located(Images):
    """Where ``Fit`` expects images: a row for each, its pixels and then what is selected in it."""

    def __post_init__(self) -> None:
        """Places are no whole numbers."""

    def batch(self, start: int, size: int) -> tuple[Tensor, Tensor]:
        part = slice(start, start + size)
        return self.images[part], self.labels[part]


class Reader(nn.Module):
    """A ``ScaleSelectNetwork`` that is told where the objects are."""

    def __init__(self, network: ScaleSelectNetwork, channels: int) -> None:
        super().__init__()
        self.network, self.shape = network, (channels, SIDE, SIDE)

    def forward(self, rows: Tensor) -> Tensor:
        pixels, places = rows.tensor_split([math.prod(self.shape)], dim=1)
        views = self.network.views(pixels.unflatten(1, self.shape))
        selection = Selection(*places.unflatten(1, (len(Selection._fields), -1)).unbind(1))
        patches = self.network.cut(views, self.network.jitter(selection))
        return self.network.classify(patches, selection.sign != 0)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", nargs="+", default=["emoji-clutter"], metavar="NAME")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--data", help="folder of datasets (data)")
    parser.add_argument("--out", type=Path, default=Path("runs/parts"), help="where runs are kept")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.dataset:
        dataset = stir.load(name, args.data)
        for part in args.parts:
            files = {seed: args.out / f"{part}-{name}-{seed}.json" for seed in args.seeds}
            wanted = {seed: file for seed, file in files.items() if not file.exists()}
            splits = [*prepared(part, dataset)] if wanted else []
            for seed, file in wanted.items():
                print(f"training {part} on {name}, seed {seed}", file=sys.stderr, flush=True)
                run = trained(part, dataset, splits, seed=seed)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps({"part": part, "dataset": name, "seed": seed, **run}))
    print(table([json.loads(file.read_text()) for file in sorted(args.out.glob("*.json"))]))
    return 0


def network_of(part: str, dataset: STIRDataset) -> ScaleSelectNetwork:
    """A new network, drawn from torch's global generator."""
    name = "scale_select_k" if part == "oracle_k" else "scale_select"
    network = build_model(name, in_channels=dataset.num_channels, num_classes=dataset.num_classes)
    assert isinstance(network, ScaleSelectNetwork)
    if part == "free":
        network.jets = free_kernels(dataset.num_channels, network)
    return network


def free_kernels(channels: int, network: ScaleSelectNetwork) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width, step in zip(network.widths, network.steps, strict=True):
        conv = nn.Conv2d(channels, width, 3, stride=step, padding=1, bias=False)
        layers += [conv, nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    return nn.Sequential(*layers)


def prepared(part: str, dataset: STIRDataset) -> Iterator[tuple[Located, Tensor]]:
    """Training, validation and test images with their objects, and the objects' sides in pixels."""
    network = network_of(part, dataset)
    for split, scales in (
        ("train", SCENARIO.train_scales),
        ("valid", SCENARIO.train_scales),
        ("test", SCENARIO.test_scales),
    ):
        shuffle = split == "train"
        images, labels = map(torch.from_numpy, dataset.select(split, scales, shuffle))
        sides, corners = map(torch.from_numpy, dataset.get_latents(split, scales, shuffle))
        rows = []
        for x, side, corner in zip(*(t.split(256) for t in (images, sides, corners)), strict=True):
            views = network.views(x / 255)
            places = (
                network.found(views) if part == "free" else in_boxes(network, views, side, corner)
            )
            rows.append(torch.cat([x.flatten(1) / 255, *places], dim=1))
        yield Located(torch.cat(rows), labels), sides


def in_boxes(network: ScaleSelectNetwork, views: Tensor, side: Tensor, corner: Tensor) -> Selection:
    """What would be selected if the search knew each image's object, (N, K)."""
    ones = torch.ones(views.shape[:2])
    x, y = ((corner + (side[:, None] - 1) / 2)[:, axis, None] * ones for axis in (0, 1))
    box = Selection(x, y, BOX_SCALE * side[:, None] * ones, ones, ones)
    return box._replace(sign=network.cut(views, box).sum(dim=(2, 3, 4)).sign())


def trained(
    part: str, dataset: STIRDataset, splits: list[tuple[Located, Tensor]], *, seed: int
) -> dict[str, object]:
    """Train and test once; accuracy, epochs and, for each size, the share of right answers."""
    (train, _), (valid, _), (test, sides) = splits
    torch.manual_seed(seed)
    model = Reader(network_of(part, dataset), dataset.num_channels)
    fit = Fit(model, train, valid, lr=LR, batch_size=BATCH)
    for _ in fit:
        pass
    model.load_state_dict(fit.best_weights)
    counts = ScaleCounts(model, test, sides, batch_size=256)
    for _ in counts:
        pass
    found = counts.result()
    return {
        "test_accuracy": sum(c.correct for c in found) / sum(c.total for c in found),
        "best_epoch": fit.best.number if fit.best else None,
        "by_scale": {c.scale: c.correct / c.total for c in found},
    }


def table(runs: list[dict[str, object]]) -> str:
    lines = ["| part | dataset | seeds | mean | 95 % interval |", "|---|---|---|---|---|"]
    for part, dataset in dict.fromkeys((run["part"], run["dataset"]) for run in runs):
        scores = np.array(
            [r["test_accuracy"] for r in runs if (r["part"], r["dataset"]) == (part, dataset)]
        )
        reach = mean_interval(scores, rng=np.random.default_rng(0), bounds=(0, 1))
        lines.append(
            f"| {part} | {dataset} | {len(scores)} | {scores.mean():.1%} | "
            f"{reach.low:.1%} to {reach.high:.1%} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
