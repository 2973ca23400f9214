"""Bytes that are not those that were written, in each form of object, are never believed."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pytest
import torch

from lab.faulty_proxy import LIES, FaultyProxy
from lab.s3_server import S3Server
from tune_jobs.storage import DamagedError, Storage
from tune_jobs.storage.seal import seal, unseal
from tune_jobs.trial.checkpoint import tensors_to_bytes

RECORD = b'{\n "schema": "stir-record/1",\n "test_accuracy": 0.5\n}'
SAMPLES = b'{"schema": "stir-sample/1", "number": 1}\n{"schema": "stir-sample/1", "number": 2}\n'
CLAIM = b'{"driver": "this", "host": "here", "pid": 1}'
CHECKPOINT = tensors_to_bytes({"weight": torch.arange(6.0), "epoch": 3})


def archive_of(values: list[int]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, values=np.array(values))
    return buffer.getvalue()


CONTENTS = {
    "records/0123456789ab.json": RECORD,
    "failures/0123456789ab/1.json": RECORD,
    "searches/mine/samples.jsonl": SAMPLES,
    "claims/0123456789ab.json": CLAIM,
    "checkpoints/0123456789ab.pt": CHECKPOINT,
    "evaluations/0123456789ab.npz": archive_of([1, 2, 3]),
}
of_every_form = pytest.mark.parametrize("key", CONTENTS)


def believed(key: str, stored: bytes) -> bool:
    try:
        return unseal(key, stored) == CONTENTS[key]
    except DamagedError:
        return False


@of_every_form
def test_what_was_sealed_is_unsealed_and_what_never_was_is_read_as_it_is(key: str):
    assert unseal(key, seal(key, CONTENTS[key])) == CONTENTS[key]
    assert unseal(key, CONTENTS[key]) == CONTENTS[key]


@of_every_form
def test_no_single_bit_may_flip(key: str):
    stored = seal(key, CONTENTS[key])
    for place in range(8 * len(stored)):
        flipped = bytearray(stored)
        flipped[place // 8] ^= 1 << place % 8
        with pytest.raises(DamagedError, match=key):
            unseal(key, bytes(flipped))


@of_every_form
def test_no_byte_may_be_missing_or_too_many(key: str):
    stored = seal(key, CONTENTS[key])
    short = [stored[:length] for length in range(len(stored))]
    long = [stored + b"\0", stored + b"\n", stored + stored, stored[: len(stored) // 2] + stored]
    for damaged in short + long:
        if key.endswith("npz") or key.endswith("pt") or len(damaged) >= 80:
            with pytest.raises(DamagedError, match=key):
                unseal(key, damaged)
        else:  # of so little of a JSON object nothing can be parsed
            assert not believed(key, damaged)


@of_every_form
def test_the_bytes_of_another_key_are_not_believed(key: str):
    other = key.replace("0123456789ab", "ba9876543210").replace("mine", "yours")
    with pytest.raises(DamagedError, match=other):
        unseal(other, seal(key, CONTENTS[key]))


@of_every_form
@pytest.mark.parametrize("junk", [b"", b"junk", b"<html></html>", bytes(500)])
def test_what_is_of_another_form_is_not_believed(key: str, junk: bytes):
    with pytest.raises(DamagedError, match=key):
        unseal(key, junk)


def test_weights_are_those_that_their_key_names(storage: Storage):
    data = tensors_to_bytes({"weight": torch.arange(6.0)})
    storage.write("weights/0123456789ab-aaaaaaaaaaaa.pt", data)
    with pytest.raises(DamagedError, match=r"0123456789ab-aaaaaaaaaaaa\.pt holds others"):
        storage.read("weights/0123456789ab-aaaaaaaaaaaa.pt")


def test_sealed_objects_open_with_the_tools_of_their_form(storage: Storage):
    for key, content in CONTENTS.items():
        storage.write(key, content)
    path = {key: Path(storage.uri, key) for key in CONTENTS}
    record = json.loads(path["records/0123456789ab.json"].read_text())
    assert (len(record.pop("sha256")), record) == (64, json.loads(RECORD))
    checkpoint = torch.load(path["checkpoints/0123456789ab.pt"], weights_only=True)
    assert checkpoint["weight"].tolist() == [0, 1, 2, 3, 4, 5]
    evaluation = path["evaluations/0123456789ab.npz"]
    assert np.load(evaluation)["values"].tolist() == [1, 2, 3]
    assert zipfile.ZipFile(evaluation).testzip() is None
    samples = duckdb.read_json(str(path["searches/mine/samples.jsonl"]))
    assert samples.select("number").fetchall() == [(1,), (2,)]


def test_files_that_people_make_beside_the_objects_of_a_study_are_theirs(storage: Storage):
    for key in ("table.json", "figures/a.json", "datasets/a-0123456789ab.npz", "trials/1.parquet"):
        storage.write(key, b'{"mine": true}')
        assert Path(storage.uri, key).read_bytes() == storage.read(key) == b'{"mine": true}'


@pytest.fixture
def remote(s3_server: S3Server, s3_keys: None, tmp_path: Path):
    with FaultyProxy(s3_server.endpoint) as line:
        uri = f"s3://{S3Server.bucket}/{tmp_path.name}?endpoint_override={line.endpoint}"
        storage = Storage(f"{uri}&scheme=http", patience_seconds=5)
        for key, content in CONTENTS.items():
            storage.write(key, content)
            assert storage.read(key) == content  # the line now has bodies to lie with
        yield line, storage


def lies(fault: str, times: int) -> Callable[[str, str], str | None]:
    left = [fault] * times
    return lambda method, path: left.pop() if method == "GET" and left else None


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("fault", LIES)
def test_a_line_that_lies_once_or_twice_is_asked_again(
    remote: tuple[FaultyProxy, Storage], fault: str, times: int
):
    line, storage = remote
    for key, content in CONTENTS.items():
        line.choose = lies(fault, times)
        assert storage.read(key) == content
    assert set(line.faults) == {fault}


@pytest.mark.parametrize("fault", LIES)
def test_a_line_that_goes_on_lying_is_not_believed(remote: tuple[FaultyProxy, Storage], fault: str):
    line, storage = remote
    line.choose = lies(fault, times=10**6)
    for key, content in storage.read_many(CONTENTS):
        # What is missing of a short body is old memory, which may happen to hold the very object.
        right = fault == "short" and content == CONTENTS[key]
        assert right or isinstance(content, DamagedError), (key, content)
