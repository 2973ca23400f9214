"""The site is built as ``make docs`` does, and holds what its pages promise."""

import re
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site; building it stops at the first page, link or anchor that is not there."""
    folder = tmp_path_factory.mktemp("site")
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True)
    build(config)
    return folder


@pytest.mark.filterwarnings("default")  # of MkDocs and its plugins
def test_every_document_is_a_page_with_a_place_in_the_navigation(site: Path):
    home = (site / "index.html").read_text()
    for path in (ROOT / "docs").rglob("*.md"):
        page = path.relative_to(ROOT / "docs").with_suffix(".html")
        assert (site / page).exists()
        assert f'href="{page}"' in home


@pytest.mark.filterwarnings("default")
def test_commands_and_functions_are_described_from_the_code(site: Path):
    commands = (site / "reference" / "commands.html").read_text()
    assert 'id="tune-jobs-run"' in commands
    assert "<code>--checkpoint-seconds SEC</code>" in commands
    functions = (site / "reference" / "api.html").read_text()
    assert 'id="siconvnet.SiConv2d"' in functions
    assert 'id="tune_jobs.run_study"' in functions


@pytest.mark.filterwarnings("default")
def test_examples_are_pages_with_all_their_files(site: Path):
    page = (site / "examples" / "own_model.html").read_text()
    assert "siconvnet.models" in page
    assert "LogPolar" in page


@pytest.mark.filterwarnings("default")
def test_a_page_fetches_nothing_from_elsewhere(site: Path):
    for page in ("index.html", "architecture.html", "cookbook.html"):
        text = (site / page).read_text()
        for tag in re.findall(r"<(?:script|link|img)[^>]*>", text):
            assert not re.search(r'(?:src|href)="https?://', tag), tag
