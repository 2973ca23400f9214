"""What is known of a model before it is built."""

from dataclasses import dataclass
from typing import Protocol

from torch import nn


class Builder(Protocol):
    """What makes a model: its parameters drawn from torch's global generator."""

    def __call__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        kernel_size: int,
        interpolation: str,
        plain: bool,
    ) -> nn.Module: ...


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model that can be built by name.

    ``version`` goes up when a change moves the model's numbers, so that old and new results are
    never taken for each other. ``kernel_sizes`` are those it can be built with; None: any.
    ``capturable`` models may be recorded as CUDA graphs, see ``register_model``.
    """

    name: str
    build: Builder
    version: int | str
    uses_interpolation: bool
    kernel_sizes: tuple[int, ...] | None = None
    capturable: bool = False

    def check_kernel_size(self, kernel_size: int) -> None:
        """Refuse a kernel size that the model cannot be built with."""
        sizes = self.kernel_sizes
        if sizes is not None and kernel_size not in sizes:
            accepted = ", ".join(map(str, sizes))
            rule = f"one of {accepted}" if len(sizes) > 1 else accepted
            raise ValueError(f"kernel_size of {self.name} must be {rule}; got {kernel_size}.")
