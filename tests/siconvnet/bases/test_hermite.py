from pathlib import Path

import numpy as np
import pytest
import torch

from siconvnet.bases import steerable_basis

GOLDEN = Path(__file__).parents[2] / "golden"


def test_the_hermite_basis_is_the_published_one():
    published = np.load(GOLDEN / "hermite-basis.npz")["basis"]
    assert np.abs(steerable_basis("hermite", 7).numpy() - published).max() < 5e-7


@pytest.mark.parametrize("kernel_size", [3, 5, 7, 9, 11, 13, 15])
def test_no_hermite_function_outweighs_the_others_by_more_than_ten(kernel_size: int):
    norms = steerable_basis("hermite", kernel_size).square().sum((2, 3)).sqrt()
    assert torch.isfinite(norms).all()
    assert norms.max() <= 10


def test_hermite_functions_have_norm_one_at_the_smallest_scale():
    norms = steerable_basis("hermite", 7)[:, 0].square().sum((1, 2)).sqrt()
    torch.testing.assert_close(norms, torch.ones(49))


def test_small_scales_of_the_hermite_basis_have_the_margins_that_may_be_cropped():
    basis = steerable_basis("hermite", 7)
    for scale, margin in enumerate([4, 3, 2, 0]):
        inside = basis[:, scale, margin : 15 - margin, margin : 15 - margin]
        assert inside.count_nonzero() == basis[:, scale].count_nonzero()
        assert inside[:, 0].abs().sum() > 0
