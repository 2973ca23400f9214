import numpy as np
import pytest

from stir import DATASETS, STIRDataset, StirError, schema
from stir import build as building
from stir.build import build


def test_metadata_carries_licence_and_attribution_of_every_dataset():
    for name in (*building.WITHOUT_RAW, *building.FROM_RAW):
        facts = DATASETS[name]
        metadata = building._metadata(facts)
        assert metadata["license"] == f"{facts.licence} {facts.attribution}"
        assert metadata["title"] == facts.title


def test_only_shapes_and_emoji_clutter_are_no_part_of_the_benchmark():
    others = {name for name, facts in DATASETS.items() if not facts.benchmark}
    assert others == {"shapes", "emoji-clutter"}


@pytest.mark.parametrize(
    ("name", "images"),
    [("emoji", 5184), ("mnist", 72000), ("trafficsign", 57600), ("aerial", 32400)],
)
def test_the_benchmark_has_as_many_images_as_published(name, images):
    assert DATASETS[name].num_images == images


def test_the_catalogue_tells_what_a_build_holds(emoji_path, shapes_path):
    for name, path in {"emoji": emoji_path, "shapes": shapes_path}.items():
        dataset, facts = STIRDataset(path), DATASETS[name]
        assert dataset.name == name
        assert dataset.num_classes == facts.num_classes
        assert dataset.num_channels == facts.channels
        assert dataset.labels.size == facts.num_images


def test_progress_counts_up_to_its_total(tmp_path, monkeypatch):
    from stir.sources import shapes

    monkeypatch.setattr(shapes, "INSTANCES", 1)
    told = []
    build("shapes", out_dir=tmp_path, progress=lambda done, total: told.append((done, total)))
    assert told == [(step, 8) for step in range(1, 9)]


def test_a_source_that_makes_a_wrong_dataset_is_found_out_and_nothing_written(
    tmp_path, monkeypatch
):
    def wrong(progress):
        arrays = schema.blank(1, 1, 1)
        return arrays | {"lbldata": np.array(["black"])}

    monkeypatch.setitem(building.WITHOUT_RAW, "shapes", wrong)
    with pytest.raises(StirError, match="144 of 144 are black all over"):
        build("shapes", out_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(tmp_path, monkeypatch):
    def never(progress):
        raise AssertionError("the work was begun")

    monkeypatch.setitem(building.WITHOUT_RAW, "shapes", never)
    (tmp_path / "file").write_text("")
    with pytest.raises(StirError, match="The folder to write to"):
        build("shapes", out_dir=tmp_path / "file")
