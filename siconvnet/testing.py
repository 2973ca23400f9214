"""Assertions for layers of your own: does a bigger object give a bigger answer, and no other?

All of them measure what an object *adds* to the answer, layer(image) - layer(black image), so that
neither a bias nor what a layer does at its borders counts. Errors are relative and squared,
||a - b||^2 / ||a||^2, as equivariance errors are in Altstidl et al. (2023), arXiv:2211.10288.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SAME_FACTOR = 0.01  # two ratios of scales closer than this, relatively, are one factor
BLOBS = 8  # in one channel of one object


def assert_scale_equivariant(
    layer: nn.Module,
    *,
    in_channels: int = 1,
    scales: Sequence[float] | None = None,
    factors: Sequence[float] = (1.5, 2.0),
    image_side: int = 64,
    object_size: float = 16,
    tolerance: float = 0.02,
    seed: int = 0,
) -> None:
    """Fail unless an object ``f`` times as big gives the layer's answer, ``f`` times as big.

    Eight smooth random objects are drawn in the middle of black images, ``object_size`` pixels in
    size and again at each factor. The layer's answer to the small one, enlarged about the middle
    (bicubic), must be its answer to the big one.

    A layer answers with maps (N, O, H, W), or, if ``scales`` says which size each entry of its
    scale axis stands for, with (N, O, S, H, W): then the big object's answer at scale ``f * s`` is
    compared with the small one's at ``s``, and the factors are the ratios of ``scales`` to their
    first. Objects and kernels must have room: near a border no layer is equivariant.

    The default tolerance, for the worst channel, lets rounding and interpolation pass (0.002 for a
    ReLU, 0.003 for DISCO filters, 0.01 for a bicubic SiConv2d) and no plain convolution
    (0.06 and more for 3 x 3 pixels, 0.2 and more for 7 x 7). Coarser ideas need a wider one:
    Hermite filters reach 0.1, ``nearest`` kernels 1.6, and a *maximum* over scales is less
    equivariant than the scales, since their range ends (0.3 at factor 1.5, 0.8 at 2).

    >>> from siconvnet import SiConv2d
    >>> _ = torch.manual_seed(0)
    >>> layer = SiConv2d(1, 8, num_scales=5, kernel_size=7)
    >>> assert_scale_equivariant(layer, scales=layer.sides)
    >>> assert_scale_equivariant(nn.Conv2d(1, 8, 7))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    AssertionError: An object 1.5 times as big must give Conv2d's answer 1.5 times as big...
    """
    errors = scale_equivariance_errors(
        layer,
        in_channels=in_channels,
        scales=scales,
        factors=factors,
        image_side=image_side,
        object_size=object_size,
        seed=seed,
    )
    for (factor, scale), error in errors.items():
        if not error.max() <= tolerance:  # NaN fails too
            worst = int(error.nan_to_num(torch.inf).argmax())
            place = "" if scale is None else f" from scale {scale:g} to {scale * factor:.3g}"
            raise AssertionError(
                f"An object {factor:.3g} times as big must give {_name(layer)}'s answer "
                f"{factor:.3g} times as big{place}; the relative squared error is "
                f"{float(error[worst]):.3g} in channel {worst}, and at most {tolerance:g} is "
                "allowed."
            )


def scale_equivariance_errors(
    layer: nn.Module,
    *,
    in_channels: int = 1,
    scales: Sequence[float] | None = None,
    factors: Sequence[float] = (1.5, 2.0),
    image_side: int = 64,
    object_size: float = 16,
    seed: int = 0,
) -> dict[tuple[float, float | None], Tensor]:
    """The errors that ``assert_scale_equivariant`` bounds: relative, squared, one for each channel.

    Keys are (factor, scale of the small object's answer), the scale None without ``scales``.
    """
    if scales is not None:
        factors = [scale / scales[0] for scale in scales[1:]]
    room = 0.75 * image_side  # blobs have tails
    factors = [factor for factor in factors if 1 < factor <= room / object_size]
    if not factors:
        raise ValueError(
            "At least one factor must be above 1 and leave a big object within three quarters of "
            f"the image, object_size * factor <= {room:g}; got object_size {object_size:g}, "
            f"{'scales' if scales is not None else 'factors'} {tuple(scales or factors)}."
        )

    def answer(size: float) -> Tensor:
        images = smooth_objects(size, in_channels=in_channels, image_side=image_side, seed=seed)
        maps = _added(layer, images, ndim=4 if scales is None else 5)
        if scales is not None and maps.shape[2] != len(scales):
            raise ValueError(
                f"scales must name each of the {maps.shape[2]} entries of the layer's scale axis; "
                f"got {len(scales)}."
            )
        return maps

    small = answer(object_size)
    errors: dict[tuple[float, float | None], Tensor] = {}
    for factor in factors:
        big = answer(object_size * factor)
        if scales is None:
            errors[factor, None] = _relative_error(big, _enlarged(small, factor))
            continue
        for i, j in _pairs(scales, factor):
            expected = _enlarged(small[:, :, i], factor)
            errors[factor, scales[i]] = _relative_error(big[:, :, j], expected)
    return errors


def assert_shift_equivariant(
    layer: nn.Module,
    *,
    in_channels: int = 1,
    shifts: Sequence[tuple[int, int]] = ((0, 1), (3, -2)),
    image_side: int = 64,
    object_size: float = 16,
    tolerance: float = 1e-6,
    seed: int = 0,
) -> None:
    """Fail unless an object moved by (rows, columns) pixels moves the layer's answer as far.

    Any maps (N, O, ..., H, W) will do. Objects and kernels must have room, as in
    ``assert_scale_equivariant``; a layer with a stride fails, as it should.

    >>> assert_shift_equivariant(nn.Conv2d(1, 4, 5))
    """
    images = smooth_objects(object_size, in_channels=in_channels, image_side=image_side, seed=seed)
    still = _added(layer, images)
    for shift in shifts:
        moved = _added(layer, images.roll(shift, dims=(-2, -1)))
        error = _relative_error(moved, still.roll(shift, dims=(-2, -1)))
        if not error.max() <= tolerance:
            worst = int(error.nan_to_num(torch.inf).argmax())
            raise AssertionError(
                f"An object moved by {shift} pixels must move {_name(layer)}'s answer as far; the "
                f"relative squared error is {float(error[worst]):.3g} in channel {worst}, and at "
                f"most {tolerance:g} is allowed."
            )


def smooth_objects(
    size: float, *, in_channels: int = 1, image_side: int = 64, count: int = 8, seed: int = 0
) -> Tensor:
    """Random objects in the middle of black images, the same ones for a seed at every ``size``.

    An object is a sum of Gaussian blobs, bright and dark, so that it can be drawn at any size
    without resampling. Almost all of it lies within ``size`` pixels.

    Shape: (count, in_channels, image_side, image_side), float64.

    >>> small, big = smooth_objects(10, image_side=33), smooth_objects(20, image_side=33)
    >>> bool(torch.allclose(small[..., 8:25, 8:25], big[..., ::2, ::2]))
    True
    """
    rng = torch.Generator().manual_seed(seed)
    shape = (count, in_channels, BLOBS, 1)
    centres = (torch.rand(2, *shape, generator=rng, dtype=torch.float64) - 0.5) / 2
    widths = 0.06 * (1 + torch.rand(shape, generator=rng, dtype=torch.float64))
    heights = torch.randn(shape, generator=rng, dtype=torch.float64)
    pixels = (torch.arange(image_side, dtype=torch.float64) - (image_side - 1) / 2) / size
    rows, columns = torch.exp(-(((pixels - centres) / widths) ** 2) / 2)
    return torch.einsum("ncbh,ncbw->nchw", heights * rows, columns)


def _added(layer: nn.Module, images: Tensor, ndim: int | None = None) -> Tensor:
    """What the objects add to the layer's answer, in float64 on the CPU; ``ndim`` axes or any."""
    like = next(layer.parameters(), torch.zeros(()))
    images = images.to(like)
    with torch.no_grad(), _evaluating(layer):
        answer, black = layer(images), layer(torch.zeros_like(images[:1]))
    if not isinstance(answer, Tensor) or answer.ndim < 4 or ndim not in (None, answer.ndim):
        wanted = {None: "(N, O, ..., H, W)", 4: "(N, O, H, W)", 5: "(N, O, S, H, W) with scales"}
        got = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        hint = ""
        if ndim == 4 and isinstance(answer, Tensor) and answer.ndim == 5:
            such = ", such as scales=layer.sides" if hasattr(layer, "sides") else ""
            hint = f" Say with scales= which size each entry of its third axis stands for{such}."
        raise ValueError(f"The layer must answer with one tensor {wanted[ndim]}; got {got}.{hint}")
    added = (answer - black).double().cpu()
    if not added.any():
        raise AssertionError(f"{_name(layer)} must answer to an object; it answers as to none.")
    return added


@contextmanager
def _evaluating(layer: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while, in which a layer treats each image alone."""
    modes = {module: module.training for module in layer.modules()}
    layer.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _enlarged(maps: Tensor, factor: float) -> Tensor:
    """The middle of (N, O, H, W) maps, ``factor`` times as big, on the same pixels."""
    view = torch.eye(2, 3, dtype=maps.dtype).expand(len(maps), 2, 3) / factor
    grid = F.affine_grid(view, list(maps.shape), align_corners=False)
    return F.grid_sample(maps, grid, mode="bicubic", align_corners=False)


def _pairs(scales: Sequence[float], factor: float) -> list[tuple[int, int]]:
    """Entries of a scale axis whose scales have the ratio ``factor``."""
    return [
        (i, j)
        for i, small in enumerate(scales)
        for j, big in enumerate(scales)
        if abs(big / small / factor - 1) < SAME_FACTOR
    ]


def _relative_error(answer: Tensor, expected: Tensor) -> Tensor:
    """||answer - expected||^2 / ||answer||^2 of each channel over all images, (O,); 0 / 0 is 0."""
    axes = [axis for axis in range(answer.ndim) if axis != 1]
    difference = (answer - expected).square().sum(axes)
    return torch.where(difference == 0, 0.0, difference / answer.square().sum(axes))


def _name(layer: nn.Module) -> str:
    return type(layer).__name__
