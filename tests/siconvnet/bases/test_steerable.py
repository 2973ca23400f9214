import pytest

from siconvnet.bases import steerable_basis


@pytest.mark.parametrize("name", ["hermite", "disco"])
def test_changing_a_basis_leaves_the_next_answer_alone(name: str):
    steerable_basis(name).zero_()
    assert steerable_basis(name).abs().sum() > 0


@pytest.mark.parametrize("kernel_size", [0, 4, 17])
def test_a_kernel_size_without_a_basis_is_refused(kernel_size: int):
    with pytest.raises(ValueError, match=rf"odd and at most 15.* got {kernel_size}"):
        steerable_basis("hermite", kernel_size)


@pytest.mark.parametrize("kernel_size", [3, 11, 15])
def test_disco_has_a_basis_for_seven_pixels_only(kernel_size: int):
    with pytest.raises(ValueError, match=rf"must be 7.* got {kernel_size}"):
        steerable_basis("disco", kernel_size)


def test_an_unknown_basis_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"hermite.*disco.*got 'fourier'"):
        steerable_basis("fourier")
