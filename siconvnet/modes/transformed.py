"""How the fast forms behave under PyTorch's transformations: compile, export, trace, grad."""

import functools
import sys
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
Answer = TypeVar("Answer")
NOT_COMPILED = (
    "The fast form of this layer is not compiled; it is as fast as it is. Leave fullgraph out, or "
    "build the layer or model with plain=True."
)
NOT_TWICE = (
    "The fast form of this layer can be differentiated once; for a gradient of a gradient build "
    "the layer or model with plain=True."
)


def needs_plain_form(x: Tensor) -> bool:
    """Whether the plain form answers: to an empty batch, and in a program that is taken apart.

    That is one that is exported, traced, or transformed by ``torch.func`` (vmap and others).
    """
    if x.numel() == 0:
        return True
    if torch.compiler.is_compiling():
        return torch.compiler.is_exporting()
    traced = torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
    return traced or torch._C._are_functorch_transforms_active()


def by_the_book(layer: Any, x: Tensor) -> bool:
    """Whether a layer computes in its plain form."""
    return bool(layer.plain) or needs_plain_form(x)


def not_compiled(function: Callable[P, Answer]) -> Callable[P, Answer]:
    """Let ``torch.compile`` call the function uncompiled; one whole graph is refused."""

    @functools.cache
    def kept_apart() -> Callable[P, Answer]:
        return torch.compiler.disable(function)  # pyright: ignore[reportReturnType]

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> Answer:
        if torch.compiler.is_compiling():
            raise RuntimeError(NOT_COMPILED)  # a break of the graph, then called from outside it
        if "torch._dynamo" not in sys.modules:  # importing it takes a second
            return function(*args, **kwargs)
        return kept_apart()(*args, **kwargs)

    return run


def differentiable_once(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse to differentiate a gradient, in a sentence that names what would do.

    ``backward`` is given the saved tensors, which some savers let be read once, and the gradients.
    """

    @functools.wraps(backward)
    def run(ctx: Any, *grads: Tensor) -> Any:
        saved = ctx.saved_tensors
        with torch.no_grad():
            found = backward(ctx, saved, *grads)
        if not torch.is_grad_enabled():
            return found
        return tuple(x if x is None else _NotTwice.apply(x, *grads, *saved) for x in found)

    return run


class _NotTwice(torch.autograd.Function):
    """A gradient as it is, that refuses to be differentiated by what it was made of."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *made_of: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        raise RuntimeError(NOT_TWICE)
