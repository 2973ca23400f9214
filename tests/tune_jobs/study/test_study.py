import copy
import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_jobs.errors import TuneJobsError
from tune_jobs.point import OpenPoint, Recipe, cell_of
from tune_jobs.study.file import load_study, parse_study
from tune_jobs.study.study import Resources, Study

GOOD = {
    "name": "mine",
    "axes": {
        "model": ["standard", "pixel_pool"],
        "dataset": "emoji",
        "scenario": [1, 2],
        "kernel_size": 7,
        "interpolation": ["bicubic", "area"],
        "lr": "1e-3",
        "seed": {"from": 3, "to": 5},
    },
}

RATES = {
    "name": "rates",
    "axes": {"lr": [0.01, 0.001], "seed": {"from": 1, "to": 2}},
    "select": "robust",
}
SEEDS = {"name": "seeds", "axes": {"lr": "chosen", "seed": {"from": 1, "to": 3}}}
SHARED = {
    "model": "standard",
    "dataset": "emoji",
    "scenario": 2,
    "kernel_size": 7,
    "interpolation": None,
}
TWO_PHASES = {"name": "mine", "axes": SHARED, "phases": [RATES, SEEDS]}
SEARCH = {
    "name": "mine",
    "axes": SHARED
    | {
        "model": {"choice": ["standard", "xu"]},
        "lr": {"loguniform": ["1e-4", 0.1]},
        "seed": {"randint": [1, 9]},
    },
    "recipe": {"max_epochs": 20, "batch_size": {"quniform": [8, 32, 8]}},
    "search": {"trials": 9, "rng": 1, "sampler": "random", "asha": {"grace_epochs": 2}},
}
UNEVEN = [{"lr": 0.01, "seed": 1}, {"lr": 0.001, "seed": [1, 2]}]


def with_phases(*phases: dict) -> dict:
    return TWO_PHASES | {"phases": list(phases)}


def with_axis(**axes) -> dict:
    return GOOD | {"axes": GOOD["axes"] | axes}


def test_axes_are_crossed_in_order_with_the_seed_turning_fastest():
    points = parse_study(GOOD, where="x.yaml").points
    assert [(p.model, p.scenario, p.seed) for p in points[:4]] == [
        ("standard", 1, 3),
        ("standard", 1, 4),
        ("standard", 1, 5),
        ("standard", 2, 3),
    ]
    assert points[0].lr == 0.001  # YAML reads 1e-3 as text


def test_a_model_that_does_not_enlarge_kernels_is_not_trained_once_per_interpolation():
    points = parse_study(GOOD, where="x.yaml").points
    assert [p.interpolation for p in points if p.model == "standard"] == [None] * 6
    pooled = [p for p in points if p.model == "pixel_pool"]
    assert len(pooled) == 12
    assert {p.interpolation for p in pooled} == {"bicubic", "area"}


def test_without_a_recipe_the_published_protocol_is_followed():
    study = parse_study(GOOD, where="x.yaml")
    assert study.recipe == Recipe(max_epochs=200, patience=10, batch_size=16)
    assert study.resources == Resources(cpus=1, gpus=0.0)


def test_groups_complete_the_axes_and_run_in_their_order_each_point_once():
    groups = [{"scenario": 2, "seed": 1}, {"model": "xu", "seed": [1, 2]}, {"seed": 1}]
    axes = SHARED | {"model": ["standard", "xu"], "scenario": [1, 2], "lr": 0.001}
    study = parse_study({"name": "mine", "axes": axes, "groups": groups}, where="x.yaml")
    assert [(p.model, p.scenario, p.seed) for p in study.points] == [
        *[("standard", 2, 1), ("xu", 2, 1)],
        *[("xu", 1, 1), ("xu", 1, 2), ("xu", 2, 2)],
        ("standard", 1, 1),
    ]


def test_a_later_phase_runs_at_the_rate_that_an_earlier_one_chooses():
    rates, seeds = parse_study(TWO_PHASES, where="x.yaml").phases
    assert (rates.name, rates.select) == ("rates", "robust")
    assert [(p.lr, p.seed) for p in rates.points] == [(0.01, 1), (0.01, 2), (0.001, 1), (0.001, 2)]
    assert (seeds.name, seeds.select) == ("seeds", None)
    cell = cell_of(rates.points[0])
    assert seeds.points == tuple(OpenPoint(cell, seed) for seed in (1, 2, 3))


def test_emoji_starts_with_one_seed_of_every_model_on_the_middle_scales():
    points = load_study("emoji").points
    assert len(points) == 99
    assert len({p.model for p in points}) == 11
    assert [(p.scenario, p.seed) for p in points[:11]] == [(2, 1)] * 11
    assert {(p.scenario, p.seed) for p in points[11:33]} == {(2, 2), (2, 3)}
    assert {p.scenario for p in points[33:]} == {1, 3}
    assert {(p.dataset, p.lr) for p in points} == {("emoji", 0.001)}


