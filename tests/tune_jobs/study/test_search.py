"""The keys of a study file that has a search; ``test_study`` has those of every study."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from tune_jobs.errors import TuneJobsError
from tune_jobs.point import Recipe
from tune_jobs.study.distributions import KINDS
from tune_jobs.study.file import load_study, parse_study
from tune_jobs.study.search import Asha, Search

SEARCH = {
    "name": "wide",
    "axes": {
        "model": {"choice": ["standard", "pixel_pool"]},
        "dataset": "emoji",
        "scenario": 2,
        "kernel_size": {"choice": [3, 7]},
        "interpolation": {"choice": ["bicubic", "area"]},
        "lr": {"loguniform": ["1e-4", 0.1]},
        "seed": {"randint": [1, 50]},
    },
    "recipe": {"max_epochs": 40, "batch_size": {"quniform": [8, 32, 8]}},
    "search": {"trials": 12, "rng": 3, "asha": {"grace_epochs": 4}},
}


def with_axis(**axes) -> dict:
    return SEARCH | {"axes": SEARCH["axes"] | axes}


def with_search(**keys) -> dict:
    return SEARCH | {"search": SEARCH["search"] | keys}


def parsed(content: object = SEARCH) -> Search:
    search = parse_study(content, where="x.yaml").search
    assert search is not None
    return search


def test_bars_of_a_search_say_what_is_drawn_in_four_digits():
    search = parsed()
    values = {"model": "pixel_pool", "kernel_size": 7, "interpolation": "area", "seed": 4}
    point, _ = search.space.at(values | {"lr": 0.012345678901234, "batch_size": 16})
    assert search.space.short_name(f"{point.label} batch_size=16") == (
        "pixel_pool k=7 area lr=0.01235 seed=4 batch_size=16"
    )


def test_a_search_has_no_phases_and_says_how_it_draws_and_stops():
    study = parse_study(SEARCH, where="x.yaml")
    assert (study.phases, study.points) == ((), ())
    search = parsed()
    assert (search.trials, search.rng, search.sampler) == (12, 3, "random")
    assert search.asha == Asha(grace_epochs=4, reduction_factor=3.0)


def test_without_asha_and_rng_every_trial_trains_to_its_end_and_the_seed_is_one():
    search = parsed(SEARCH | {"search": {"trials": 2}})
    assert (search.asha, search.rng) == (None, 1)


def test_what_is_drawn_makes_a_point_and_a_recipe_with_the_fixed_values():
    space = parsed().space
    values = {
        "model": "pixel_pool",
        "kernel_size": 3,
        "interpolation": "area",
        "lr": 0.02,
        "seed": 9,
        "batch_size": 24,
    }
    assert set(space.drawn) == set(values)
    point, recipe = space.at(values)
    assert (point.model, point.dataset, point.scenario, point.lr) == (
        "pixel_pool",
        "emoji",
        2,
        0.02,
    )
    assert recipe == Recipe(max_epochs=40, patience=10, batch_size=24)


@pytest.mark.parametrize("given", [{}, {"on_divergence": "fail"}], ids=["left out", "said"])
def test_a_search_that_fails_on_divergence_is_stored_as_it_was_before_there_was_a_choice(given):
    space = parsed(SEARCH | {"recipe": SEARCH["recipe"] | given}).space
    assert "on_divergence" not in space.fixed
    assert space.at(space.draw(np.random.default_rng(1)))[1].on_divergence == "fail"


def test_what_to_do_on_divergence_can_be_fixed_or_drawn():
    fixed = parsed(SEARCH | {"recipe": {"on_divergence": "stop", "max_epochs": 9}}).space
    assert fixed.at(fixed.draw(np.random.default_rng(1)))[1].on_divergence == "stop"
    drawn = parsed(
        SEARCH | {"recipe": {"on_divergence": {"choice": ["fail", "stop"]}, "max_epochs": 9}}
    ).space
    rng = np.random.default_rng(1)
    assert {drawn.at(drawn.draw(rng))[1].on_divergence for _ in range(20)} == {"fail", "stop"}


def test_an_interpolation_drawn_for_a_model_that_has_none_is_dropped():
    space = parsed().space
    values = space.draw(np.random.default_rng(1)) | {"model": "standard"}
    assert {
        space.at(values | {"interpolation": way})[0].interpolation for way in ("area", "bicubic")
    } == {None}


def test_every_draw_is_a_valid_point():
    space = parsed().space
    drawn = [space.at(space.draw(np.random.default_rng(seed))) for seed in range(60)]
    assert {point.model for point, _ in drawn} == {"standard", "pixel_pool"}
    assert {recipe.batch_size for _, recipe in drawn} == {8, 16, 24, 32}


def test_the_shipped_search_is_short_stops_early_and_draws_rates():
    search = load_study("search-emoji").search
    assert search is not None
    assert search.asha is not None
    assert "lr" in search.space.drawn
    assert search.space.fixed["dataset"] == "emoji"


def test_the_example_of_the_documentation_is_a_search_that_uses_every_distribution():
    text = (Path(__file__).parents[3] / "docs" / "search.md").read_text()
    content = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    kinds = {kind for one in parsed(content).space.drawn.values() for kind in one.content}
    assert kinds == set(KINDS) - {"uniform"}  # which reads as loguniform does


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (SEARCH | {"groups": [{"seed": 1}]}, "groups must not stand beside search"),
        (SEARCH | {"phases": []}, "phases must not stand beside search"),
        (SEARCH | {"search": None}, "search must be a mapping with the keys trials, rng, .*None"),
        (SEARCH | {"search": {}}, "search.trials must be a whole number from 1; got None"),
        (with_search(trails=3), "search has no key 'trails'. Did you mean 'trials'?"),
        (
            SEARCH | {"recipe": {"on_divergence": {"choice": ["fail", "go on"]}}},
            "recipe.on_divergence must say .*; got 'go on'",
        ),
        (with_search(trials=0), "search.trials must be a whole number from 1; got 0"),
        (with_search(trials=5000), "search.trials must be at most 1,000; got 5000"),
        (with_search(rng=-1), "search.rng must be a whole number"),
        (with_search(rng=None), "search.rng must be a whole number"),
        (with_search(sampler="optunna"), "search.sampler must be known; .*Did you mean 'optuna'"),
        (with_search(asha=None), "search.asha must be a mapping"),
        (
            with_search(asha={"grace_epoch": 3}),
            "search.asha has no key 'grace_epoch'. Did you mean",
        ),
        (with_search(asha={"grace_epochs": 0}), "search.asha.grace_epochs must be a whole number"),
        (with_search(asha={"grace_epochs": 40}), "search.asha.grace_epochs must be below max_epoc"),
        (
            with_search(asha={"reduction_factor": 1}),
            "search.asha.reduction_factor must be a number",
        ),
        (with_axis(seed=[1, 2]), "axes.seed of a search must be one value or a distribution such"),
        (with_axis(seed={"from": 1, "to": 5}), "axes.seed must be one value or one distribution"),
        (with_axis(lr="chosen"), "lr must be a number above 0; got 'chosen'"),
        (with_axis(lr={"uniform": [0, 0.1]}), "lr must be a number above 0; got 0"),
        (
            with_axis(model={"choice": ["disko"]}),
            "No model is called 'disko'. Did you mean 'disco'",
        ),
        (with_axis(model={"uniform": [0, 1]}), "No model is called '0.0'"),
        (with_axis(scenario={"randint": [1, 5]}), "scenario must be one of .*; got 5"),
        (with_axis(kernel_size={"randint": [3, 7]}), "kernel_size must be odd .*; got 4"),
        (with_axis(kernel_size={"uniform": [3, 7]}), "kernel_size must be odd .*; got 3.0"),
        (with_axis(seed={"uniform": [1, 2]}), "seed must be a whole number .*; got 1.0"),
        (
            with_axis(model={"choice": ["standard", "disco"]}),
            "disco",  # has no kernels of 3 pixels
        ),
        (SEARCH | {"axes": {"lr": 1}}, "axes must give every axis; missing: model"),
        (SEARCH | {"axes": None}, "axes must be a mapping"),
        (
            SEARCH | {"recipe": {"batch_size": {"randint": [0, 4]}}},
            "recipe.batch_size must be a who",
        ),
        (SEARCH | {"recipe": {"batch_size": [8, 16]}}, "recipe.batch_size of a search must be one"),
        (
            {
                "name": "fixed",
                "axes": {
                    "model": "standard",
                    "dataset": "emoji",
                    "scenario": 2,
                    "kernel_size": 7,
                    "interpolation": None,
                    "lr": 0.001,
                    "seed": 1,
                },
                "search": {"trials": 2},
            },
            "A search must draw at least one field from a distribution",
        ),
        (
            {key: value for key, value in SEARCH.items() if key != "search"},
            "axes.model must have|axes.model has no key 'choice'",
        ),
    ],
)
def test_a_bad_search_is_refused_with_file_key_and_remedy(content: dict, message: str):
    with pytest.raises(TuneJobsError, match=f"^x.yaml: .*({message})"):
        parse_study(content, where="x.yaml")
