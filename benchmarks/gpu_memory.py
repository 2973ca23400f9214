"""What a training trial of every model takes of a GPU's memory.

    python -m benchmarks.gpu_memory --models pixel_pool conv3d

The first figure is the table in tune_jobs/plan/gpu_memory.py: the most that PyTorch's allocator
takes of the GPU while a model trains and validates on batches of 16 images of 64 x 64 pixels, its
CUDA graphs included, the largest over all kernel sizes. What CUDA itself takes comes before the
table. Nothing else may use that GPU meanwhile. Markdown on stdout, progress on stderr; the exit
status is 1 where the two together are more than the table's trial is allowed.
"""

import argparse
import gc
import sys

import torch

from benchmarks.command_line import parser_of, print_head, print_row
from benchmarks.layers import BATCH_SIZE, NUM_CLASSES
from siconvnet import MODELS, build_model
from siconvnet.fit import Fit, Images
from siconvnet.models import IMAGE_SIDE, KERNEL_SIZES
from siconvnet.step_graphs import WARM_UP
from stir.terminal import progress_bar
from tune_jobs.plan.gpu_memory import MB, STEP_MB, trial_bytes
from tune_jobs.trial.determinism import begin_alike

HEADINGS = ("model", "channels", "kernel size", "taken, MB", "in the table, MB", "allowed, MB")
EPOCHS = WARM_UP + 3  # of one training and one validation step: launched, recorded and replayed


def taken_bytes(name: str, channels: int, kernel_size: int) -> int:
    """The most that PyTorch's allocator takes for a trial, beside what it had before."""
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_reserved()
    begin_alike(1, threads=1, device="cuda")
    model = build_model(
        name, in_channels=channels, num_classes=NUM_CLASSES, kernel_size=kernel_size
    )
    pixels = torch.randint(256, (BATCH_SIZE, channels, IMAGE_SIDE, IMAGE_SIDE), dtype=torch.uint8)
    images = Images(pixels, torch.arange(BATCH_SIZE)).to("cuda")
    fit = Fit(
        model.to("cuda"),
        images,
        images,
        lr=1e-3,
        max_epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        capturable=MODELS[name].capturable,
    )
    for _ in fit:
        pass
    torch.cuda.synchronize()
    return torch.cuda.max_memory_reserved() - before


def context_bytes() -> int:
    """What CUDA takes of the GPU beside what PyTorch's allocator has; others must not use it."""
    free, total = torch.cuda.mem_get_info()
    return total - free - torch.cuda.memory_reserved()


def measure(name: str, channels: int) -> tuple[list[str], int, int | None]:
    """One row of the table, the bytes taken and those allowed."""
    sizes = MODELS[name].kernel_sizes or KERNEL_SIZES
    taken = {size: taken_bytes(name, channels, size) for size in sizes}
    largest = max(taken, key=taken.__getitem__)
    allowed = trial_bytes(name, channels=channels, images_bytes=0)
    row = [
        f"`{name}`",
        f"{channels}",
        f"{largest}",
        f"{taken[largest] / MB:.0f}",
        f"{STEP_MB[name][channels > 1]}" if name in STEP_MB else "-",
        f"{allowed / MB:.0f}" if allowed else "-",
    ]
    return row, taken[largest], allowed


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--channels", nargs="+", type=int, choices=(1, 3), default=[1, 3])
    options = parser.parse_args(argv)
    if not torch.cuda.is_available():
        parser.error("This benchmark needs a GPU that PyTorch can use; there is none here.")
    return options


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    taken_bytes("pixel_pool", 1, KERNEL_SIZES[0])  # loads the libraries that any model uses
    context = context_bytes()
    print(
        f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}; CUDA itself takes "
        f"{context / MB:.0f} MB.\n"
    )
    print_head(HEADINGS)
    cases = [(name, channels) for name in options.models for channels in options.channels]
    kept = True
    with progress_bar("measuring") as progress:
        for done, (name, channels) in enumerate(cases):
            progress(done, len(cases))
            row, taken, allowed = measure(name, channels)
            kept &= allowed is None or taken + context <= allowed
            print_row(row)
    return int(not kept)


if __name__ == "__main__":
    sys.exit(main())
