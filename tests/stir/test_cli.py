import errno
import json
import os

import numpy as np
import pytest
from PIL import Image

from stir import archive, cli, sheet
from stir.dataset import STIRDataset


def test_build_prints_the_terms_and_the_fingerprint(tmp_path, capsys, monkeypatch):
    from stir.sources import shapes

    monkeypatch.setattr(shapes, "INSTANCES", 1)
    assert cli.main(["build", "shapes", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "shapes: CC0 1.0, drawn by this software; not part of the STIR benchmark" in out
    assert STIRDataset(tmp_path / "shapes.npz").fingerprint[:12] in out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["build", "emojis"], "must be one of emoji, shapes, emoji-clutter, mnist,"),
        (["build", "mnist"], "which --raw DIR gives"),
        (["build", "mnist", "--raw", "nowhere"], "nowhere is not one"),
        (["download", "shapes"], "A dataset to download must be one of"),
        (["check", "nowhere.npz"], "nowhere.npz is not"),
        (["show", "emoji", "--out", "x.png"], "`stir build emoji` makes it"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(argv, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STIR_DATA", raising=False)
    assert cli.main(argv) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.startswith("stir: ")
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, capsys, monkeypatch):
    from stir.sources import shapes

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shapes, "INSTANCES", 1)
    monkeypatch.setattr(os, "fsync", full)
    assert cli.main(["build", "shapes", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "stir: the system refuses: No space left on device.\n"
    assert list(tmp_path.iterdir()) == []


def test_check_of_a_right_file_says_what_it_is(small_path, capsys):
    assert cli.main(["check", str(small_path)]) == 0
    out = capsys.readouterr().out
    assert "nothing wrong" in out
    assert STIRDataset(small_path).fingerprint in out


def test_check_of_a_wrong_file_gives_each_fault_a_line(small_arrays, tmp_path, capsys):
    wrong = small_arrays | {
        "lbls": small_arrays["lbls"][:, :, ::-1],
        "psts": small_arrays["psts"] + 64,
    }
    archive.write(tmp_path / "wrong.npz", wrong)
    assert cli.main(["check", str(tmp_path / "wrong.npz")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "lbls must be the class number" in lines[0]
    assert "Boxes must lie inside" in lines[1]


def test_list_tells_what_is_there_and_on_what_terms(emoji_path, small_arrays, tmp_path, capsys):
    (tmp_path / "emoji.npz").write_bytes(emoji_path.read_bytes())
    archive.write(tmp_path / "own.npz", small_arrays)
    (tmp_path / "mnist.npz").write_bytes(b"spoilt")
    assert cli.main(["list", "--json", "--data", str(tmp_path)]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["emoji"]["fingerprint"] == STIRDataset(emoji_path).fingerprint
    assert rows["emoji"]["licence"].startswith("CC BY 4.0")
    assert rows["aerial"]["path"] is None
    assert rows["aerial"]["licence"].startswith("CC BY-NC-SA 4.0")
    assert rows["own"]["licence"] == "CC0"
    assert rows["own"]["num_classes"] == 2
    assert "cannot be read" in rows["mnist"]["error"]
    assert [name for name, row in rows.items() if row["benchmark"]] == [
        "emoji",
        "emoji@published",
        "mnist",
        "trafficsign",
        "aerial",
    ]
    assert cli.main(["list", "--data", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "CC0 1.0, drawn by this software (not part of the STIR benchmark)" in out
    assert rows["emoji"]["fingerprint"][:12] in out


def test_show_draws_every_class_at_eight_scales_with_its_box(small_path, tmp_path):
    out = tmp_path / "sheet.png"
    assert cli.main(["show", str(small_path), "--out", str(out)]) == 0
    dataset = STIRDataset(small_path)
    with Image.open(out) as image:
        pixels = np.asarray(image.convert("RGB"))
    step = sheet.CANVAS + sheet.GAP
    for row in range(2):
        for column, scale in enumerate(sheet.SCALES):
            left, top = sheet.NAME_WIDTH + column * step, sheet.HEADER + row * step
            tile = pixels[top : top + 64, left : left + 64]
            x, y = dataset.positions[0, 64 - scale, row, 0]
            end = scale - 1
            assert (tile[y, x : x + scale] == sheet.BOX).all()
            assert (tile[y : y + scale, x + end] == sheet.BOX).all()
            inside = np.s_[y + 1 : y + end, x + 1 : x + end]
            image = dataset.images[0, 64 - scale, row, 0]
            wanted = image if dataset.num_channels == 3 else np.repeat(image[..., None], 3, -1)
            assert np.array_equal(tile[inside], wanted[inside])


@pytest.mark.parametrize("command", [[], ["build"], ["download"], ["check"], ["list"], ["show"]])
def test_help_ends_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([*command, "--help"])
    assert stop.value.code == 0
    assert f"example: stir {' '.join(command)}" in capsys.readouterr().out
