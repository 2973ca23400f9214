"""Datasets of one's own: registered here, or added by installed packages."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import stir
from stir import StirError, register_dataset
from stir.build import build
from stir.catalogue import facts
from stir.catalogue.plugins import Known
from stir.cli import main
from stir.schema import blank

FACTS = {
    "title": "My Squares!",
    "num_classes": 2,
    "instances": 1,
    "channels": 1,
    "licence": "CC0 1.0",
    "attribution": "drawn by me",
    "source": "nothing",
}


def squares(*, raw_dir: Path | None, progress) -> dict:
    arrays = blank(2, 1, 1) | {"lbldata": np.array(["dark", "light"])}
    arrays["imgs"][:, :, 0, ..., :17, :17] = 100
    arrays["imgs"][:, :, 1, ..., :17, :17] = 255
    if raw_dir is not None:
        arrays["imgs"] += np.uint8(len([*raw_dir.iterdir()]))
    return arrays


@pytest.fixture(autouse=True)
def _only_known_datasets() -> Iterator[None]:
    known = dict(facts._datasets)
    yield
    facts._datasets.clear()
    facts._datasets.update(known)


def test_a_registered_dataset_is_built_listed_and_loaded_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    register_dataset("my-squares", squares, **FACTS)
    assert main(["build", "my-squares", "--out", str(tmp_path)]) == 0
    assert "CC0 1.0, drawn by me; not part of the STIR benchmark" in capsys.readouterr().out
    by_name, by_path = stir.load("my-squares", tmp_path), stir.load(tmp_path / "my-squares.npz")
    assert (by_name.name, by_path.name) == ("my-squares", "my-squares")
    assert by_name.metadata["author"] == "drawn by me"
    assert main(["list", "--json", "--data", str(tmp_path)]) == 0
    (row,) = [row for row in json.loads(capsys.readouterr().out) if row["name"] == "my-squares"]
    assert (row["num_classes"], row["licence"]) == (2, "CC0 1.0, drawn by me")


def test_a_dataset_of_files_is_given_their_folder_and_asks_for_it(tmp_path: Path):
    register_dataset("my-squares", squares, **FACTS, needs_raw=True)
    with pytest.raises(StirError, match="my-squares is built from nothing; got no folder of them"):
        build("my-squares", out_dir=tmp_path)
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "one").write_text("")
    built = stir.STIRDataset(build("my-squares", out_dir=tmp_path, raw_dir=raw))
    assert built.images[0, 0, 0, 0, 0, 0] == 101
    with pytest.raises(StirError, match="`stir build my-squares --raw DIR` makes it"):
        stir.load("my-squares", tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["", "squares", "My Squares!", "../my-squares"])
def test_a_name_is_the_title_in_small_letters_with_hyphens(name: str):
    with pytest.raises(StirError, match=f"with hyphens, 'my-squares'; got '{name}'"):
        register_dataset(name, squares, **FACTS)


def test_a_dataset_of_this_software_cannot_be_replaced():
    with pytest.raises(StirError, match="one of this software's own; got 'emoji'"):
        register_dataset("emoji", squares, **FACTS | {"title": "emoji"})


def test_what_fails_its_own_check_is_not_written(tmp_path: Path):
    def black(**_) -> dict:
        return blank(2, 1, 1) | {"lbldata": np.array(["a", "b"])}

    register_dataset("my-squares", black, **FACTS)
    with pytest.raises(StirError, match="my-squares does not: Every image must show an object"):
        build("my-squares", out_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_package_is_a_line_of_the_list_and_harms_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    info = tmp_path / "bad-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[stir.datasets]\nbroken = bad_dataset\n")
    (tmp_path / "bad_dataset.py").write_text("import not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    table = Known(facts._datasets, group="stir.datasets")
    for module in ("stir.cli", "stir.build", "stir.dataset"):
        monkeypatch.setattr(f"{module}.DATASETS", table)
    assert main(["list", "--data", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "broken           not here  The module bad_dataset of bad 1.0 must be importable" in out
    assert out.count("not here") == len(table)
    assert main(["build", "broken", "--out", str(tmp_path)]) == 2
    assert "No module named 'not_there'" in capsys.readouterr().err
    assert main(["build", "shape", "--out", str(tmp_path)]) == 2
    assert "emoji-clutter, mnist, trafficsign, aerial, broken; got" in capsys.readouterr().err


def test_a_file_beside_what_names_it_is_found_when_the_current_folder_has_none(
    bars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    study, here = tmp_path / "study", tmp_path / "here"
    for folder in (study / "data", here):
        folder.mkdir(parents=True)
    monkeypatch.chdir(here)
    (study / "data" / "emoji.npz").write_bytes(bars.read_bytes())
    assert stir.load("emoji", beside=study).path == study / "data" / "emoji.npz"
    assert stir.load("data/emoji.npz", beside=study).num_classes == 4
    with pytest.raises(StirError, match=r"neither data/x\.npz nor .*study/data/x\.npz is:"):
        stir.load("data/x.npz", beside=study)
    monkeypatch.chdir(study)  # of the study itself: there is one place, which is named once
    with pytest.raises(StirError, match=r"; data/x\.npz is not:"):
        stir.load("data/x.npz", beside=study)
    monkeypatch.chdir(here)
    (here / "data").mkdir()
    (here / "data" / "emoji.npz").write_bytes(bars.read_bytes())
    assert stir.load("emoji", beside=study).path == Path("data/emoji.npz")
