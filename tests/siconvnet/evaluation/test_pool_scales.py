import pytest
import torch
from torch import nn

from siconvnet import PooledSiConv2d, ScalePool, SiConv2d, build_model
from siconvnet.evaluation.objects import ObjectImages
from siconvnet.evaluation.pool_scales import chosen_indices, pool_scales

SIDE = 20
SCALES = (12, 9, 8)


class TwoStages(nn.Module):
    def __init__(self, mode: str) -> None:
        super().__init__()
        self.stage1, self.stage2 = (
            PooledSiConv2d(
                SiConv2d(channels, 2, num_scales=num_scales, kernel_size=3), ScalePool(mode)
            )
            for channels, num_scales in ((1, 5), (2, 4))
        )


def objects(seed: int = 0) -> ObjectImages:
    rng = torch.Generator().manual_seed(seed)
    shape = (len(SCALES), 2, 2)
    images = torch.randint(0, 256, (*shape, 1, SIDE, SIDE), generator=rng, dtype=torch.uint8)
    # Up to where the square box of an oblong object does not fit.
    positions = torch.randint(0, SIDE - min(SCALES) + 1, (*shape, 2), generator=rng)
    return ObjectImages(images, positions, SCALES)


@pytest.fixture(params=["pixel", "slice", "energy", "energy_valid"])
def model(request: pytest.FixtureRequest) -> TwoStages:
    torch.manual_seed(0)
    return TwoStages(request.param)


def test_sizes_are_those_of_the_chosen_kernels_over_the_box(model: TwoStages):
    data = objects()
    first, second = pool_scales(model, data)
    for column, scale in enumerate(SCALES):
        for number in range(2):
            for instance in range(2):
                image = data.images[column, number, instance][None] / 255
                x, y = data.positions[column, number, instance].tolist()
                for sizes, indices, shrunk in zip(
                    (first, second), chosen_indices(model, image), (2, 4), strict=True
                ):
                    if indices.ndim == 4:
                        side = scale - shrunk
                        indices = indices[..., y : y + side, x : x + side]
                    expected = 3 + 2 * indices[0].reshape(2, -1).double().mean(1)
                    torch.testing.assert_close(sizes[:, number, instance, column], expected)


def test_the_indices_are_those_of_the_pooling_in_the_network():
    torch.manual_seed(0)
    model = build_model("pixel_pool", in_channels=1, num_classes=2, kernel_size=15)
    images = torch.rand(1, 1, 64, 64)
    first, second = chosen_indices(model, images)
    pooled, expected = model.stage1(images, return_indices=True)
    assert torch.equal(first, expected)
    assert torch.equal(second, model.stage2(pooled.relu(), return_indices=True)[1])


def test_a_rim_of_zeros_is_counted_at_the_size_that_makes_it():
    """Without weights and with a negative bias, the first zero border at a pixel wins."""
    model = TwoStages("pixel")
    nn.init.zeros_(model.stage1.conv.weight)
    nn.init.constant_(model.stage1.conv.bias, -1.0)
    data = ObjectImages(
        torch.zeros(1, 1, 1, 1, SIDE, SIDE, dtype=torch.uint8),
        torch.zeros(1, 1, 1, 2, dtype=torch.int64),
        (5,),
    )
    # 3 x 3 pixels of the map's corner: at depths 0, 1, 2 the kernels of 5, 7, 9 pixels.
    expected = (5 * 5 + 7 * 3 + 9) / 9
    assert pool_scales(model, data)[0].flatten().tolist() == pytest.approx([expected] * 2)


def test_an_empty_box_is_nan_for_pixel_pooling_only():
    data = objects()
    tiny = ObjectImages(data.images, data.positions, (12, 9, 2))
    assert pool_scales(TwoStages("pixel"), tiny)[0][..., 2].isnan().all()
    assert not pool_scales(TwoStages("slice"), tiny)[0].isnan().any()


def test_batches_do_not_matter_and_progress_counts_images():
    done: list[int] = []
    model = TwoStages("pixel")
    few = pool_scales(model, objects(), batch_size=3, progress=done.append)
    for a, b in zip(few, pool_scales(model, objects()), strict=True):
        assert torch.equal(a, b)
    assert done == [3, 4, 7, 8, 11, 12]


def test_a_model_that_pools_no_scales_is_refused():
    standard = build_model("standard", in_channels=1, num_classes=2)
    with pytest.raises(ValueError, match=r"pixel_pool.*got TwoStageNetwork with Conv2d and Conv2d"):
        pool_scales(standard, objects())
