"""Models by name: what is refused, what modes share, and models of users' own."""

import copy
import functools
import importlib.util
import pickle
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from siconvnet import MODELS, build_model, register_model
from siconvnet.models import source_version

PAPER = (
    "standard", "pixel_pool", "slice_pool", "energy_pool", "conv3d", "ensemble",
    "spatial_transform", "xu", "kanazawa", "hermite", "disco",
)  # fmt: skip
TWO_STAGES = (*PAPER, "xu_corrected", "energy_pool_valid")


def build(name: str, **options) -> nn.Module:
    return build_model(name, **{"in_channels": 1, "num_classes": 5, **options})


def flatten_and_classify(*, in_channels: int, num_classes: int, **options) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * 64 * 64, num_classes))


def test_the_papers_models_and_the_corrected_ones_are_known():
    assert set(TWO_STAGES) <= set(MODELS)
    assert {name for name in TWO_STAGES if MODELS[name].uses_interpolation} == {
        "pixel_pool", "slice_pool", "energy_pool", "energy_pool_valid", "conv3d",
    }  # fmt: skip


@pytest.mark.parametrize("name", TWO_STAGES)
def test_state_dict_keys_do_not_depend_on_the_mode_and_hold_parameters_only(name: str):
    fast, plain = build(name), build(name, plain=True)
    assert fast.state_dict().keys() == plain.state_dict().keys()
    assert fast.state_dict().keys() == dict(fast.named_parameters()).keys()


@pytest.mark.parametrize("name", TWO_STAGES)
def test_the_seed_decides_the_initial_weights_whatever_the_mode(name: str):
    torch.manual_seed(3)
    fast = build(name).state_dict()
    torch.manual_seed(3)
    plain = build(name, plain=True).state_dict()
    torch.manual_seed(4)
    other = build(name).state_dict()
    assert all(torch.equal(fast[key], plain[key]) for key in fast)
    assert not any(torch.equal(fast[key], other[key]) for key in fast if key.endswith("lin.weight"))


@pytest.mark.parametrize(
    ("name", "kernel_size"),
    [("standard", 3), ("ensemble", 11), ("kanazawa", 15), ("xu", 3), ("xu_corrected", 11),
     ("hermite", 3), ("hermite", 11), ("disco", 7), ("spatial_transform", 3)],
)  # fmt: skip
def test_fast_and_plain_agree_on_colour_images_and_other_kernels(name: str, kernel_size: int):
    gradients = []
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    x[:, :, 20:] = 0
    for plain in (False, True):
        torch.manual_seed(0)
        model = build(name, in_channels=3, kernel_size=kernel_size, plain=plain).double()
        F.cross_entropy(model(x.double()), torch.tensor([2])).backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for fast, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(fast, plain, rtol=0, atol=1e-10 * (1 + float(plain.abs().max())))


def test_steerable_maps_keep_their_scales_and_columns_apart():
    x = torch.zeros(1, 1, 64, 64)
    assert [m.shape for m in build("xu").feature_maps(x)] == [
        (1, 16, 5, 64, 64),
        (1, 32, 5, 64, 64),
    ]
    assert [m.shape for m in build("hermite").feature_maps(x)] == [
        (1, 16, 4, 50, 50), (1, 32, 4, 36, 36),
    ]  # fmt: skip


def test_models_can_be_copied_and_pickled():
    model = build("standard")
    x = torch.rand(1, 1, 64, 64)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin(x), model(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "pixel_pol"}, r"'pixel_pol'\. Did you mean 'pixel_pool'\? Known: standard, "),
        ({"name": "zzz"}, r"No model is called 'zzz'\. Known: standard, "),
        ({"kernel_size": 4}, r"kernel_size of standard must be one of 3, 7, 11, 15; got 4\."),
        ({"name": "disco", "kernel_size": 3}, r"kernel_size of disco must be 7; got 3\."),
        ({"name": "xu", "kernel_size": 15}, r"must be one of 3, 7, 11; got 15\."),
        ({"interpolation": "cubic"}, r"must be one of nearest, .*; got 'cubic'\."),
        ({"in_channels": 0}, r"in_channels must be at least 1; got 0\."),
        ({"num_classes": -1}, r"num_classes must be at least 1; got -1\."),
    ],
)
def test_a_model_that_cannot_be_is_refused_in_one_sentence(options: dict, message: str):
    with pytest.raises(ValueError, match=message) as caught:
        build(**{"name": "standard", **options})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", TWO_STAGES)
