"""The models of the benchmark by name, and a place for users' own."""

import functools
import hashlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Protocol

from torch import Tensor, nn

from siconvnet.baselines import Conv2d, Conv3d, KanazawaConv2d, SESConv2d, XuConv2d
from siconvnet.bases import steerable_basis
from siconvnet.layers import POOL_MODES, PooledSiConv2d, ScalePool, SiConv2d
from siconvnet.networks import (
    LastStage,
    PyramidEnsemble,
    ScaleSelectNetwork,
    SpatialTransformer,
    TwoStageNetwork,
)
from siconvnet.plugins import Known
from siconvnet.resample import check_interpolation, max_num_scales

IMAGE_SIDE = 64  # pixels, all images of the benchmark
KERNEL_SIZES = (3, 7, 11, 15)
WIDTHS = (16, 32)  # channels after each stage
Stages = tuple[nn.Module, LastStage]


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
    """

    name: str
    build: Builder
    version: int | str
    uses_interpolation: bool
    kernel_sizes: tuple[int, ...] | None = None

    def check_kernel_size(self, kernel_size: int) -> None:
        """Refuse a kernel size that the model cannot be built with."""
        sizes = self.kernel_sizes
        if sizes is not None and kernel_size not in sizes:
            accepted = ", ".join(map(str, sizes))
            rule = f"one of {accepted}" if len(sizes) > 1 else accepted
            raise ValueError(f"kernel_size of {self.name} must be {rule}; got {kernel_size}.")


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
) -> ModelSpec:
    """Let ``build_model`` and studies know a model of your own.

    ``build`` is called with ``in_channels``, ``num_classes``, ``kernel_size``, ``interpolation``
    and ``plain`` by keyword, and may ignore the last three with ``**options``. It returns a network
    that maps images (N, in_channels, 64, 64) to logits (N, num_classes), scores before softmax.

    Without a ``version``, the source of the module that ``build`` is written in stands for it: any
    edit of that file makes new results of all its models. ``kernel_sizes`` are those that
    ``build_model`` and studies accept for it; without, any is passed on.

    An installed package makes its models known everywhere by entry points of the group
    ``siconvnet.models``: each has a model's name and refers to the module that registers it.

    >>> def tiny(*, in_channels, num_classes, **options):
    ...     return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * 64 * 64, num_classes))
    >>> register_model("tiny", tiny, version=1)  # doctest: +SKIP
    """
    if not name:
        raise ValueError("A model needs a name; got an empty one.")
    if any(name == spec.name for spec in (*_PAPER, *_OURS)):
        raise ValueError(f"A model's name must not be one of the benchmark's; got {name!r}.")
    if version is None:
        version = source_version(build)
    spec = ModelSpec(name, build, version, uses_interpolation, kernel_sizes)
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


# How each model makes its two stages; the first is made first, since it is drawn first.


def conv_stages(in_channels: int, kernel_size: int, **options: Any) -> Stages:
    """Two ordinary convolutions."""
    return (
        Conv2d(in_channels, WIDTHS[0], kernel_size, **options),
        Conv2d(*WIDTHS, kernel_size, **options),
    )


def same_size_conv_stages(in_channels: int, kernel_size: int, **options: Any) -> Stages:
    """Two ordinary convolutions that keep the size of the image."""
    return conv_stages(in_channels, kernel_size, padding=kernel_size // 2, **options)


def scale_pool_stages(
    mode: str, in_channels: int, kernel_size: int, *, interpolation: str, plain: bool
) -> Stages:
    """Two scale-invariant convolutions with all the scales that their input allows."""

    def stage(side: int, in_channels: int, out_channels: int) -> PooledSiConv2d:
        conv = SiConv2d(
            in_channels,
            out_channels,
            num_scales=max_num_scales(side, side, kernel_size),
            kernel_size=kernel_size,
            interpolation=interpolation,
            plain=plain,
        )
        return PooledSiConv2d(conv, ScalePool(mode))

    first = stage(IMAGE_SIDE, in_channels, WIDTHS[0])
    return first, stage(IMAGE_SIDE - kernel_size + 1, *WIDTHS)


def conv3d_stages(in_channels: int, kernel_size: int, *, interpolation: str, plain: bool) -> Stages:
    """A scale-invariant convolution whose scales the second stage convolves over."""
    conv = SiConv2d(
        in_channels,
        WIDTHS[0],
        num_scales=max_num_scales(IMAGE_SIDE, IMAGE_SIDE, kernel_size),
        kernel_size=kernel_size,
        interpolation=interpolation,
        plain=plain,
    )
    return conv, Conv3d(*WIDTHS, kernel_size, plain=plain)


def xu_stages(in_channels: int, kernel_size: int, **options: Any) -> Stages:
    """Two convolutions in five columns."""
    return (
        XuConv2d(in_channels, WIDTHS[0], kernel_size, **options),
        XuConv2d(*WIDTHS, kernel_size, **options),
    )


def kanazawa_stages(in_channels: int, kernel_size: int, **options: Any) -> Stages:
    """Two convolutions that are applied to the image in six sizes."""
    return (
        KanazawaConv2d(in_channels, WIDTHS[0], kernel_size, **options),
        KanazawaConv2d(*WIDTHS, kernel_size, **options),
    )


def steerable_stages(basis_name: str, in_channels: int, kernel_size: int, *, plain: bool) -> Stages:
    """Two scale-equivariant steerable convolutions."""
    basis = steerable_basis(basis_name, kernel_size)
    return (
        SESConv2d(in_channels, WIDTHS[0], basis=basis, lifting=True, plain=plain),
        SESConv2d(*WIDTHS, basis=basis, lifting=False, plain=plain),
    )


def check_images(
    shape: tuple[int, int, int], _: nn.Module, args: tuple[Tensor, ...], named: dict[str, Tensor]
) -> None:
    """Refuse a batch that does not consist of the benchmark's images."""
    for images in (*args, *named.values()):
        if tuple(images.shape[1:]) != shape:
            raise ValueError(
                f"The model takes images of shape (N, {', '.join(map(str, shape))}); "
                f"got {tuple(images.shape)}."
            )


