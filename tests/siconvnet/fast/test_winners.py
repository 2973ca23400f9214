"""The pieces that the fast forms are made of."""

import pytest
import torch
from torch.nn import functional as F

from siconvnet.fast.fourier import spectral_answers
from siconvnet.fast.winners import first_largest, scaled_peak, unravel, windows


@pytest.mark.parametrize("shape", [(7, 7), (8, 11), (13, 10), (16, 16)])
@pytest.mark.parametrize("side", [1, 3, 6, 7])
def test_the_frequency_domain_answers_as_a_convolution_does(side: int, shape: tuple[int, int]):
    torch.manual_seed(0)
    x = torch.randn(2, 3, *shape, dtype=torch.float64)
    kernels = torch.randn(4, 3, side, side, dtype=torch.float64)
    expected = F.conv2d(x, kernels).permute(2, 3, 0, 1)
    found = spectral_answers(x[:, :, None], kernels[None])[:, :, 0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_several_scales_have_kernels_of_their_own():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 9, 8, dtype=torch.float64)
    kernels = torch.randn(4, 5, 3, 3, 3, dtype=torch.float64)
    for scale in range(4):
        expected = F.conv2d(x[:, :, scale], kernels[scale]).permute(2, 3, 0, 1)
        found = spectral_answers(x, kernels)[:, :, scale]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_a_transforms_error_is_far_below_what_counts_as_a_tie():
    torch.manual_seed(0)
    x, kernels = torch.rand(4, 16, 50, 50), torch.randn(8, 16, 15, 15)
    expected = F.conv2d(x.double(), kernels.double()).permute(2, 3, 0, 1)
    found = spectral_answers(x[:, :, None], kernels[None])[:, :, 0]
    error = (found - expected).abs().max() / expected.abs().max()
    assert error < 16 * torch.finfo(torch.float32).eps


def test_of_answers_that_tie_up_to_rounding_the_first_scale_row_and_column_win():
    small, large = torch.zeros(3, 4, 1, 1, 1), torch.zeros(3, 4, 1, 1, 1)
    small[1, 2] = small[2, 0] = 1.0
    small[1, 3] = 1 + 1e-6
    large[0, 0] = 1 + 2e-6
    assert [int(place) for place in first_largest([small, large])[:3]] == [0, 1, 2]


def test_an_answer_that_is_larger_by_more_than_rounding_wins_wherever_it_is():
    small, large = torch.ones(3, 4, 1, 1, 1), torch.ones(3, 4, 1, 1, 1)
    large[2, 3] = 1.001
    assert [int(place) for place in first_largest([small, large])[:3]] == [1, 2, 3]


def test_answers_that_are_all_negative_have_a_largest_one():
    answer = -torch.arange(1.0, 13.0).reshape(3, 4, 1, 1, 1).flip(0)
    assert [int(place) for place in first_largest([answer])[:3]] == [0, 2, 0]


def test_places_are_counted_as_the_flattened_axes_count_them():
    flat = torch.arange(24).reshape(4, 6)
    places = unravel(flat, (2, 3, 4))
    assert torch.equal(places[0] * 12 + places[1] * 4 + places[2], flat)


def test_a_window_is_the_slice_of_the_image_at_its_corner():
    x = torch.arange(2 * 3 * 5 * 6.0).reshape(2, 3, 5, 6)
    row, column = torch.tensor([[1], [2]]), torch.tensor([[3], [0]])
    seen = windows(x, (row, column), (3, 3))
    assert torch.equal(seen[0, 0], x[0, :, 1:4, 3:6].flatten())
    assert torch.equal(seen[1, 0], x[1, :, 2:5, 0:3].flatten())


@pytest.mark.parametrize("corner", [(0, 0), (5, 2), (2, 6)])
def test_a_window_beyond_the_edge_sees_the_zeros_of_the_padding(corner: tuple[int, int]):
    x = torch.rand(1, 2, 3, 5, 6) + 1
    place = [torch.tensor([[number]]) for number in (1, *corner)]
    seen = windows(x, place, (1, 3, 3), padding=2)
    framed = F.pad(x[0, :, 1], (2, 2, 2, 2))
    row, column = corner
    expected = framed[:, row : row + 3, column : column + 3]
    assert torch.equal(seen[0, 0], expected.flatten())


def test_the_gradient_of_a_flat_background_goes_to_the_first_of_its_places():
    x = torch.ones(1, 1, 2, 9, 9, dtype=torch.float64, requires_grad=True)
    kernels = torch.ones(2, 1, 1, 7, 7, dtype=torch.float64)
    scaled_peak(x, kernels, None, margins=(0, 0)).sum().backward()
    expected = torch.zeros_like(x)
    expected[:, :, 0, :7, :7] = 1
    assert x.grad is not None
    assert torch.equal(x.grad, expected)


def test_a_callers_precision_settings_are_restored_after_a_search():
    before = torch.backends.cudnn.conv.fp32_precision
    scaled_peak(torch.ones(1, 1, 1, 9, 9), torch.ones(1, 1, 1, 7, 7), None, margins=(0,))
    assert torch.backends.cudnn.conv.fp32_precision == before
