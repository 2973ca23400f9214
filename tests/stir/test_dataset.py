import numpy as np
import pytest

import stir
from stir import StirError, archive


@pytest.fixture(scope="module")
def small(small_path):
    return stir.STIRDataset(small_path)


def test_unshuffled_samples_stand_by_scale_as_asked_then_class_then_instance(small):
    images, labels = small.select("valid", [20, 64, 17], shuffle=False)
    scales, _ = small.get_latents("valid", [20, 64, 17], shuffle=False)
    assert labels.tolist() == [0, 0, 0, 1, 1, 1] * 3
    assert scales.tolist() == [20] * 6 + [64] * 6 + [17] * 6
    wanted = small.images[1, 64 - 20, 1, 2]
    wanted = wanted[None] if small.num_channels == 1 else wanted.transpose(2, 0, 1)
    assert np.array_equal(images[5], wanted)


def test_the_shuffle_is_the_permutation_of_random_state_42(small):
    plain, plain_labels = small.select("train", range(17, 33), shuffle=False)
    mixed, mixed_labels = small.select("train", range(17, 33))
    order = np.random.RandomState(42).permutation(len(plain))
    assert np.array_equal(mixed, plain[order])
    assert np.array_equal(mixed_labels, plain_labels[order])
    assert not np.array_equal(mixed, plain)


def test_each_array_shuffled_by_itself_as_published_gives_the_same_order(small):
    plain, _ = small.to_numpy("test", range(40, 44), shuffle=False)
    np.random.RandomState(seed=42).shuffle(plain)
    assert np.array_equal(small.to_numpy("test", range(40, 44))[0], plain)


def test_latents_are_in_the_order_of_the_shuffled_images(small):
    scales, positions = small.get_latents("test")
    images, labels = small.select("test")
    for i in (0, 57, 200):
        flat = images[i, 0] if small.num_channels == 1 else images[i].transpose(1, 2, 0)
        here = small.images[2, 64 - scales[i], labels[i]]
        instance = next(k for k in range(3) if np.array_equal(here[k], flat))
        assert tuple(positions[i]) == tuple(small.positions[2, 64 - scales[i], labels[i], instance])


def test_to_numpy_is_select_divided_by_255(small):
    images, _ = small.select("train", [30])
    floats, _ = small.to_numpy("train", [30])
    assert floats.dtype == np.float32
    assert np.array_equal(floats, images.astype(np.float32) / 255.0)


def test_to_torch_holds_what_to_numpy_gives(small):
    import torch

    images, labels = small.to_torch("train", [30]).tensors
    wanted, wanted_labels = small.to_numpy("train", [30])
    assert images.dtype == torch.float32
    assert labels.dtype == torch.int64
    assert np.array_equal(images.numpy(), wanted)
    assert np.array_equal(labels.numpy(), wanted_labels)


def test_an_unpacked_folder_is_the_same_dataset_mapped_into_memory(small, small_path, tmp_path):
    folder = stir.unpack(small_path, tmp_path / "unpacked")
    mapped = stir.STIRDataset(folder)
    assert isinstance(mapped.images, np.memmap)
    assert mapped.fingerprint == small.fingerprint
    assert np.array_equal(mapped.select("test", [50])[0], small.select("test", [50])[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["unpacked"]


def test_a_failed_unpack_leaves_nothing(tmp_path):
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    with pytest.raises(StirError, match="cannot be read"):
        stir.unpack(tmp_path / "bad.npz", tmp_path / "unpacked")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.npz"]


@pytest.mark.parametrize(
    ("split", "scales", "words"),
    [
        ("training", [20], "one of train, valid, test; got 'training'"),
        ("train", [16], "from 17 to 64; got 16"),
        ("train", [20.5], "whole numbers of pixels"),
        ("train", [], "At least one scale"),
    ],
)
def test_a_wrong_split_or_scale_is_refused_with_what_would_do(small, split, scales, words):
    for method in (small.select, small.to_numpy, small.get_latents):
        with pytest.raises(StirError, match=words):
            method(split, scales)


def test_names_are_looked_up_in_the_data_folder_and_paths_are_not(emoji_path, monkeypatch):
    assert stir.load("emoji", emoji_path.parent).name == "emoji"
    assert stir.load(str(emoji_path)).fingerprint == stir.load(emoji_path).fingerprint
    monkeypatch.setenv("STIR_DATA", str(emoji_path.parent))
    assert stir.load("emoji").num_classes == 36


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("emojis", "must be one of emoji, emoji@published, mnist"),
        ("emoji", "`stir build emoji` makes it"),
        ("emoji@published", "`stir download emoji` fetches it"),
        ("aerial", "`stir download aerial` fetches it"),
        ("nowhere/x.npz", "nowhere/x.npz is not"),
    ],
)
def test_a_dataset_that_is_not_there_names_the_command_that_makes_it(name, words, tmp_path):
    with pytest.raises(StirError, match=words):
        stir.load(name, tmp_path)


def test_a_file_without_images_is_refused_in_a_sentence(small_arrays, tmp_path):
    lacking = {name: array for name, array in small_arrays.items() if name != "imgs"}
    archive.write(tmp_path / "x.npz", lacking)
    with pytest.raises(StirError, match="Array 'imgs' is missing"):
        stir.STIRDataset(tmp_path / "x.npz")


def test_a_dataset_of_ones_own_is_named_by_its_title(small):
    assert small.name == "small-set"
    assert small.num_classes == 2
    assert small.metadata["author"] == "nobody"


def test_importing_stir_brings_neither_torch_nor_pillow_nor_scipy():
    import subprocess
    import sys

    code = "import stir, sys; print({'torch', 'PIL', 'scipy', 'rich'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"


def test_a_summary_tells_all_but_the_arrays(small, small_path):
    summary = small.summary
    assert summary.path == small_path
    assert (summary.name, summary.fingerprint) == (small.name, small.fingerprint)
    assert (summary.num_classes, summary.instances) == small.images.shape[2:4]
    assert summary.num_channels == small.num_channels
