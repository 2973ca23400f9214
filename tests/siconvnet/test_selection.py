"""Scale selection: what follows an object's place and size, and what does not change with them."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from siconvnet import build_model
from siconvnet.networks import ScaleSelectNetwork
from siconvnet.selection import (
    CanonicalPatch,
    ContrastFloor,
    GaussianJetConv2d,
    ScaleSelection,
    Selection,
    SelectionJitter,
    blur_matrix,
    discrete_gaussian,
    jet_stencils,
)
from siconvnet.testing import assert_shift_equivariant

SIDE = 64


def face(side: int, top: int = 0, left: int = 0, *, canvas: int = SIDE) -> Tensor:
    """A bright disc with two dark eyes and a mouth, its edges smoothed, (1, 1, canvas, canvas)."""
    fine = 8 * side
    y, x = torch.meshgrid(*[(torch.arange(fine) + 0.5) / fine * 2 - 1] * 2, indexing="ij")
    disc = x**2 + y**2 <= 1
    eyes = (x.abs() - 0.4) ** 2 + (y + 0.3) ** 2 <= 0.03
    mouth = (y > 0.35) & (y < 0.55) & (x.abs() < 0.5)
    drawn = F.avg_pool2d((disc & ~eyes & ~mouth).float()[None, None], 8)
    right, bottom = canvas - left - side, canvas - top - side
    return F.pad(drawn, (left, right, top, bottom))


def select(images: Tensor, **options) -> tuple[Tensor, ...]:
    return ScaleSelection(*images.shape[2:], **options)(images)


@pytest.mark.parametrize("side", [17, 20, 29, 37, 48, 60, 64])
def test_an_object_enlarged_from_the_corner_is_selected_at_as_many_times_place_and_scale(side: int):
    small, big = select(face(24)), select(face(side))
    factor = side / 24
    for before, after in zip(small[:2], big[:2], strict=True):
        assert float(after + 0.5) == pytest.approx(factor * float(before + 0.5), rel=0.02)
    assert math.log2(float(big[2] / small[2])) == pytest.approx(math.log2(factor), abs=0.1)


def test_patches_of_a_small_and_a_large_object_look_alike():
    small, large = face(20, 30, 10), face(60, 2, 3)
    patch = CanonicalPatch(32)
    a, b = (patch(x, ScaleSelection(SIDE, SIDE)(x)) for x in (small, large))
    assert float((a - b).square().mean().sqrt()) < 0.06
    assert float(a.square().mean().sqrt()) > 0.4


@pytest.mark.parametrize("shift", [(2, 0), (0, 4), (6, 10), (3, 5)])
def test_a_shift_moves_the_selected_place_by_as_many_pixels(shift: tuple[int, int]):
    still, moved = select(face(20, 14, 18)), select(face(20, 14 + shift[0], 18 + shift[1]))
    assert float(moved[1] - still[1]) == pytest.approx(shift[0], abs=0.1)
    assert float(moved[0] - still[0]) == pytest.approx(shift[1], abs=0.1)
    assert float(moved[2]) == pytest.approx(float(still[2]), rel=0.02)


def test_candidates_are_the_objects_of_an_image_the_most_salient_first():
    two = face(18, 20, 20, canvas=160) + face(30, 100, 90, canvas=160)
    found = select(two, candidates=2)
    places = torch.stack([found[0], found[1]], dim=2)[0]
    assert places.tolist() == [
        [pytest.approx(104.5, abs=1), pytest.approx(114.5, abs=1)],
        [pytest.approx(28.5, abs=1), pytest.approx(28.5, abs=1)],
    ]
    assert float(found[2][0, 0] / found[2][0, 1]) == pytest.approx(30 / 18, rel=0.1)


def test_the_first_of_many_candidates_is_the_only_one_of_one():
    images = torch.rand(3, 2, 40, 48, generator=torch.Generator().manual_seed(1))
    one, many = select(images), select(images, candidates=5)
    for single, several in zip(one, many, strict=True):
        assert torch.equal(single[:, 0], several[:, 0])
    assert bool((many[4].diff(dim=1) <= 0).all())


def test_dark_blobs_are_selected_with_their_sign_unless_only_bright_ones_are_wanted():
    image = 1 - face(30, 20, 20)
    assert float(select(image - 1)[3]) == -1
    bright = ScaleSelection(SIDE, SIDE, bright_only=True)(1 - image)
    assert float(bright[3]) == 1


def test_an_image_with_fewer_blobs_than_candidates_gives_the_others_no_sign():
    found = select(torch.zeros(1, 1, SIDE, SIDE), candidates=3)
    assert found[3].tolist() == [[0, 0, 0]]
    assert all(bool(part.isfinite().all()) for part in found)


@pytest.mark.parametrize("floors", [(0.0,), (0.0, 0.4, 0.8)])
@pytest.mark.parametrize(("gain", "offset"), [(0.3, 0.2), (2.0, -1.0), (-1.0, 1.0), (-0.5, 0.7)])
def test_another_contrast_brightness_or_sign_changes_nothing_that_is_learned_from(
    gain: float, offset: float, floors: tuple[float, ...]
):
    network = ScaleSelectNetwork(1, 5, side=SIDE, floors=floors).eval()
    images = torch.cat([face(20, 10, 30), face(45, 3, 15)])
    patches, _ = network.patches(images)
    changed, _ = network.patches(gain * images + offset)
    torch.testing.assert_close(changed, patches, rtol=0, atol=1e-3)
    assert float(patches.square().mean()) == pytest.approx(1, abs=1e-3)


def blobs(count: int) -> Selection:
    place = torch.linspace(10, 50, 2 * count).view(count, 2)
    return Selection(
        place, place.flip(0), 1 + place / 4, torch.ones(count, 2), torch.ones(count, 2)
    )


def test_jitter_fills_the_range_of_its_moves_evenly_and_moves_nothing_in_evaluation():
    before, jitter = blobs(500), SelectionJitter(place=0.1, octaves=0.2)
    after = jitter(before)
    moves = torch.stack(
        [
            (after.x - before.x) / before.scale / 0.1,
            (after.y - before.y) / before.scale / 0.1,
            (after.scale / before.scale).log2() / 0.2,
        ]
    ).flatten(1)
    eighths = ((moves + 1) * 4).long().clamp(0, 7)
    counts = F.one_hot(eighths, 8).sum(dim=1)
    assert counts.min() >= 115
    assert counts.max() <= 135
    assert float(torch.corrcoef(moves).fill_diagonal_(0).abs().max()) < 0.05
    assert all(torch.equal(a, b) for a, b in zip(after[3:], before[3:], strict=True))
    assert jitter.eval()(before) is before


def test_jitter_goes_on_where_a_saved_one_stood_and_starts_alike_in_every_run():
    first, again = (SelectionJitter(place=0.1, octaves=0.2) for _ in range(2))
    one, two = first(blobs(3)), first(blobs(3))
    assert not bool((one.x == two.x).any())
    assert torch.equal(again(blobs(3)).x, one.x)
    fresh = SelectionJitter(place=0.1, octaves=0.2)
    fresh.load_state_dict(again.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(fresh(blobs(3)), two, strict=True))


def test_a_network_sees_an_object_at_another_place_in_every_step_of_training():
    network = ScaleSelectNetwork(1, 5, side=SIDE)
    image = face(30, 10, 20)
    seen = [network.patches(image)[1] for _ in range(20)]
    still = [network.eval().patches(image)[1] for _ in range(2)]
    assert len({float(moved.x) for moved in seen}) == 20
    assert all(abs(float(moved.x - still[0].x)) <= 0.0701 * float(still[0].scale) for moved in seen)
    assert torch.equal(still[0].x, still[1].x)


@pytest.mark.parametrize("name", ["scale_select", "scale_select_k"])
@pytest.mark.parametrize("fill", [0.0, 0.5])
def test_a_flat_image_gives_finite_logits_and_gradients(name: str, fill: float):
    torch.manual_seed(0)
    model = build_model(name, in_channels=3, num_classes=4)
    images = torch.full((3, 3, SIDE, SIDE), fill)
    images[0] = face(30, 4, 4)[0]
    F.cross_entropy(model(images), torch.tensor([0, 1, 2])).backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)
    assert sum(p.grad is not None for p in model.parameters()) == len([*model.parameters()])


@pytest.mark.parametrize("side", [18, 30, 45])
def test_above_a_floor_an_object_is_selected_as_on_black_in_spite_of_noise_and_fragments(side: int):
    clean = face(side, 6, 12)
    image = clean.clone()
    for top, left in ((54, 3), (3, 54), (54, 54)):
        image[:, :, top : top + 8, left : left + 8] += 0.5
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    image = (image + 0.1 * noise).clamp(0, 1)
    wanted = select(clean)
    found = select(ContrastFloor((0.7,))(image)[:, 0])
    for after, before in zip(found[:2], wanted[:2], strict=True):
        assert float(after) == pytest.approx(float(before), abs=0.05 * side)
    assert float(found[2] / wanted[2]) == pytest.approx(1, abs=0.1)


def test_a_floor_keeps_colours_and_signs_and_follows_the_contrast_of_the_image():
    floor = ContrastFloor((0.0, 0.4))
    image = torch.randn(2, 3, 8, 9, generator=torch.Generator().manual_seed(0))
    views = floor(image)
    assert torch.equal(views[:, 0], image)
    kept = views[:, 1].square().sum(1, keepdim=True) > 0
    assert 0.1 < float(kept.float().mean()) < 0.9
    directions = (F.normalize(x, dim=1).where(kept, 0) for x in (image, views[:, 1]))
    torch.testing.assert_close(*directions)
    torch.testing.assert_close(floor(-3 * image), -3 * views)


def test_a_candidate_that_is_alone_answers_for_all():
    torch.manual_seed(0)
    network = ScaleSelectNetwork(1, 5, side=SIDE, floors=(0.0, 0.5, 0.8)).eval()
    patches = torch.rand(2, 3, 1, 32, 32)
    alone = torch.tensor([[False, True, False], [False, False, True]])
    answer = network.classify(patches, alone)
    same = network.classify(patches[[0, 1], [1, 2]][:, None].expand(-1, 3, -1, -1, -1), ~alone)
    torch.testing.assert_close(answer, same)


def test_several_candidates_answer_with_the_logarithm_of_probabilities():
    torch.manual_seed(0)
    model = build_model("scale_select_k", in_channels=1, num_classes=7)
    answer = model(torch.rand(4, 1, SIDE, SIDE))
    torch.testing.assert_close(answer.exp().sum(dim=1), torch.ones(4))


def test_the_model_has_about_as_many_parameters_as_pixel_pool():
    counts = [
        sum(p.numel() for p in build_model(name, in_channels=1, num_classes=36).parameters())
        for name in ("scale_select", "pixel_pool")
    ]
    assert counts[0] == pytest.approx(counts[1], rel=0.1)


def test_the_discrete_gaussian_has_the_variance_that_it_is_asked_for():
    for variance in (0.2, 0.49, 1.0, 4.0, 30.0):
        kernel = discrete_gaussian(variance)
        place = torch.arange(len(kernel)) - len(kernel) // 2
        assert float(kernel.sum()) == pytest.approx(1)
        assert float((kernel * place**2).sum()) == pytest.approx(variance, rel=0.02)
    middle = len(discrete_gaussian(0.49)) // 2
    around = discrete_gaussian(0.49)[middle - 1 : middle + 2].tolist()
    assert around == pytest.approx([0.1546, 0.6498, 0.1546], abs=0.0005)  # exp(-t) I_n(t)


def test_blurring_keeps_a_flat_axis_flat_and_centres_what_it_keeps():
    for side, step in ((32, 1), (32, 2), (15, 2), (9, 3)):
        matrix = blur_matrix(side, 1.0, step)
        torch.testing.assert_close(matrix.sum(dim=1), torch.ones(len(matrix), dtype=torch.float64))
        torch.testing.assert_close(matrix, matrix.flip(0, 1))


def test_jets_are_exact_for_polynomials_of_degree_two():
    y, x = torch.meshgrid(*[torch.arange(-1.0, 2.0, dtype=torch.float64)] * 2, indexing="ij")
    surface = 2 + 3 * x - 5 * y + 7 * x**2 / 2 + 11 * x * y + 13 * y**2 / 2
    s = 0.7
    expected = [2, 3 * s, -5 * s, 7 * s**2, 11 * s**2, 13 * s**2]
    assert (jet_stencils(s) * surface).sum((1, 2)).tolist() == pytest.approx(expected)


def test_a_jet_without_steps_is_shift_equivariant():
    torch.manual_seed(0)
    layer = GaussianJetConv2d(1, 4, side=SIDE, sigma=1.0)
    assert_shift_equivariant(layer, tolerance=1e-5)


def test_patches_of_objects_moved_and_enlarged_pass_the_assertion_of_scale_equivariance():
    """What the jets see of an object twice the size is the same, so that what they answer is."""
    torch.manual_seed(0)
    network = ScaleSelectNetwork(1, 5, side=SIDE).eval()
    small, _ = network.patches(face(20, 20, 20))
    large, _ = network.patches(face(40, 12, 8))
    with torch.no_grad():
        maps = [network.jets(patches.flatten(0, 1)) for patches in (small, large)]
    assert float((maps[0] - maps[1]).square().mean() / maps[0].square().mean()) < 0.02


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ScaleSelection(4, 64), r"at least 6 x 6 pixels.*got 4 x 64"),
        (lambda: ScaleSelection(64, 64, candidates=0), r"at least 1; got 0"),
        (lambda: ContrastFloor(()), r"at least one, each from 0 to below 1; got \(\)"),
        (lambda: ContrastFloor((0.2, 1.0)), r"from 0 to below 1; got \(0.2, 1.0\)"),
        (lambda: SelectionJitter(place=-1, octaves=0), r"0 or more; got place -1 and octaves 0"),
        (lambda: CanonicalPatch(1), r"at least 2 samples.*got side 1"),
        (lambda: GaussianJetConv2d(1, 1, side=8, sigma=0), r"positive sigma.*sigma 0"),
        (
            lambda: ScaleSelection(64, 64)(torch.zeros(1, 1, 32, 64)),
            r"\(N, C, 64, 64\); got shape \(1, 1, 32, 64\)",
        ),
        (
            lambda: GaussianJetConv2d(2, 1, side=8, sigma=1.0)(torch.zeros(1, 1, 8, 8)),
            r"\(N, 2, 8, 8\); got shape \(1, 1, 8, 8\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(make, message: str):
    with pytest.raises(ValueError, match=message):
        make()
