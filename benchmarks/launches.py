"""What a training step would ask of a device such as a GPU: launches, waiting, memory.

Counted on a pretend device (lab/pretend_device.py), measured on no real one. Start it with
``python -m benchmarks.launches``.
"""

import argparse
from collections.abc import Sequence

import torch
from torch.nn import functional as F

from lab.groups import in_groups
from lab.pretend_device import PretendDevice
from siconvnet import MODELS, build_model
from stir.terminal import counted

GROUPS = (1, 2, 4)  # of scales or frequencies


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.launches", description=__doc__)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--channels", type=int, default=1)
    args = parser.parse_args(argv)
    heads = [counted(groups, "group") for groups in GROUPS]
    counts = [f"launches, {head} | MB, {head}" for head in heads]
    print(f"| model | synchronisations | {' | '.join(counts)} |")
    print(f"|---|---|{'---|' * 2 * len(GROUPS)}")
    for name in MODELS:
        cells, waits = [], set()
        for groups in GROUPS:
            device = counted_step(name, args.batch_size, args.channels, groups)
            launches = sum(device.launches.values())
            cells.append(f"{launches} | {device.peak_bytes / 1e6:.0f}")
            waits.add(sum(device.synchronisations.values()))
        print(f"| `{name}` | {max(waits)} | {' | '.join(cells)} |", flush=True)
    return 0


def counted_step(name: str, batch_size: int, channels: int, groups: int) -> PretendDevice:
    """A device that has counted the second training step, in float32; the first makes constants."""
    torch.manual_seed(1)
    model = build_model(name, in_channels=channels, num_classes=36)
    with PretendDevice() as device, in_groups(groups):
        device.move(model)
        images = device.tensor(torch.rand(batch_size, channels, 64, 64))
        labels = device.tensor(torch.arange(batch_size) % 36)
        for _ in range(2):
            model.zero_grad()
            device.reset()
            F.cross_entropy(model(images), labels).backward()
    return device


if __name__ == "__main__":
    raise SystemExit(main())