@pytest.mark.parametrize("shape", [(2, 1, 32, 32), (2, 3, 64, 64), (1, 64, 64)])
def test_images_other_than_the_benchmarks_are_refused(name: str, shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"images of shape \(N, 1, 64, 64\); got \("):
        build(name)(torch.zeros(shape))


def test_images_given_by_name_are_checked_like_any():
    model = build("standard")
    x = torch.rand(1, 1, 64, 64)
    assert torch.equal(model(x=x), model(x))
    with pytest.raises(ValueError, match=r"images of shape \(N, 1, 64, 64\); got \(1, 1, 32, 32\)"):
        model(x=x[:, :, :32, :32])


@pytest.mark.usefixtures("only_known_models")
def test_a_registered_model_is_built_by_its_name():
    spec = register_model("flat", flatten_and_classify, version=3)
    assert (MODELS["flat"], spec.version, spec.uses_interpolation) == (spec, 3, False)
    assert build("flat", num_classes=7)(torch.zeros(2, 1, 64, 64)).shape == (2, 7)


@pytest.mark.parametrize("name", TWO_STAGES)
def test_the_table_says_which_kernel_sizes_a_model_can_be_built_with(name: str):
    special = {"xu": (3, 7, 11), "xu_corrected": (3, 7, 11), "disco": (7,)}
    assert MODELS[name].kernel_sizes == special.get(name, (3, 7, 11, 15))


@pytest.mark.usefixtures("only_known_models")
def test_a_registered_model_takes_any_kernel_size_unless_it_says_which():
    assert register_model("flat", flatten_and_classify, version=1).kernel_sizes is None
    build("flat", kernel_size=4)
    register_model("flat", flatten_and_classify, version=1, kernel_sizes=(3, 5))
    build("flat", kernel_size=5)
    with pytest.raises(ValueError, match=r"kernel_size of flat must be one of 3, 5; got 4\."):
        build("flat", kernel_size=4)


@pytest.mark.usefixtures("only_known_models")
def test_registering_a_name_again_replaces_it_but_not_the_benchmarks_own():
    register_model("flat", flatten_and_classify, version=1)
    assert register_model("flat", flatten_and_classify, version=2) is MODELS["flat"]
    with pytest.raises(ValueError, match=r"must not be one of the benchmark's; got 'xu'\."):
        register_model("xu", flatten_and_classify, version=1)
    with pytest.raises(ValueError, match="needs a name"):
        register_model("", flatten_and_classify, version=1)


def test_the_table_is_changed_by_registering_only():
    with pytest.raises(TypeError):
        MODELS["mine"] = MODELS["xu"]


def plugin(path: Path, source: str):
    """A module read from a file that says ``source``."""
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.usefixtures("only_known_models")
def test_without_a_version_the_source_of_the_builders_file_stands_for_it(tmp_path: Path):
    sources = ["def build(**options): return 1\n"] * 2 + ["def build(**options): return 2\n"]
    versions = [
        register_model("mine", plugin(tmp_path / f"plugin_{number}.py", source).build).version
        for number, source in enumerate(sources)
    ]
    assert versions[0] == versions[1] != versions[2]
    assert len(str(versions[0])) == 12


@pytest.mark.usefixtures("only_known_models")
def test_the_version_of_a_builder_with_options_is_that_of_the_file_that_it_is_written_in(
    tmp_path: Path,
):
    module = plugin(tmp_path / "wide.py", "def build(**options): return 1\n")
    with_width = functools.partial(functools.partial(module.build, width=2), depth=3)
    assert register_model("mine", with_width).version == source_version(module.build)


@pytest.mark.usefixtures("only_known_models")
def test_without_a_version_a_builder_without_a_file_is_refused():
    names: dict = {"__name__": "nowhere"}
    exec("def build(**options): ...", names)
    with pytest.raises(ValueError, match=r"a function in a file.*Give version=1\."):
        register_model("mine", names["build"])
