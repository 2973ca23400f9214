import numpy as np
import pytest

from stir import archive, schema


def spoilt(arrays: schema.Arrays, name: str, change) -> schema.Arrays:
    copy = arrays[name].copy()
    changed = change(copy)
    return arrays | {name: copy if changed is None else changed}


def put(index, value):
    def change(array):
        array[index] = value

    return change


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("imgs", lambda a: a[:, :-1], "imgs must have the shape (3, 48, classes"),
        ("imgs", lambda a: a.astype(np.float32), "imgs must be uint8, grey levels 0..255; got flo"),
        ("imgs", put((1, 2, 0, 1), 0), "1 of 864 are black all over, the first at (1, 2, 0, 1)"),
        (
            "lbls",
            lambda a: a[..., :-1],
            "lbls must have the shape (3, 48, 2, 3); got (3, 48, 2, 2)",
        ),
        ("lbls", lambda a: a.astype(float), "lbls must hold integers; got float64"),
        ("lbls", put((2, 0, 1, 0), 0), "lbls must be the class number; 1 of 864 differ"),
        ("scls", lambda a: a[:, ::-1], "scls must be 64 - scale index; 864 of 864 differ"),
        ("psts", lambda a: a[..., 0], "psts must have the shape (3, 48, 2, 3, 2)"),
        ("psts", put((0, 0, 0, 0), 1), "Boxes must lie inside the 64 px image; 1 of 864 do not"),
        ("psts", put((0, 47, 0, 0), -1), "side 17 from (x, y) = (-1, -1)"),
        ("psts", put((0, 47, 0, 0, 0), 48), "side 17 from (x, y) = (48, "),
        ("lbldata", lambda a: np.array([1, 2]), "lbldata must hold text"),
        (
            "lbldata",
            lambda a: np.array(["x", "x"]),
            "Class names in lbldata must differ; got ['x', 'x']",
        ),
        ("metadata", lambda a: a[:5], "metadata must have the shape (6, 2); got (5, 2)"),
        ("metadata", put((0, 0), "name"), "metadata must have the keys title, description"),
        ("metadata", put((0, 1), "!"), "title in metadata must have a letter or digit"),
    ],
)
def test_each_fault_is_one_sentence(small_arrays, name, change, words):
    found = schema.faults(spoilt(small_arrays, name, change))
    assert len(found) == 1
    assert words in found[0]
    assert found[0].endswith(".")


def test_faults_of_two_arrays_are_two_sentences(small_arrays):
    arrays = spoilt(small_arrays, "lbls", put((0, 0, 0, 0), 1))
    assert len(schema.faults(spoilt(arrays, "psts", put((0, 0, 0, 0), 9)))) == 2


def test_a_right_file_has_no_faults(small_path):
    assert schema.check(small_path) == []


def test_int32_files_are_accepted_and_have_the_same_fingerprint(small_arrays, tmp_path):
    narrow = {n: a.astype(np.int32) if a.dtype == np.int64 else a for n, a in small_arrays.items()}
    archive.write(tmp_path / "narrow.npz", narrow)
    assert schema.check(tmp_path / "narrow.npz") == []
    assert schema.fingerprint(narrow) == schema.fingerprint(small_arrays)


def test_the_fingerprint_ignores_memory_order_and_metadata(small_arrays):
    other = {name: np.asfortranarray(array) for name, array in small_arrays.items()}
    other["metadata"] = np.array([["title", "something else"]])
    assert schema.fingerprint(other) == schema.fingerprint(small_arrays)


@pytest.mark.parametrize("name", ["imgs", "lbls", "scls", "psts"])
def test_the_fingerprint_changes_with_any_value(small_arrays, name):
    changed = spoilt(small_arrays, name, lambda a: a.__setitem__((-1,) * a.ndim, 5))
    assert not np.array_equal(changed[name], small_arrays[name])
    assert schema.fingerprint(changed) != schema.fingerprint(small_arrays)


def test_an_oblong_object_may_leave_the_image_with_its_nominal_square(small_arrays):
    from stir import DATASETS

    oblong = spoilt(small_arrays, "psts", put((0, 0, 0, 0), (0, 40)))
    oblong["metadata"] = oblong["metadata"].astype("U200")
    oblong["metadata"][0, 1] = DATASETS["aerial"].title
    assert schema.faults(oblong) == []
    assert len(schema.faults(spoilt(oblong, "psts", put((0, 0, 0, 0), (40, 40))))) == 1


@pytest.mark.parametrize(
    ("title", "name"), [("My Birds!", "my-birds"), ("../../x", "x"), ("été", "t"), ("?", "")]
)
def test_a_slug_is_safe_in_a_file_name(title, name):
    assert schema.slug(title) == name
