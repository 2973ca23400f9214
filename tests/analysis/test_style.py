from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from analysis.style import MODELS, model_styles, ordered


def test_every_model_of_the_paper_has_a_look_of_its_own():
    looks = [(look.colour, look.marker, str(look.dash)) for look in MODELS.values()]
    assert len(set(looks)) == len(MODELS)
    assert len({look.colour for look in MODELS.values()}) == len(MODELS)


def test_a_users_own_model_gets_a_look_that_no_published_model_has():
    own = model_styles(["mine", "standard"])["mine"]
    assert own.name == "mine"
    assert own.colour not in {look.colour for look in MODELS.values()}
    assert own.marker not in {look.marker for look in MODELS.values()}


def test_an_own_models_look_does_not_depend_on_the_order_or_on_published_models():
    alone = model_styles(["mine"])["mine"]
    assert model_styles(["xu", "mine", "disco"])["mine"] == alone


def test_twenty_own_models_are_all_kept_and_all_differ():
    names = [f"model{i}" for i in range(20)]
    styles = model_styles(names)
    assert sorted(styles) == sorted(names)
    assert len({(look.colour, look.marker) for look in styles.values()}) == 20


def test_two_ways_of_running_a_model_share_its_colour_and_differ_in_dash():
    styles = model_styles(["hermite k=7", "hermite k=11"])
    small, large = styles["hermite k=7"], styles["hermite k=11"]
    assert (small.name, large.name) == ("Hermite k=7", "Hermite k=11")
    assert small.colour == large.colour == MODELS["hermite"].colour
    assert small.dash != large.dash


def test_models_stand_in_the_order_of_the_papers_table_and_own_ones_last():
    assert ordered(["abc", "disco", "standard", "disco"], MODELS) == ["standard", "disco", "abc"]


@pytest.mark.parametrize("background", [(1, 1, 1), (0.086, 0.09, 0.106)])
def test_model_colours_stand_out_from_white_and_from_dark_pages(background):
    def luminance(rgb):
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    for look in MODELS.values():
        low, high = sorted([luminance(to_rgb(look.colour)), luminance(background)])
        assert (high + 0.05) / (low + 0.05) > 2


def apart(one: str, two: str) -> float:
    """How far two colours lie apart in OKLab (Ottosson 2020), where 0.02 is just noticeable."""

    def oklab(colour: str) -> np.ndarray:
        rgb = np.array(to_rgb(colour))
        light = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        cones = [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
        lab = [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
        return np.array(lab) @ np.cbrt(np.array(cones) @ light)

    return float(np.linalg.norm(oklab(one) - oklab(two)))


def test_no_colour_of_an_own_model_is_near_one_that_ships_or_another_own_one():
    own = {look.colour for look in model_styles(f"model{i}" for i in range(28)).values()}
    assert len(own) == 7
    shipped = {look.colour for look in MODELS.values()}
    for one in own:
        assert min(apart(one, other) for other in (shipped | own) - {one}) > 0.1
    for one, two in combinations(sorted(shipped), 2):
        assert apart(one, two) > 0.09


def test_two_models_never_print_alike():
    names = [look.name for look in model_styles(["xu", "Xu", "disco"]).values()]
    assert names == ["Xu", "DISCO", "Xu (Xu)"]
