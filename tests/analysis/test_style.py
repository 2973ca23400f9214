import pytest

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
    from matplotlib.colors import to_rgb

    def luminance(rgb):
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    for look in MODELS.values():
        low, high = sorted([luminance(to_rgb(look.colour)), luminance(background)])
        assert (high + 0.05) / (low + 0.05) > 2
