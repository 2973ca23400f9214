import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siconvnet import build_model
from siconvnet.evaluation.equivariance import SCALE_PAIRS, SCALES, equivariance_errors
from siconvnet.evaluation.objects import ObjectImages

CLASSES, INSTANCES = 2, 3
GREY = 200


def squares(grey: dict[int, int] | None = None, noise: bool = False) -> ObjectImages:
    """Squares at random places; grey by scale, on black or on noise."""
    rng = torch.Generator().manual_seed(0)
    shape = (len(SCALES), CLASSES, INSTANCES)
    images = torch.zeros(*shape, 1, 64, 64, dtype=torch.uint8)
    if noise:
        images = torch.randint(0, 256, images.shape, generator=rng, dtype=torch.uint8)
    positions = torch.zeros(*shape, 2, dtype=torch.int64)
    for row, scale in enumerate(SCALES):
        positions[row] = torch.randint(0, 65 - scale, (CLASSES, INSTANCES, 2), generator=rng)
        for number in range(CLASSES):
            for instance in range(INSTANCES):
                x, y = positions[row, number, instance].tolist()
                level = GREY if grey is None else grey[scale]
                images[row, number, instance, :, y : y + scale, x : x + scale] = level
    return ObjectImages(images, positions, SCALES)


class Maps(nn.Module):
    """A model whose stages are the functions given, each of the images."""

    def __init__(self, *stages) -> None:
        super().__init__()
        self.stages = stages

    def feature_maps(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(stage(x) for stage in self.stages)


def mean_of_5x5(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 5, stride=1)


def test_an_exactly_equivariant_model_has_no_error():
    model = Maps(lambda x: x, mean_of_5x5)
    errors = equivariance_errors(model, squares(noise=True))
    assert errors.shape == (2, CLASSES, INSTANCES, 6)
    assert errors.max() < 1e-12


def test_a_model_that_sees_the_background_has_an_error():
    padded = Maps(lambda x: F.avg_pool2d(x, 5, stride=1, padding=2))
    assert equivariance_errors(padded, squares(noise=True)).min() > 1e-6


def test_the_error_is_relative_to_the_first_scale_of_a_pair():
    grey = {64: 100, 49: 50, 48: 120, 33: 120, 32: 0, 17: 80}
    errors = equivariance_errors(Maps(lambda x: x), squares(grey))
    expected = {(64, 49): 0.25, (49, 64): 1.0, (48, 33): 0.0, (33, 48): 0.0, (17, 32): 1.0}
    for pair, error in expected.items():
        got = errors[..., SCALE_PAIRS.index(pair)]
        torch.testing.assert_close(got, torch.full_like(got, error), rtol=1e-5, atol=1e-12)
    assert errors[..., SCALE_PAIRS.index((32, 17))].isnan().all()


def test_a_stage_that_no_small_object_fills_is_nan_for_the_small_pairs_only():
    model = Maps(lambda x: F.avg_pool2d(x, 21, stride=1))
    nan = equivariance_errors(model, squares()).isnan().all(0).all(0).all(0)
    assert nan.tolist() == [False, False, False, False, True, True]


def test_the_second_map_is_resized_to_the_first():
    ramp = torch.linspace(0, 1, 64).expand(1, 1, 64, 64)
    model = Maps(lambda x: ramp.expand(len(x), -1, -1, -1))
    objects = squares()
    errors = equivariance_errors(model, objects)
    row_a, row_b = SCALES.index(33), SCALES.index(48)
    xa, xb = (int(objects.positions[row, 1, 2, 0]) for row in (row_a, row_b))
    a = ramp[:, :, :33, xa : xa + 33].double()
    b = F.interpolate(ramp[:, :, :48, xb : xb + 48].double(), size=(33, 33), mode="bicubic")
    expected = float((a - b).square().sum() / a.square().sum())
    assert float(errors[0, 1, 2, SCALE_PAIRS.index((33, 48))]) == pytest.approx(expected, rel=1e-4)


def test_an_object_whose_box_leaves_an_image_has_no_error_in_the_pairs_of_that_scale():
    given = squares(noise=True)
    positions = given.positions.clone()
    positions[SCALES.index(49), 1, 2, 0] = 40
    errors = equivariance_errors(
        Maps(lambda x: x, mean_of_5x5), ObjectImages(given.images, positions, SCALES)
    )
    nan = errors.isnan()
    assert nan[:, 1, 2].tolist() == [[49 in pair for pair in SCALE_PAIRS]] * 2
    assert nan.sum() == 2 * 2


def test_batches_do_not_matter_and_progress_counts_objects():
    done: list[int] = []
    model = build_model("standard", in_channels=1, num_classes=2, kernel_size=3)
    few = equivariance_errors(model, squares(), batch_size=4, progress=done.append)
    torch.testing.assert_close(few, equivariance_errors(model, squares()), rtol=1e-4, atol=1e-9)
    assert done == [4, 6]


@pytest.mark.parametrize("name", ["hermite", "conv3d"])
def test_a_model_with_more_axes_is_refused(name: str):
    model = build_model(name, in_channels=1, num_classes=2, kernel_size=3)
    with pytest.raises(ValueError, match=r"\(N, C, H, W\).* got shape \(1, 16, \d+, \d+, \d+\)"):
        equivariance_errors(model, squares(), batch_size=1)


def test_a_model_without_feature_maps_is_refused():
    with pytest.raises(ValueError, match="Flatten has none"):
        equivariance_errors(nn.Flatten(), squares())


def test_objects_without_all_scales_are_refused():
    some = squares()
    fewer = ObjectImages(some.images[:5], some.positions[:5], SCALES[:5])
    with pytest.raises(ValueError, match=r"\[17\] are not there"):
        equivariance_errors(Maps(lambda x: x), fewer)
