"""The memory of a training trial of every model: by PyTorch's CPU allocator, and on a GPU if any.

    python -m benchmarks.gpu_memory --models pixel_pool conv3d

The first figure is the table in tune_jobs/plan/gpu_memory.py: the most that PyTorch's allocator
holds during a training step of 16 images of 64 x 64 pixels (forward, backward, Adam), the largest
over all kernel sizes. It is taken on the CPU, where the layers run the same code. With a GPU, the
same step runs there in a process of its own, and what that took, its CUDA context included, is
set against what the table allows for it; nothing else may use that GPU meanwhile. Markdown on
stdout, progress on stderr; the exit status is 1 where a trial took more than it is allowed."""

import argparse
import multiprocessing
import sys
from typing import Any

import torch
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from siconvnet import MODELS, build_model
from siconvnet.models import IMAGE_SIDE, KERNEL_SIZES
from stir.terminal import progress_bar
from tune_jobs.plan.gpu_memory import BATCH_SIZE, STEP_MB, trial_bytes

NUM_CLASSES = 36
MB = 10**6
GPU_STEPS = 5  # cuDNN tries its algorithms in the first


class Trial:
    """A model, its optimiser and one batch, on one device."""

    def __init__(self, name: str, channels: int, kernel_size: int, device: str) -> None:
        torch.manual_seed(1)
        self.model = build_model(
            name, in_channels=channels, num_classes=NUM_CLASSES, kernel_size=kernel_size
        ).to(device)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.images = torch.rand(BATCH_SIZE, channels, IMAGE_SIDE, IMAGE_SIDE, device=device)
        self.labels = torch.arange(BATCH_SIZE, device=device)

    def step(self) -> None:
        self.optimiser.zero_grad()
        F.cross_entropy(self.model(self.images), self.labels).backward()
        self.optimiser.step()

    @property
    def lasting_bytes(self) -> int:
        """Parameters and buffers, their gradients, Adam's two moments, and the batch."""
        state = [*self.model.parameters(), *self.model.buffers(), self.images]
        state += [p.grad for p in self.model.parameters() if p.grad is not None]
        for moments in self.optimiser.state.values():
            state += moments.values()
        return sum(tensor.nbytes for tensor in state)


def step_bytes(name: str, channels: int, kernel_size: int) -> int:
    """The most that PyTorch's CPU allocator holds during a training step."""
    trial = Trial(name, channels, kernel_size, "cpu")
    trial.step()  # makes Adam's moments and what the layers keep from step to step
    lasting = trial.lasting_bytes
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        trial.step()
    assert profiler.profiler is not None
    results: Any = profiler.profiler.kineto_results  # memory is not in its type
    changes = sorted(
        (event.start_ns(), event.nbytes())
        for event in results.events()
        if event.name() == "[memory]"
    )
    held = peak = 0
    for _, change in changes:
        held += change
        peak = max(peak, held)
    return lasting + peak


def free_gpu_bytes_after(name: str, channels: int, kernel_size: int) -> int:
    """What is left of the GPU while a trial trains there; for a fresh process."""
    trial = Trial(name, channels, kernel_size, "cuda")
    for _ in range(GPU_STEPS):
        trial.step()
    torch.cuda.synchronize()
    return torch.cuda.mem_get_info()[0]


def measure(name: str, channels: int) -> tuple[list[str], bool]:
    """One row of the table, and whether the GPU, if any, kept to what is allowed."""
    sizes = [size for size in KERNEL_SIZES if _builds(name, size)]
    steps = {size: step_bytes(name, channels, size) for size in sizes}
    largest = max(steps, key=steps.__getitem__)
    row = [
        f"`{name}`",
        f"{channels}",
        f"{largest}",
        f"{steps[largest] / MB:.0f}",
        f"{STEP_MB[name][channels > 1]}" if name in STEP_MB else "-",
    ]
    if not torch.cuda.is_available():
        return row, True
    free, _ = torch.cuda.mem_get_info()  # this process's own context is there by now
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        taken = free - pool.apply(free_gpu_bytes_after, (name, channels, largest))
    allowed = trial_bytes(name, channels=channels, images_bytes=0)
    row += [f"{taken / MB:.0f}", f"{allowed / MB:.0f}" if allowed else "-"]
    return row, allowed is None or taken <= allowed


def _builds(name: str, kernel_size: int) -> bool:
    try:
        MODELS[name].check_kernel_size(kernel_size)
    except ValueError:
        return False
    return True


def parse(argv: list[str] | None) -> argparse.Namespace:
    lines = (__doc__ or "").strip().split("\n\n")
    parser = argparse.ArgumentParser(
        description=lines[0],
        epilog=f"example:\n{lines[1]}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--channels", nargs="+", type=int, choices=(1, 3), default=[1, 3])
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}\n")
    else:
        print(f"No GPU is here, so only the CPU's figures; PyTorch {torch.__version__}\n")
    headings = ["model", "channels", "kernel size", "step, MB", "in the table, MB"]
    headings += ["on the GPU, MB", "allowed, MB"] if on_gpu else []
    print("| " + " | ".join(headings) + " |")
    print("|" + "---|" * len(headings))
    cases = [(name, channels) for name in options.models for channels in options.channels]
    kept = True
    with progress_bar("measuring") as progress:
        for done, (name, channels) in enumerate(cases):
            progress(done, len(cases))
            row, within = measure(name, channels)
            kept &= within
            print("| " + " | ".join(row) + " |", flush=True)
    return int(not kept)


if __name__ == "__main__":
    sys.exit(main())
