"""The models by name: the benchmark's, ours, those registered and those of installed packages."""

import functools
import hashlib
import inspect
import sys
from difflib import get_close_matches

from torch import nn

from siconvnet.models.benchmark import OURS, PAPER
from siconvnet.models.plugins import Known
from siconvnet.models.spec import Builder, ModelSpec
from siconvnet.resample import check_interpolation

_models = {spec.name: spec for spec in (*PAPER, *OURS)}
MODELS: Known[ModelSpec] = Known(_models, group="siconvnet.models")


def build_model(
    name: str,
    *,
    in_channels: int,
    num_classes: int,
    kernel_size: int = 7,
    interpolation: str = "bicubic",
    plain: bool = False,
) -> nn.Module:
    """A new model of the benchmark, or of those registered, initialised at random.

    Weights are drawn from torch's global generator: call ``torch.manual_seed`` before. With
    ``plain`` the model computes by the book instead of fast; the numbers and ``state_dict`` keys
    are the same.

    >>> model = build_model("standard", in_channels=1, num_classes=36)
    >>> sum(parameter.numel() for parameter in model.parameters())
    27108
    """
    spec = find_model(name)
    spec.check_kernel_size(kernel_size)
    check_interpolation(interpolation)
    for label, count in (("in_channels", in_channels), ("num_classes", num_classes)):
        if count < 1:
            raise ValueError(f"{label} must be at least 1; got {count}.")
    return spec.build(
        in_channels=in_channels,
        num_classes=num_classes,
        kernel_size=kernel_size,
        interpolation=interpolation,
        plain=plain,
    )


def register_model(
    name: str,
    build: Builder,
    *,
    version: int | str | None = None,
    uses_interpolation: bool = False,
    kernel_sizes: tuple[int, ...] | None = None,
    capturable: bool = False,
) -> ModelSpec:
    """Let ``build_model`` and studies know a model of your own.

    ``build`` is called with ``in_channels``, ``num_classes``, ``kernel_size``, ``interpolation``
    and ``plain`` by keyword, and may ignore the last three with ``**options``. It returns a network
    that maps images (N, in_channels, 64, 64) to logits (N, num_classes), scores before softmax.

    Without a ``version``, the source of the module that ``build`` is written in stands for it: any
    edit of that file makes new results of all its models. ``kernel_sizes`` are those that
    ``build_model`` and studies accept for it; without, any is passed on.

    ``capturable`` lets training on a GPU record its steps as CUDA graphs and replay them, a few
    times as fast. It promises that the model, in training and in evaluation, does the same with
    every batch of one shape, asks for no value of a tensor (``item``, ``if x.sum() > 0``,
    ``x[mask]``) and makes no tensor on the GPU from Python's numbers (``torch.tensor(2.0,
    device=x.device)``): what Python does is recorded once and never run again.

    An installed package makes its models known everywhere by entry points of the group
    ``siconvnet.models``: each has a model's name and refers to the module that registers it.

    >>> def tiny(*, in_channels, num_classes, **options):
    ...     return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * 64 * 64, num_classes))
    >>> register_model("tiny", tiny, version=1)  # doctest: +SKIP
    """
    if not name:
        raise ValueError("A model needs a name; got an empty one.")
    if any(name == spec.name for spec in (*PAPER, *OURS)):
        raise ValueError(f"A model's name must not be one of the benchmark's; got {name!r}.")
    if version is None:
        version = source_version(build)
    spec = ModelSpec(name, build, version, uses_interpolation, kernel_sizes, capturable)
    _models[name] = spec
    return spec


def find_model(name: str) -> ModelSpec:
    """Return ``MODELS[name]``; the error of an unknown name lists those that are accepted."""
    if name in MODELS:
        return MODELS[name]
    near = get_close_matches(name, MODELS, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"No model is called {name!r}.{hint} Known: {', '.join(MODELS)}. Others are known once "
        f"register_model is called, or a package with an entry point in {MODELS.group} installed."
    )


def source_version(build: Builder) -> str:
    """Twelve hex digits that change when the file that ``build`` is written in does."""
    written = build
    while isinstance(written, functools.partial):
        written = written.func
    module = sys.modules.get(getattr(written, "__module__", ""))
    try:
        source = inspect.getsource(module) if module else None
    except (OSError, TypeError):
        source = None
    if source is None:
        raise ValueError(
            "Without a version, a model must be built by a function in a file, whose source stands "
            f"for the version; got {build!r}. Give version=1."
        )
    return hashlib.sha256(source.encode()).hexdigest()[:12]
