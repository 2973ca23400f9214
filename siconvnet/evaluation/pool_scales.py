"""Which kernel sizes a trained scale-pooling model chooses for objects of known size."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siconvnet.evaluation.objects import ObjectImages, object_maps
from siconvnet.layers import PooledSiConv2d


@torch.no_grad()
def chosen_indices(model: nn.Module, images: Tensor) -> tuple[Tensor, ...]:
    """The scale index that each stage's pooling chose; kernels have side ``k + 2 * index``.

    Whole maps are big: 140 kB an image for pixel_pool.

    Shape: (N, C, H, W) -> per stage (N, O, h, w) for pixel pooling, (N, O) for the others.
    """
    answers = []
    x = images
    for stage in pooled_stages(model):
        pooled, indices = stage(x, return_indices=True)
        answers.append(indices)
        x = F.relu(pooled)
    return tuple(answers)


@torch.no_grad()
def pool_scales(
    model: nn.Module,
    objects: ObjectImages,
    *,
    batch_size: int = 16,
    progress: Callable[[int], None] | None = None,
) -> tuple[Tensor, ...]:
    """Mean chosen kernel size (pixels) over the object's box, of every object at every scale.

    The box is what ``object_maps`` cuts, within the map; where it is empty the mean of a pixel
    pooling is NaN. Slice and energy pooling choose once for an image, box or none. ``progress`` is
    called with the number of images done after each batch, and may raise to stop.

    Shape:  per stage (channels, classes, instances, scales), float64; scales as in ``objects``.
    Source: Altstidl et al. (2023), arXiv:2211.10288, figure 7.
    """
    stages = pooled_stages(model)
    model.eval()
    device = stages[0].conv.weight.device
    sizes = [
        torch.empty(stage.conv.out_channels, len(objects), len(objects.scales), dtype=torch.float64)
        for stage in stages
    ]
    done = 0
    for column, scale in enumerate(objects.scales):
        for start in range(0, len(objects), batch_size):
            part = slice(start, start + batch_size)
            images, positions = objects.batch(scale, part, device)
            for stage, size, indices in zip(
                stages, sizes, chosen_indices(model, images), strict=True
            ):
                sides = torch.tensor(stage.conv.sides, device=device)[indices].double()
                if sides.ndim == 4:
                    cut = object_maps(sides, positions, scale, images.shape[-1])
                    sides = cut.flatten(2).nanmean(dim=2)
                size[:, part, column] = sides.T.cpu()
            done += len(images)
            if progress is not None:
                progress(done)
    return tuple(size.unflatten(1, objects.grid) for size in sizes)


def pooled_stages(model: nn.Module) -> list[PooledSiConv2d]:
    """The two stages of a scale-pooling model."""
    stages = [getattr(model, name, None) for name in ("stage1", "stage2")]
    pooled = [stage for stage in stages if isinstance(stage, PooledSiConv2d)]
    if len(pooled) < len(stages):
        raise ValueError(
            "Chosen kernel sizes need a model whose stage1 and stage2 pool over scales, as "
            f"pixel_pool, slice_pool and energy_pool do; got {type(model).__name__} with "
            f"{' and '.join(type(stage).__name__ for stage in stages)}."
        )
    return pooled
