from pathlib import Path

import pytest

from tune_jobs.errors import TuneJobsError
from tune_jobs.grid import Recipe
from tune_jobs.study import Resources, load_study, parse_study

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


def test_the_demo_is_cheap_models_on_two_seeds_with_a_shortened_recipe():
    study = load_study("demo")
    assert {(p.dataset, p.scenario, p.lr) for p in study.points} == {("emoji", 2, 0.001)}
    assert {p.seed for p in study.points} == {1, 2}
    assert study.recipe.max_epochs < Recipe().max_epochs


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "the file must be a mapping with the keys name, axes, recipe, resources; got None"),
        (GOOD | {"recip": {}}, "the file has no key 'recip'. Did you mean 'recipe'?"),
        (GOOD | {"name": 3}, "name must be a word for the study; got 3"),
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
        (GOOD | {"recipe": {"max_epoch": 3}}, "recipe has no key 'max_epoch'. Did you mean 'max_"),
        (GOOD | {"recipe": {"patience": 0}}, "recipe.patience must be a whole number from 1; got"),
        (GOOD | {"recipe": {"batch_size": 1.5}}, "recipe.batch_size must be a whole number"),
        (GOOD | {"resources": {"cpus": 0}}, "resources.cpus must be a whole number from 1; got 0"),
        (GOOD | {"resources": {"gpus": 1.5}}, "resources.gpus must be a share of a GPU"),
    ],
)
def test_a_bad_study_is_refused_with_file_key_and_remedy(content: object, message: str):
    with pytest.raises(TuneJobsError, match=f"^x.yaml: {message}"):
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