def test_paper_is_the_published_protocol():
    rates, seeds = load_study("paper").phases
    assert (len(rates.points), rates.select) == (1760, "paper")
    assert {p.lr for p in rates.points} == {0.01, 0.001}
    assert len({cell_of(p) for p in rates.points}) == 11 * 4 * 4
    counts = Counter(cell_of(p).dataset for p in seeds.points)
    assert counts == {"emoji": 2200, "mnist": 1100, "trafficsign": 1100, "aerial": 1100}
    assert load_study("paper").recipe == Recipe()


def test_the_demo_is_cheap_models_on_two_seeds_with_a_shortened_recipe():
    study = load_study("demo")
    assert {(p.dataset, p.scenario, p.lr) for p in study.points} == {("emoji", 2, 0.001)}
    assert {p.seed for p in study.points} == {1, 2}
    assert study.recipe.max_epochs < Recipe().max_epochs


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "the file must be a mapping with the keys name, imports, axes, .*; got None"),
        (GOOD | {"recip": {}}, "the file has no key 'recip'. Did you mean 'recipe'?"),
        (GOOD | {"name": 3}, "name must be a word of letters, digits, - and _ .*; got 3"),
        (GOOD | {"name": "../up"}, "name must be a word of letters"),
        ({"name": "x"}, "axes must be a mapping"),
        (with_axis(sede=1), "axes has no key 'sede'. Did you mean 'seed'?"),
        ({"name": "x", "axes": {"model": "standard"}}, "axes must give every axis; missing: data"),
        (with_axis(model="pixelpool"), "No model is called 'pixelpool'. Did you mean 'pixel_pool'"),
        (with_axis(dataset="emojis"), "No dataset is called 'emojis'. Did you mean 'emoji'?"),
        (with_axis(scenario=5), "scenario must be one of 1 Small2Large, 2 Mid2Rest, .*; got 5"),
        (with_axis(scenario=True), "scenario must be one of"),
        (with_axis(kernel_size=8), "kernel_size must be odd and from 3 to 15 pixels; got 8"),
        (with_axis(interpolation="cubic"), "No interpolation is called 'cubic'. Did you mean 'bic"),
        (with_axis(lr=0), "lr must be a number above 0; got 0"),
        (with_axis(lr="fast"), "lr must be a number above 0; got 'fast'"),
        (with_axis(lr=float("nan")), "lr must be a number above 0; got nan"),
        (with_axis(seed=-1), "seed must be a whole number"),
        (with_axis(seed=[]), "axes.seed must have at least one value"),
        (with_axis(seed={"from": 5, "to": 1}), "axes.seed must be a range {from: 1, to: 5}"),
        (with_axis(seed={"form": 1, "to": 2}), "axes.seed has no key 'form'. Did you mean 'from'"),
        (
            with_axis(seed={"from": 0, "to": 90_000}),
            "A study must give at most 200,000 points; got 720,008 up to axes",
        ),
        (GOOD | {"groups": []}, "groups must be a list of mappings .*; got \\[\\]"),
        (GOOD | {"groups": [{"sed": 1}]}, r"groups\[1\] has no key 'sed'. Did you mean 'seed'"),
        (GOOD | {"groups": [{"seed": -1}]}, "seed must be a whole number"),
        (with_axis(lr="chosen"), "lr can be 'chosen' only after a phase .*; standard emoji s1"),
        (TWO_PHASES | {"groups": [{"seed": 1}]}, "groups must stand in the phases"),
        (with_phases(), "phases must be a list of phases; got \\[\\]"),
        (with_phases(RATES | {"nmae": 1}), r"phases\[1\] has no key 'nmae'. Did you mean 'name'"),
        (with_phases(RATES | {"name": None}), r"phases\[1\].name must be a word"),
        (
            with_phases(RATES | {"select": "best"}),
            r"phases\[1\].select must name a rule; got 'best'",
        ),
        (with_phases(RATES, RATES), "phases must each have a name of its own; got rates, rates"),
        (with_phases(RATES | {"select": None}, SEEDS), "lr can be 'chosen' only after a phase"),
        (
            with_phases(RATES, SEEDS | {"axes": {"lr": "chosen", "scenario": 4, "seed": 1}}),
            "lr can",
        ),
        (
            with_phases(RATES, SEEDS | {"select": "paper"}),
            r"phases\[2\] must give learning rates as",
        ),
        (
            with_phases({"name": "a", "select": "paper", "groups": UNEVEN}),
            r"phases\[1\] must have the same seeds at each .*; standard emoji s2 has not",
        ),
        (GOOD | {"recipe": {"max_epoch": 3}}, "recipe has no key 'max_epoch'. Did you mean 'max_"),
        (GOOD | {"recipe": {"patience": 0}}, "recipe.patience must be a whole number from 1; got"),
        (GOOD | {"recipe": {"batch_size": 1.5}}, "recipe.batch_size must be a whole number"),
        (
            GOOD | {"recipe": {"on_divergence": "stpo"}},
            "recipe.on_divergence must say .*, fail or stop; got 'stpo'. Did you mean 'stop'",
        ),
        (GOOD | {"recipe": {"on_divergence": False}}, "recipe.on_divergence must say .*got False"),
        (GOOD | {"resources": {"cpus": 0}}, "resources.cpus must be a whole number from 1; got 0"),
        (GOOD | {"resources": {"gpus": 1.5}}, "resources.gpus must be a share of a GPU"),
    ],
)
def test_a_bad_study_is_refused_with_file_key_and_remedy(content: object, message: str):
    with pytest.raises(TuneJobsError, match=f"^x.yaml: {message}"):
        parse_study(content, where="x.yaml")


