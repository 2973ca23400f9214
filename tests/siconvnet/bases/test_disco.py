from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from siconvnet.bases.disco import (
    IMAGE_SIDE,
    MARGIN,
    REWEIGHTINGS,
    SCALES,
    compute_disco_basis,
    expected_forms,
    least_error_kernels,
    relative_errors,
)

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture(scope="module")
def ours() -> Tensor:
    return compute_disco_basis()


@pytest.fixture(scope="module")
def published() -> Tensor:
    return torch.from_numpy(np.load(GOLDEN / "disco-basis.npz")["basis"]).double()


def correlate(images: Tensor, kernel: Tensor) -> Tensor:
    return F.conv2d(F.pad(images, [7] * 4, mode="circular"), kernel[None, None])


def resize(images: Tensor, factor: float) -> Tensor:
    return F.interpolate(images, scale_factor=factor, mode="bicubic", align_corners=False)


def test_exact_scales_are_the_published_ones(ours: Tensor, published: Tensor):
    torch.testing.assert_close(ours[:, [0, 3]], published[:, [0, 3]], rtol=0, atol=5e-7)


def test_no_function_is_less_equivariant_than_the_published_one(ours: Tensor, published: Tensor):
    assert (relative_errors(ours).mean(0) <= relative_errors(published).mean(0)).all()
    assert relative_errors(ours).mean() < 0.3473 < 0.3484 < relative_errors(published).mean()


def test_the_exact_scales_agree_exactly(ours: Tensor):
    pairs = list(combinations(range(len(SCALES)), 2))
    assert relative_errors(ours)[pairs.index((0, 3))].max() < 1e-6


@pytest.mark.parametrize("pair", range(6))
def test_the_closed_form_is_what_noise_images_give_on_average(pair: int, published: Tensor):
    images = torch.randn(
        48, 1, IMAGE_SIDE, IMAGE_SIDE, generator=torch.Generator().manual_seed(pair)
    ).double()
    form = expected_forms()[pair]
    factor = SCALES[form.scale] / SCALES[form.larger]
    function = published[16]
    first = resize(correlate(images, function[form.larger]), factor)
    second = correlate(resize(images, factor), function[form.scale])
    inside = (..., slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    error, size = form.error_and_size(published)
    measured_error = (first - second)[inside].square().sum((1, 2, 3)).mean().sqrt()
    measured_size = first[inside].square().sum((1, 2, 3)).mean().sqrt()
    assert measured_size == pytest.approx(float(size[16]), rel=0.05)
    assert measured_error == pytest.approx(float(error[16]), rel=0.05, abs=1e-5)


def test_a_nudged_free_kernel_has_a_larger_squared_error_than_the_first_solution():
    basis = compute_disco_basis(reweightings=0)

    def squared_error(basis: Tensor) -> float:
        return sum(float(form.error_and_size(basis)[0].square().sum()) for form in expected_forms())

    least = squared_error(basis)
    noise = torch.randn(basis.shape, generator=torch.Generator().manual_seed(0)).double()
    noise[:, [0, 3]] = 0
    for step in (1e-3, -1e-3):
        assert squared_error(basis + step * noise) > least


def test_the_basis_does_not_depend_on_the_number_of_threads(ours: Tensor):
    before = torch.get_num_threads()
    solved = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            solved.append(least_error_kernels(ours, REWEIGHTINGS))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*solved)
    torch.testing.assert_close(solved[0], ours, rtol=0, atol=1e-6)
