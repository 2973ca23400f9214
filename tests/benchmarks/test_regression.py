"""Kept losses against found ones; the training itself is not run here."""

from dataclasses import replace

import pytest

from benchmarks import regression
from benchmarks.regression import Kind, Losses, changes, read_kept, reference, report, write_kept
from siconvnet.fit import Epoch

EPOCH = Epoch(number=1, train_loss=3.0, train_accuracy=0.1, valid_loss=2.9, valid_accuracy=0.125)
HERE = Kind(processor="One", backend="compiled-avx2", torch_version="2")
ELSEWHERE = replace(HERE, backend="torch")
KEPT = Losses(kind=HERE, models={"standard": (EPOCH,)})


@pytest.mark.parametrize(
    ("field", "found", "same", "changed"),
    [
        ("train_loss", 3.0, True, False),
        ("train_loss", 3.00001, True, True),
        ("train_loss", 3.25, False, False),
        ("valid_loss", 2.5, False, True),
        ("valid_accuracy", 0.1251, True, True),
        ("valid_accuracy", 0.25, False, False),
        ("train_loss", float("nan"), False, True),
    ],
)
def test_a_number_counts_as_changed_beyond_rounding_or_elsewhere_beyond_a_bound(
    field, found, same, changed
):
    lines = changes("standard", (replace(EPOCH, **{field: found}),), (EPOCH,), same=same)
    assert [line.split(": ")[1].split()[0] for line in lines] == [field] * changed


def test_an_epoch_too_few_is_a_change():
    assert changes("standard", (), (EPOCH,), same=True) == [
        "standard: 0 epochs were trained, 1 are kept"
    ]


def test_losses_of_this_kind_of_machine_are_compared_with_and_else_the_first(capsys):
    first = replace(KEPT, kind=ELSEWHERE)
    assert reference(HERE, [first, KEPT]) is KEPT
    other = replace(HERE, processor="Two")
    assert reference(other, [first, KEPT]) is first
    assert report(KEPT.models, KEPT, HERE) == 0
    assert "to rounding\nstandard" in capsys.readouterr().out
    nearby = {"standard": (replace(EPOCH, train_loss=3.01),)}
    assert (report(nearby, KEPT, HERE), report(nearby, first, HERE)) == (1, 0)


def test_kept_losses_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "kept.json"
    assert read_kept(path) == ("", [])
    write_kept("ab", [KEPT, replace(KEPT, kind=ELSEWHERE)], path)
    assert read_kept(path) == ("ab", [KEPT, replace(KEPT, kind=ELSEWHERE)])
    assert [file.name for file in tmp_path.iterdir()] == ["kept.json"]


def test_other_images_are_refused_in_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(regression, "read_kept", lambda: ("ab", [KEPT]))
    assert regression.main(["--data", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("regression: A dataset must be there to be opened")
