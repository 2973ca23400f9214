"""Models that installed packages add by entry points; the packages lie on the path for real."""

import logging
from pathlib import Path

import pytest

from siconvnet.models import registry
from siconvnet.models.plugins import Known, PluginError

pytestmark = pytest.mark.usefixtures("only_known_models")

GOOD = """
import torch
from siconvnet import register_model

def build(*, in_channels, num_classes, **options):
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(in_channels * 64 * 64, num_classes))

register_model("{name}", build, version=7)
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def install(site: Path, package: str, entry_points: str, **modules: str) -> None:
    info = site / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[siconvnet.models]\n{entry_points}\n")
    for name, text in modules.items():
        (site / f"{name}.py").write_text(text)


def known() -> Known[registry.ModelSpec]:
    """The table of models as a new process would have it."""
    return Known(registry._models, group="siconvnet.models")


def test_a_model_is_listed_at_once_and_imported_when_it_is_looked_up(site: Path):
    install(site, "nice", "mine = nice_model", nice_model=GOOD.format(name="mine"))
    table = known()
    assert [*table][-1] == "mine"
    assert "mine" in table
    assert "mine" not in registry._models
    assert table["mine"].version == 7
    assert len(table) == len([*table])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import not_there", "ModuleNotFoundError: No module named 'not_there'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("(", "SyntaxError: '(' was never closed"),
        (GOOD.format(name="other"), "must register what its entry point names, 'mine' in siconv"),
    ],
)
def test_a_package_that_cannot_be_used_is_one_sentence_and_harms_no_other(
    text: str, message: str, site: Path
):
    module = f"bad_{abs(hash(text))}"
    install(site, "bad", f"mine = {module}", **{module: text})
    table = known()
    with pytest.raises(PluginError, match=r"bad 1\.0") as raised:
        table["mine"]
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert table["standard"].name == "standard"
    assert "mine" in table


def test_a_name_that_two_packages_add_is_refused_when_it_is_used(site: Path):
    install(site, "one", "mine = one_model", one_model=GOOD.format(name="mine"))
    install(site, "two", "mine = two_model", two_model=GOOD.format(name="mine"))
    with pytest.raises(PluginError, match=r"One installed package must add 'mine' .* 1\.0 and "):
        known()["mine"]


def test_a_package_cannot_replace_a_model_of_the_benchmark(
    site: Path, caplog: pytest.LogCaptureFixture
):
    install(site, "greedy", "standard = greedy_model", greedy_model="raise ValueError")
    with caplog.at_level(logging.WARNING, "siconvnet"):
        assert known()["standard"].version == 1
        assert known().installed == {}
    assert "'standard' of greedy 1.0 is left out" in caplog.text


def test_the_error_of_an_unknown_model_names_the_group_of_entry_points():
    with pytest.raises(ValueError, match=r"an entry point in siconvnet\.models installed"):
        registry.find_model("mine")
