"""How far a trained model's feature maps are from scaling with the object."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siconvnet.evaluation.objects import ObjectImages, object_maps

SCALE_PAIRS = ((64, 49), (49, 64), (48, 33), (33, 48), (32, 17), (17, 32))  # pixels
SCALES = (64, 49, 48, 33, 32, 17)


@torch.no_grad()
def equivariance_errors(
    model: nn.Module,
    objects: ObjectImages,
    *,
    batch_size: int = 16,
    progress: Callable[[int], None] | None = None,
) -> Tensor:
    """Relative squared difference between an object's maps at two scales, for each stage.

    For each pair of scales the maps after the ReLU are cut to the object (see ``object_maps``),
    the second is resized to the first's size (bicubic), and the error is ||a - b||^2 / ||a||^2.
    It is NaN where ||a|| = 0, which covers an object too small to fill one pixel's view, and where
    the square box of an oblong object leaves the image at either scale, since the two parts would
    not show the same: a mean should say how many it leaves out.

    ``objects`` must have all of SCALES. The model needs ``feature_maps`` with maps (N, C, H, W).
    At most 6 * ``batch_size`` images' maps are held at once; ``progress`` gets how many objects
    are done after each batch, and may raise to stop.

    Shape:  (stages, classes, instances, 6), float64, pairs in the order of SCALE_PAIRS.
    Source: Altstidl et al. (2023), arXiv:2211.10288, there on images in 0..255, here in 0..1.
    """
    missing = [scale for scale in SCALES if scale not in objects.scales]
    if missing:
        raise ValueError(f"objects must have the scales {SCALES}; {missing} are not there.")
    model.eval()
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    batches: list[Tensor] = []
    for start in range(0, len(objects), batch_size):
        part = slice(start, start + batch_size)
        parts = {scale: _stage_parts(model, objects, scale, part, device) for scale in SCALES}
        pairs = [
            torch.stack([_error(a, b) for a, b in zip(parts[i], parts[j], strict=True)])
            for i, j in SCALE_PAIRS
        ]
        batches.append(torch.stack(pairs, dim=-1))
        if progress is not None:
            progress(min(start + batch_size, len(objects)))
    return torch.cat(batches, dim=1).unflatten(1, objects.grid).cpu()


def _stage_parts(
    model: nn.Module, objects: ObjectImages, scale: int, part: slice, device: torch.device
) -> list[Tensor]:
    """For each stage the objects' part of the maps, (N, C, side, side)."""
    images, positions = objects.batch(scale, part, device)
    feature_maps = getattr(model, "feature_maps", None)
    if feature_maps is None:
        raise ValueError(
            "Equivariance errors need a model with feature_maps(images), a tuple of maps "
            f"(N, C, H, W); {type(model).__name__} has none."
        )
    stages = feature_maps(images)
    for number, maps in enumerate(stages, start=1):
        if maps.ndim != 4:
            raise ValueError(
                "Equivariance errors need stages with maps (N, C, H, W), as those of standard, "
                "kanazawa, pixel_pool, slice_pool and energy_pool; got shape "
                f"{tuple(maps.shape)} at stage {number}."
            )
    return [object_maps(maps, positions, scale, images.shape[-1]) for maps in stages]


def _error(a: Tensor, b: Tensor) -> Tensor:
    """||a - b||^2 / ||a||^2, b resized to a's size, (N,); NaN if a is zero or either empty."""
    if not a.numel() or not b.numel():
        return torch.full((len(a),), torch.nan, dtype=torch.float64, device=a.device)
    resized = F.interpolate(b, size=a.shape[-2:], mode="bicubic", align_corners=False)
    size = a.double().square().sum((1, 2, 3))
    error = (a.double() - resized.double()).square().sum((1, 2, 3)) / size
    return torch.where(size == 0, torch.nan, error)
