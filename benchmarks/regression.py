"""Whether training still gives the numbers that it gave: losses of three models against kept ones.

    python -m benchmarks.regression                     # exit status 1 where a number has changed
    python -m benchmarks.regression --data data --write  # keep this machine's

Trains seed 1 of three models for three epochs on emoji, scenario 2, on one thread, and compares the
loss and the accuracy of each epoch with those in benchmarks/regression.json. With losses kept of
the same processor, form of the layers and version of PyTorch they must be equal but for rounding;
else, as rounding differs and training is chaotic after it, they must be near those kept first.
--write renews what is kept of this kind of machine; say in CHANGELOG.md, under Results, why.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks.command_line import parser_of
from siconvnet import build_model
from siconvnet.fast import backend
from siconvnet.fit import Epoch, Fit, Images
from stir.cores import processor_name
from stir.dataset import STIRDataset, load
from stir.errors import StirError
from stir.scenarios import SCENARIOS
from stir.terminal import progress_bar

KEPT = Path(__file__).with_suffix(".json")
MODELS = ("standard", "pixel_pool", "hermite")  # a plain, a scale-pooling and a steerable one
DATASET, SCENARIO, SEED, EPOCHS, LR = "emoji", 2, 1, 3, 1e-3
SAME = 1e-6  # relative, of losses on the same kind of machine
# Nats and of all images, elsewhere. Two forms of slice_pool were 0.10 of all images apart after
# three epochs, 0.06 after four, and nearer before and after.
NEAR_LOSS, NEAR_ACCURACY = 0.3, 0.15
CHANGED = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """What has to be the same for losses to be equal but for rounding."""

    processor: str
    backend: str
    torch_version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Losses:
    """The epochs of each model on one kind of machine."""

    kind: Kind
    models: dict[str, tuple[Epoch, ...]]


def kind_here() -> Kind:
    """This machine, with the form of the layers that serves on it."""
    return Kind(processor=processor_name(), backend=backend(), torch_version=torch.__version__)


def read_kept(path: Path = KEPT) -> tuple[str, list[Losses]]:
    """The fingerprint of the dataset that was trained on, and its losses, oldest kind first."""
    if not path.exists():
        return "", []
    kept = json.loads(path.read_text())
    return kept["dataset_fingerprint"], [
        Losses(
            kind=Kind(**each["kind"]),
            models={
                name: tuple(Epoch(**epoch) for epoch in epochs)
                for name, epochs in each["models"].items()
            },
        )
        for each in kept["losses"]
    ]


def write_kept(fingerprint: str, losses: list[Losses], path: Path = KEPT) -> None:
    """Write the file whole or not at all."""
    kept = {"dataset_fingerprint": fingerprint, "losses": [asdict(each) for each in losses]}
    part = path.with_suffix(".part")
    part.write_text(json.dumps(kept, indent=1) + "\n")
    part.replace(path)


def train(name: str, dataset: STIRDataset) -> Iterator[Epoch]:
    """The epochs of one model, as a trial trains it."""
    scales = SCENARIOS[SCENARIO].train_scales
    train_images, valid_images = (
        Images(*map(torch.from_numpy, dataset.select(split, scales, shuffle=split == "train")))
        for split in ("train", "valid")
    )
    torch.manual_seed(SEED)
    model = build_model(
        name, in_channels=dataset.num_channels, num_classes=dataset.num_classes, kernel_size=7
    )
    for step in Fit(model, train_images, valid_images, lr=LR, max_epochs=EPOCHS):
        if step.finished:
            yield step.finished


def changes(
    name: str, found: tuple[Epoch, ...], kept: tuple[Epoch, ...], *, same: bool
) -> list[str]:
    """One line for each number that is not what it was."""
    lines = [f"{name}: {len(found)} epochs were trained, {len(kept)} are kept"] * (
        len(found) != len(kept)
    )
    for ours, theirs in zip(found, kept, strict=False):
        for field in ("train_loss", "valid_loss", "train_accuracy", "valid_accuracy"):
            now, before = getattr(ours, field), getattr(theirs, field)
            loss = field.endswith("loss")
            allowed = SAME * abs(before) if same else NEAR_LOSS if loss else NEAR_ACCURACY
            if not abs(now - before) <= allowed:
                lines.append(
                    f"{name}, epoch {ours.number}: {field} is {now:.9g}, was {before:.9g}; "
                    f"at most {allowed:.2g} apart would do"
                )
    return lines


def reference(here: Kind, kept: list[Losses]) -> Losses:
    """What is kept of this kind of machine, else what was kept first."""
    return next((each for each in kept if each.kind == here), kept[0])


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--data", metavar="DIR", help="folder of emoji.npz ($STIR_DATA, else data)")
    parser.add_argument(
        "--write", action="store_true", help="keep what is found as this kind of machine's losses"
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    try:
        here, dataset = kind_here(), load(DATASET, options.data)
        fingerprint, kept = read_kept()
        if not options.write:
            check_comparable(fingerprint, kept, dataset)
    except (StirError, ValueError) as error:
        print(f"regression: {error}", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    print(f"{here.processor}, {here.backend}, PyTorch {here.torch_version}", flush=True)
    found = train_all(dataset)
    if options.write:
        others = kept if fingerprint == dataset.fingerprint else []
        losses = Losses(kind=here, models=found)
        places = [each.kind for each in others]
        if here in places:
            others[places.index(here)] = losses
        else:
            others.append(losses)
        write_kept(dataset.fingerprint, others)
        print(f"kept in {KEPT.name}")
        return 0
    return report(found, reference(here, kept), here)


def check_comparable(fingerprint: str, kept: list[Losses], dataset: STIRDataset) -> None:
    """Refuse to compare with nothing, or with losses on other images."""
    if not kept:
        raise ValueError(f"Losses to compare with must be kept in {KEPT}; --write keeps them.")
    if fingerprint != dataset.fingerprint:
        raise ValueError(
            f"The images must be those of the kept losses, {fingerprint}; {dataset.path} has "
            f"{dataset.fingerprint}: `stir build {DATASET}` makes them."
        )


def train_all(dataset: STIRDataset) -> dict[str, tuple[Epoch, ...]]:
    """The epochs of all models, with progress."""
    found: dict[str, list[Epoch]] = {name: [] for name in MODELS}
    with progress_bar("training") as progress:
        for number, name in enumerate(MODELS):
            for epoch in train(name, dataset):
                found[name].append(epoch)
                progress(number * EPOCHS + epoch.number, len(MODELS) * EPOCHS)
    return {name: tuple(epochs) for name, epochs in found.items()}


def report(found: dict[str, tuple[Epoch, ...]], kept: Losses, here: Kind) -> int:
    """Print each model's losses and what has changed."""
    same = kept.kind == here
    print(
        f"compared with {kept.kind.processor}, {kept.kind.backend}, PyTorch "
        f"{kept.kind.torch_version}: {'to rounding' if same else 'within bounds'}"
    )
    changed: list[str] = []
    for name, epochs in found.items():
        losses = ", ".join(f"{epoch.train_loss:.6f}" for epoch in epochs)
        lines = changes(name, epochs, kept.models.get(name, ()), same=same)
        print(f"{name:12} training losses {losses}: {'CHANGED' if lines else 'as before'}")
        changed += lines
    for line in changed:
        print(line)
    return CHANGED if changed else 0


if __name__ == "__main__":
    sys.exit(main())
