"""Which form serves, and what is said where the wanted one cannot."""

import os
import shutil
import sysconfig

import pytest
import torch

from siconvnet import build_model
from siconvnet.compiled import library
from siconvnet.compiled.library import VARIABLE
from siconvnet.fast import backend


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    library._chosen.cache_clear()
    yield
    library._chosen.cache_clear()


@pytest.fixture
def _nothing_built(monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setattr(library, "library_path", lambda name: tmp_path / name)


def test_the_widest_instruction_set_serves_unless_another_is_pinned(monkeypatch):
    usable = library.usable_instruction_sets()
    assert backend() == (f"compiled-{usable[0]}" if usable else "torch")
    for name in ("torch", *(f"compiled-{name}" for name in usable)):
        monkeypatch.setenv(VARIABLE, name)
        assert backend() == name


def test_loops_are_compiled_where_there_is_a_compiler():
    given = os.environ.get("CXX") or sysconfig.get_config_var("CXX") or "c++"
    if shutil.which(given.split()[0]) is None:
        pytest.skip(f"there is no {given}")
    assert library.usable_instruction_sets()  # else every test of them would be left out, unnoticed


@pytest.mark.usefixtures("_nothing_built")
def test_the_pytorch_form_serves_where_nothing_was_compiled():
    assert backend() == "torch"
    torch.manual_seed(0)
    model = build_model("pixel_pool", in_channels=1, num_classes=4)
    model(torch.rand(1, 1, 64, 64)).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.usefixtures("_nothing_built")
@pytest.mark.parametrize("wanted", ["compiled", "compiled-portable"])
def test_a_pinned_form_that_was_not_built_is_an_error_that_says_what_would_do(monkeypatch, wanted):
    monkeypatch.setenv(VARIABLE, wanted)
    with pytest.raises(ValueError, match=f"can run: torch; got '{wanted}'. A C.. compiler"):
        backend()


def test_a_misspelt_form_is_an_error_that_lists_all(monkeypatch):
    monkeypatch.setenv(VARIABLE, "compiled-avx")
    with pytest.raises(ValueError, match="SICONVNET_BACKEND must be one of torch, compiled, comp"):
        backend()


@pytest.mark.skipif(not library.usable_instruction_sets(), reason="nothing was compiled")
def test_loops_of_another_version_say_that_they_are():
    loops = library.Library("portable")
    said = "must be of the same version as the code; compiled-portable has no newer_loop. Install"
    with pytest.raises(RuntimeError, match=said):
        loops.call("newer_loop")