ALMOST_ALL = {"from": 1, "to": 199_999}


@pytest.mark.parametrize(
    "content",
    [
        {
            "name": "x",
            "axes": SHARED | {"lr": 0.1},
            "groups": [{"seed": 1}, {"seed": 1, "lr": 0.2}, {"seed": ALMOST_ALL}],
        },
        with_phases(RATES, {"name": "next", "axes": {"lr": 0.1, "seed": ALMOST_ALL}}),
        with_phases(
            RATES,
            {"name": "next", "groups": [{"lr": [0.1, 0.1], "seed": {"from": 0, "to": 99_999}}]},
        ),
    ],
    ids=["groups", "phases", "a group of a later phase"],
)
def test_the_points_of_a_whole_study_are_counted_before_they_are_made(content: dict):
    with pytest.raises(TuneJobsError, match="A study must give at most 200,000 points; got"):
        parse_study(content, where="x.yaml")


def test_a_file_that_is_not_yaml_is_named(tmp_path: Path):
    path = tmp_path / "broken.yaml"
    path.write_text("axes: [1, 2")
    with pytest.raises(TuneJobsError, match=r"broken.yaml: a study must be valid YAML"):
        load_study(str(path))


def test_yaml_tags_that_would_run_code_are_refused(tmp_path: Path):
    path = tmp_path / "evil.yaml"
    path.write_text("name: !!python/object/apply:os.getcwd []")
    with pytest.raises(TuneJobsError, match="must be valid YAML"):
        load_study(str(path))


def test_a_misspelt_study_names_the_nearest_one():
    with pytest.raises(TuneJobsError, match=r"No study is called 'dmeo'\. Did you mean 'demo'\?"):
        load_study("dmeo")


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["chosen", "lr", "seed", "paper", "emoji", ".npz", "1e-3", 10**5000]),
    st.sampled_from([{"uniform": [0, 1]}, {"choice": [None]}, {"randint": [3, 2**70]}, {}]),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.sampled_from(["from", "to", "lr", "name"]), st.integers(), max_size=2),
)


def places(content: object) -> list[tuple[dict | list, object]]:
    """Every container of a document with every key into it."""
    if isinstance(content, dict):
        keys = list(content)
    elif isinstance(content, list):
        keys = list(range(len(content)))
    else:
        return []
    below = [place for key in keys for place in places(content[key])]
    return [(content, key) for key in keys] + below


def refused(read: Callable[[], Study]) -> str | None:
    """Why a study is refused; None if it is a study, which then has points."""
    try:
        study = read()
    except TuneJobsError as error:
        return str(error)
    assert study.search or study.phases
    assert all(phase.points for phase in study.phases)
    return None


GRID = TWO_PHASES | {"recipe": {"patience": 3}, "resources": {"cpus": 2}}


@pytest.mark.parametrize("good", [GRID, SEARCH], ids=["grid", "search"])
@settings(max_examples=300, deadline=None)
@given(junk=JUNK, seed=st.integers(0, 2**16), how=st.sampled_from(["replace", "drop", "add"]))
def test_a_malformed_study_is_read_as_a_study_or_refused_in_a_sentence(
    good: dict, junk: object, seed: int, how: str
):
    content = copy.deepcopy(good)
    holder, key = random.Random(seed).choice(places(content))
    if how == "drop":
        del holder[key]  # pyright: ignore[reportArgumentType]
    elif how == "add" and isinstance(holder, dict):
        holder[str(junk)[:10] if not isinstance(junk, int) else 0] = junk
    else:
        holder[key] = junk  # pyright: ignore
    refusal = refused(lambda: parse_study(content, where="x.yaml"))
    assert refusal is None or re.fullmatch(r"x\.yaml: .+", refusal)


@settings(max_examples=100, deadline=None)
@given(cut=st.integers(0, 2000), junk=st.binary(max_size=6))
def test_a_file_with_bytes_overwritten_is_read_or_refused(
    cut: int, junk: bytes, tmp_path_factory: pytest.TempPathFactory
):
    text = yaml.safe_dump([TWO_PHASES, SEARCH][cut % 2]).encode()
    path = tmp_path_factory.getbasetemp() / "spoilt.yaml"
    path.write_bytes(text[: cut % len(text)] + junk + text[cut % len(text) + len(junk) :])
    refusal = refused(lambda: load_study(str(path)))
    assert refusal is None or re.fullmatch(re.escape(f"{path}: ") + ".+", refusal)
