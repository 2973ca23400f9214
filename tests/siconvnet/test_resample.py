"""Resize matrices and the framed zoom."""

import math

import pytest
import torch
from torch.nn import functional as F

from siconvnet.resample import (
    INTERPOLATIONS,
    kernel_sides,
    max_num_scales,
    resize_matrix,
    zoom,
    zoom_matrix,
)


@pytest.mark.parametrize("side", [7, 9, 15, 29])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_the_matrix_resizes_a_kernel_as_interpolate_does(interpolation: str, side: int):
    torch.manual_seed(0)
    kernel = torch.randn(1, 1, 7, 7, dtype=torch.float64)
    matrix = resize_matrix(7, side, interpolation, torch.float64)
    expected = F.interpolate(kernel, size=(side, side), mode=interpolation)
    torch.testing.assert_close(matrix @ kernel @ matrix.T, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("kernel_size", "side"), [(3, 5), (7, 9), (7, 13), (3, 9)])
def test_area_averages_what_a_target_cell_covers_of_the_source(kernel_size: int, side: int):
    torch.manual_seed(0)
    cells = torch.randn(kernel_size, dtype=torch.float64)
    fine = cells.repeat_interleave(side)  # each source cell in `side` equal pieces
    expected = fine.reshape(side, kernel_size).mean(dim=1)
    answer = resize_matrix(kernel_size, side, "area", torch.float64) @ cells
    torch.testing.assert_close(answer, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_a_flat_kernel_stays_flat(interpolation: str):
    rows = resize_matrix(7, 19, interpolation, torch.float64).sum(dim=1)
    torch.testing.assert_close(rows, torch.ones(19, dtype=torch.float64), rtol=0, atol=1e-14)


def test_a_matrix_made_in_inference_mode_can_be_trained_through():
    with torch.inference_mode():
        resize_matrix(5, 21, "bicubic")
    kernel = torch.ones(5, requires_grad=True)
    (resize_matrix(5, 21, "bicubic") @ kernel).sum().backward()
    assert kernel.grad is not None


def test_an_unknown_interpolation_is_refused():
    with pytest.raises(ValueError, match=r"must be one of nearest, .*; got 'cubic'\."):
        resize_matrix(7, 9, "cubic")


def test_a_kernel_cannot_shrink():
    with pytest.raises(ValueError, match=r"got side 5 for a kernel of 7, 7 or more"):
        resize_matrix(7, 5, "bicubic")


@pytest.mark.parametrize(("height", "width"), [(64, 64), (8, 30), (7, 7), (6, 9)])
def test_as_many_scales_are_allowed_as_fit(height: int, width: int):
    number = max_num_scales(height, width, 7)
    assert all(side <= min(height, width) for side in kernel_sides(7, number))
    assert kernel_sides(7, number + 1)[-1] > min(height, width)


@pytest.mark.parametrize("factor", [1.26**exponent for exponent in range(-3, 4)])
def test_zooming_is_a_product_with_matrices(factor: float):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 20, 13, dtype=torch.float64)
    rows, columns = (zoom_matrix(size, factor, x.dtype, x.device) for size in x.shape[2:])
    torch.testing.assert_close(rows @ x @ columns.T, zoom(x, factor), rtol=0, atol=1e-14)


def test_an_odd_row_of_zeros_goes_below_what_shrank_and_an_odd_row_is_cut_above_what_grew():
    x = torch.ones(1, 1, 8, 8)
    shrunk, grown = zoom(x, 0.7), zoom_matrix(8, 1.2, torch.float64, torch.device("cpu"))
    lit = shrunk[0, 0].ne(0).any(dim=1).tolist()
    assert lit == [False] + 5 * [True] + 2 * [False]
    first, last = grown.argmax(dim=1)[0], grown.argmax(dim=1)[-1]
    assert (int(first), int(last)) == (1, 7)
    assert math.floor(8 * 1.2) == 9
