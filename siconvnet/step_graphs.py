"""Steps that a GPU records and replays: CUDA graphs of training and of validation.

A step of these networks is some 60 to 340 kernels of a few microseconds each, and the host takes
longer to launch them than a GPU to run them. A graph launches all of them at once.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

WARM_UP = 3  # steps before one is recorded, in which libraries and constants prepare themselves


class CaptureError(RuntimeError):
    """A step that was called capturable waits for the device."""


class StepGraphs:
    """Runs steps on a CUDA device: the first few as they are, later ones as replays of a graph.

    A step is a function of tensors that answers with nothing and writes into memory that outlives
    it: weights, an optimizer's averages, sums. It must be capturable: whatever the tensors hold and
    however often it has run, it launches the same kernels on the same memory and waits for nothing.
    Steps of one name share graphs, one for each shape of their tensors, and all graphs share the
    memory that they need on the way, so they may not run at once.

    Raises CaptureError, before anything is recorded, for a step that waits.
    Source: PyTorch's CUDA semantics, section CUDA Graphs.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)
        self._calls: Counter[Any] = Counter()
        self.forget()

    def forget(self) -> None:
        """Drop all graphs and their memory: nothing is left to do, or something was replaced."""
        self._pool = torch.cuda.graph_pool_handle()
        self._graphs: dict[Any, _Graph] = {}
        self._calls.clear()

    def run(self, step: Callable[..., None], *batch: Tensor) -> None:
        """Do what ``step(*batch)`` does, after all that was asked of the device before."""
        which = (step.__name__, *(part.shape for part in batch))
        if which not in self._graphs:
            self._calls[which] += 1
            if self._calls[which] <= WARM_UP:
                self._launch(step, batch, watched=self._calls[which] == WARM_UP)
                return
            self._graphs[which] = self._recorded(step, batch)
        self._graphs[which].replay(batch)

    def _launch(
        self, step: Callable[..., None], batch: tuple[Tensor, ...], *, watched: bool
    ) -> None:
        """Run a step on the stream that it will be recorded on, as recording asks for."""
        outside = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(outside)
        with torch.cuda.stream(self._stream), no_waiting() if watched else nullcontext():
            step(*batch)
        outside.wait_stream(self._stream)

    def _recorded(self, step: Callable[..., None], batch: tuple[Tensor, ...]) -> "_Graph":
        inputs = tuple(part.clone() for part in batch)
        graph = torch.cuda.CUDAGraph()
        # Other threads of the process may use the device meanwhile.
        recording = torch.cuda.graph(
            graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
        )
        with recording:
            step(*inputs)
        return _Graph(graph, inputs)


@contextmanager
def no_waiting() -> Iterator[None]:
    """Let nothing wait for a CUDA device: what would is a CaptureError."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    except RuntimeError as error:
        if "synchronizing" not in str(error):
            raise
        raise CaptureError(
            "A model that is capturable must ask for no value of a tensor while it computes, and "
            f"make none on the GPU from Python's numbers; PyTorch says: {str(error).strip()}. "
            "Register it without capturable."
        ) from error
    finally:
        torch.cuda.set_sync_debug_mode(before)


@dataclass(frozen=True, slots=True)
class _Graph:
    """A recorded step and the tensors that it reads its batch from."""

    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]

    def replay(self, batch: tuple[Tensor, ...]) -> None:
        for own, given in zip(self.inputs, batch, strict=True):
            own.copy_(given)
        self.graph.replay()
