"""The models of the benchmark, and those of ours beside them."""

import functools
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from siconvnet.baselines import Conv2d, Conv3d, KanazawaConv2d, SESConv2d, XuConv2d
from siconvnet.bases import steerable_basis
from siconvnet.layers import PooledSiConv2d, ScalePool, SiConv2d
from siconvnet.models.spec import ModelSpec
from siconvnet.networks import (
    LastStage,
    PyramidEnsemble,
    ScaleSelectNetwork,
    SpatialTransformer,
    TwoStageNetwork,
)
from siconvnet.resample import max_num_scales

IMAGE_SIDE = 64  # pixels, all images of the benchmark
KERNEL_SIZES = (3, 7, 11, 15)
WIDTHS = (16, 32)  # channels after each stage
Stages = tuple[nn.Module, LastStage]


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

    return ModelSpec(name, build, version, uses_interpolation, kernel_sizes, capturable=True)


def scale_pool_model(name: str, mode: str) -> ModelSpec:
    """A model whose stages keep one scale, chosen as ``ScalePool(mode)`` does."""
    stages = functools.partial(scale_pool_stages, mode)
    return benchmark_model(name, stages, uses_interpolation=True)


def scale_select_model(name: str, floors: tuple[float, ...], *, version: int) -> ModelSpec:
    """A network that selects scales; its stencils have no kernel size, for which 7 stands."""

    def build(*, in_channels: int, num_classes: int, **_: Any) -> nn.Module:
        network = ScaleSelectNetwork(in_channels, num_classes, side=IMAGE_SIDE, floors=floors)
        return checked(network, in_channels)

    return ModelSpec(
        name, build, version, uses_interpolation=False, kernel_sizes=(7,), capturable=True
    )


def checked(model: nn.Module, in_channels: int) -> nn.Module:
    """The model, which from now on refuses images that are not the benchmark's."""
    check = functools.partial(check_images, (in_channels, IMAGE_SIDE, IMAGE_SIDE))
    model.register_forward_pre_hook(check, with_kwargs=True)
    return model


PAPER = (
    benchmark_model("standard", conv_stages),
    scale_pool_model("pixel_pool", "pixel"),
    scale_pool_model("slice_pool", "slice"),
    scale_pool_model("energy_pool", "energy"),
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
OURS = (
    scale_pool_model("energy_pool_valid", "energy_valid"),
    scale_select_model("scale_select", (0.0,), version=2),
    scale_select_model("scale_select_k", (0.0, 0.4, 0.6, 0.8), version=3),
)
