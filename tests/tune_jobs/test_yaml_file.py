import os
import threading
from pathlib import Path

import pytest

from tune_jobs.cluster.check.check import check_cluster
from tune_jobs.errors import TuneJobsError
from tune_jobs.study.file import load_study
from tune_jobs.yaml_file import MOST_BYTES, parse_yaml, read_yaml

ROOT = Path(__file__).parents[2]


def parse(text: str) -> object:
    return parse_yaml(text.encode(), "a study", where="x.yaml")


def test_values_are_those_of_plain_yaml():
    text = """
        numbers: [0, -3, 12, 0x1f, 1.5, .5, 1.0e+3, .inf]
        others: [true, FALSE, null, ~, text, '010', "on", 1e-3, 22:99, 1.2.3]
        merged: {<<: {a: 1, b: 2}, a: 3}
    """
    assert parse(text) == {
        "numbers": [0, -3, 12, 31, 1.5, 0.5, 1000.0, float("inf")],
        "others": [True, False, None, None, "text", "010", "on", "1e-3", "22:99", "1.2.3"],
        "merged": {"a": 3, "b": 2},
    }
    assert parse("") is None


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("seed: 1\nlr: 1\nseed: 2", r"'seed' stands in line 1 and in line 3"),
        ("axes:\n  lr: 1\n  lr: 1", r"'lr' stands in line 2 and in line 3"),
        ("- {a: 1,\n b: 2, 'a': 1}", r"'a' stands in line 1 and in line 2"),
        ("1: a\n0x1: b", r"1 stands in line 1 and in line 2"),
        ("1: a\ntrue: b", r"True stands in line 1 and in line 2"),
        ("x: &x {a: 1}\ny: {<<: *x, <<: *x}", r"'<<' stands in line 2 and in line 2"),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_its_lines(text: str, keys: str):
    with pytest.raises(TuneJobsError, match=rf"^x\.yaml: a study .*must stand once .*{keys}\.$"):
        parse(text)


@pytest.mark.parametrize(
    "value",
    [
        *("010", "-007", "0b11", "1_000", "0o17", "1:30", "12:30:45.5", "1_0.5"),
        *("2026-11-25", "2026-11-25T10:00:00Z", "yes", "No", "on", "OFF", "="),
    ],
)
@pytest.mark.parametrize("place", ["seed: {}", "a:\n  - [1, {}]", "{}: 1"], ids=str)
def test_what_versions_of_yaml_read_differently_is_refused_with_its_line(value: str, place: str):
    line = 1 + place.count("\n")
    said = rf"must mean the same in YAML 1\.1 and 1\.2; {value} does not in line {line}: text is"
    with pytest.raises(TuneJobsError, match=said):
        parse(place.format(value))


def laughs(levels: int) -> str:
    lines = ["a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (laughs(9), r"at most 100,000 values, its aliases written out; there are more in line 5"),
        ("&a {x: &b [*a, *b]}", "an anchor must not stand within itself in line 1"),
        ("- &a [1]\n- &b {x: *a, <<: *b}", "an anchor must not stand within itself in line 2"),
        ("[" * 90 + "]" * 90, "may nest 50 levels deep, and goes on in line 1"),
        ("[" * 9000 + "]" * 9000, "recursion"),
        ("a: '" + "x" * MOST_BYTES + "'", "it may have at most 262,144 bytes, and has more"),
        ("a: " + "9" * 5000, "Exceeds the limit"),
        ("? [1, 2]\n: x", "a key must be text or a number; it is not in line 1"),
        ("!!set {a, b}", "got the tag 'tag:yaml.org,2002:set' in line 1"),
        ("a: !!binary aGk=", "got the tag 'tag:yaml.org,2002:binary' in line 1"),
        ("a: !!python/name:os.system", "got the tag 'tag:yaml.org,2002:python/name:os.system'"),
        ("a: 1\n--- \nb: 2", "expected a single document"),
    ],
    ids=lambda value: value[:20],
)
def test_what_grows_beyond_measure_or_is_no_plain_value_is_refused(text: str, said: str):
    with pytest.raises(TuneJobsError, match=said):
        parse(text)


def test_an_alias_that_is_used_sparingly_is_read():
    assert parse("a: &a [1, {b: 2}]\nc: [*a, *a]") == {"a": [1, {"b": 2}], "c": [[1, {"b": 2}]] * 2}


@pytest.mark.parametrize("load", [load_study, check_cluster], ids=["study", "cluster"])
@pytest.mark.parametrize(
    "text", ["name: a\nname: b", "name: on", laughs(9)], ids=["doubled", "on", "aliases"]
)
def test_studies_and_cluster_files_are_read_by_the_same_rules(load, text: str, tmp_path: Path):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(
        TuneJobsError, match=r"x\.yaml: a .* must be valid YAML: (a key|a value|it)"
    ):
        load(str(path))


def test_a_device_is_refused_and_a_pipe_is_read(tmp_path: Path):
    with pytest.raises(
        TuneJobsError, match="/dev/zero: a study must be a YAML file; this is a dev"
    ):
        load_study("/dev/zero")
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("a: 1",))
    writer.start()
    assert read_yaml(pipe, "a study") == {"a": 1}
    writer.join()


@pytest.mark.parametrize("file", ["cluster.yaml", "docs/rayjob.yaml"])
def test_the_yaml_files_of_the_project_are_clear(file: str):
    assert read_yaml(ROOT / file, "a file")