def benchmark_model(
    name: str,
    stages: Callable[..., Stages],
    *,
    wrap: Callable[[TwoStageNetwork, int], nn.Module] = lambda network, _: network,
    kernel_sizes: tuple[int, ...] = KERNEL_SIZES,
    uses_interpolation: bool = False,
    version: int = 1,
) -> ModelSpec:
    """A model of the paper, given how its stages are made and what is put around them."""

    def build(
        *, in_channels: int, num_classes: int, kernel_size: int, interpolation: str, plain: bool
    ) -> nn.Module:
        options = {"interpolation": interpolation} if uses_interpolation else {}
        stage1, stage2 = stages(in_channels, kernel_size, plain=plain, **options)
        network = TwoStageNetwork(stage1, stage2, features=WIDTHS[1], num_classes=num_classes)
        return checked(wrap(network, in_channels), in_channels)

    return ModelSpec(name, build, version, uses_interpolation, kernel_sizes)


def scale_select_model(name: str, *, candidates: int) -> ModelSpec:
    """A network that selects scales; its stencils have no kernel size, for which 7 stands."""

    def build(*, in_channels: int, num_classes: int, **_: Any) -> nn.Module:
        network = ScaleSelectNetwork(
            in_channels, num_classes, side=IMAGE_SIDE, candidates=candidates
        )
        return checked(network, in_channels)

    return ModelSpec(name, build, 1, uses_interpolation=False, kernel_sizes=(7,))


def checked(model: nn.Module, in_channels: int) -> nn.Module:
    """The model, which from now on refuses images that are not the benchmark's."""
    check = functools.partial(check_images, (in_channels, IMAGE_SIDE, IMAGE_SIDE))
    model.register_forward_pre_hook(check, with_kwargs=True)
    return model


_PAPER = (
    benchmark_model("standard", conv_stages),
    *(
        benchmark_model(
            f"{mode}_pool", functools.partial(scale_pool_stages, mode), uses_interpolation=True
        )
        for mode in POOL_MODES
    ),
    benchmark_model("conv3d", conv3d_stages, uses_interpolation=True),
    benchmark_model(
        "ensemble", same_size_conv_stages, wrap=lambda network, _: PyramidEnsemble(network)
    ),
    benchmark_model("spatial_transform", conv_stages, wrap=SpatialTransformer),
    benchmark_model("xu", xu_stages, kernel_sizes=(3, 7, 11)),
    benchmark_model(
        "xu_corrected", functools.partial(xu_stages, corrected=True), kernel_sizes=(3, 7, 11)
    ),
    benchmark_model("kanazawa", kanazawa_stages),
    benchmark_model("hermite", functools.partial(steerable_stages, "hermite")),
    benchmark_model("disco", functools.partial(steerable_stages, "disco"), kernel_sizes=(7,)),
)
_OURS = (
    scale_select_model("scale_select", candidates=1),
    scale_select_model("scale_select_k", candidates=4),
)
_models = {spec.name: spec for spec in (*_PAPER, *_OURS)}
MODELS: Known[ModelSpec] = Known(_models, group="siconvnet.models")
