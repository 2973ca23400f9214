import numpy as np
import pytest

from stir import schema
from stir.sources import clutter, emoji
from stir.terminal import silent


@pytest.fixture(scope="module")
def pair():
    """The arrays of emoji and of emoji-clutter, three classes of each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(emoji, "ICONS", emoji.ICONS[:3])
        yield emoji.make(silent), clutter.make(silent)


def test_the_same_objects_lie_at_the_same_places_as_in_emoji(pair):
    plain, cluttered = pair
    for name in ("psts", "scls", "lbls", "lbldata"):
        assert np.array_equal(cluttered[name], plain[name])
    inside = plain["imgs"] == 255
    assert inside.any(axis=(-1, -2)).all()
    assert (cluttered["imgs"][inside] == 255).all()


def test_an_object_is_laid_over_its_ground_by_its_coverage(pair):
    plain, cluttered = pair
    assert (cluttered["imgs"] >= plain["imgs"]).all()


def test_a_background_is_nowhere_black_and_differs_between_images(pair):
    _, cluttered = pair
    assert cluttered["imgs"].min() >= clutter.DARKEST
    corners = cluttered["imgs"][..., :2, :2].reshape(-1, 4)
    assert len(np.unique(corners, axis=0)) > len(corners) / 2


def test_the_same_seed_draws_the_same_backgrounds_and_another_seed_others(pair, monkeypatch):
    _, cluttered = pair
    monkeypatch.setattr(emoji, "ICONS", emoji.ICONS[:3])
    assert np.array_equal(clutter.make(silent)["imgs"], cluttered["imgs"])
    assert not np.array_equal(clutter.make(silent, seed=7)["imgs"], cluttered["imgs"])


def test_noise_has_no_mean_unit_spread_and_as_much_power_in_each_octave():
    rng = np.random.RandomState(0)
    noises = np.stack([clutter.pink_noise(rng) for _ in range(50)])
    assert noises.mean((1, 2)) == pytest.approx(0, abs=1e-12)
    assert noises.std((1, 2)) == pytest.approx(1)
    power = (np.abs(np.fft.fft2(noises)) ** 2).mean(0)
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(64)] * 2))
    low, high = (power[(frequency >= f) & (frequency < 2 * f)].sum() for f in (1 / 32, 1 / 8))
    assert low / high == pytest.approx(1, abs=0.15)


def test_the_dataset_passes_the_check_and_says_it_is_not_of_the_benchmark(tmp_path):
    from stir import STIRDataset
    from stir.build import build

    path = build("emoji-clutter", out_dir=tmp_path)
    assert schema.check(path) == []
    dataset = STIRDataset(path)
    assert dataset.name == "emoji-clutter"
    assert "not part of the benchmark" in dataset.metadata["title"]
    assert dataset.metadata["license"].startswith("CC BY 4.0 modified from Font Awesome")
