import pickle
from pathlib import Path

import pytest

from stir import archive
from tune_jobs.errors import TuneJobsError
from tune_jobs.storage import Storage


def test_what_is_written_is_read_back_and_replaced(storage: Storage):
    storage.write("records/a.json", b'{"a": 1}')
    storage.write("records/a.json", b'{"a": 2}')
    assert storage.read("records/a.json") == b'{"a": 2}'


def test_listing_gives_keys_in_order_with_sizes_and_skips_other_folders(storage: Storage):
    for key in ("records/b.json", "records/a.json", "claims/a.json", "failures/a/1.json"):
        storage.write(key, b"12")
    assert [item.key for item in storage.list("records")] == ["records/a.json", "records/b.json"]
    assert [item.key for item in storage.list("failures")] == ["failures/a/1.json"]
    assert {item.size for item in storage.list("records")} == {2}
    assert list(storage.list("weights")) == []


def test_a_missing_object_is_an_error_to_read_and_none_to_delete(storage: Storage):
    assert not storage.exists("records/a.json")
    storage.delete("records/a.json")
    with pytest.raises(FileNotFoundError):
        storage.read("records/a.json")


def test_a_write_that_breaks_leaves_the_old_object_and_no_other_file(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
):
    storage.write("records/a.json", b'{"a": 1}')

    def full_disk(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space left"):
        storage.write("records/a.json", b"new")
    assert storage.read("records/a.json") == b'{"a": 1}'
    assert [path.name for path in Path(storage.uri, "records").iterdir()] == ["a.json"]


def test_a_file_that_is_still_being_written_is_not_listed(storage: Storage):
    with archive.written(Path(storage.uri, "records", "a.json")):
        assert list(storage.list("records")) == []


def test_a_storage_that_cannot_be_written_says_so_and_what_would_do(tmp_path: Path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(
        OSError, match=r"^Storage must be writable; .*/file/runs is not .*--storage"
    ):
        Storage(tmp_path / "file" / "runs").check_writable()


def test_checking_leaves_nothing_behind(storage: Storage):
    storage.check_writable()
    assert list(Path(storage.uri).iterdir()) == []


def test_another_kind_of_uri_is_refused_with_the_rule():
    with pytest.raises(TuneJobsError, match="folder or s3://bucket/prefix; got 'ftp://x/y'"):
        Storage("ftp://x/y")


def test_a_storage_travels_to_another_process(storage: Storage):
    storage.write("a", b"1")
    assert pickle.loads(pickle.dumps(storage)).read("a") == b"1"


@pytest.mark.parametrize("uri", ["s3:/bucket/prefix", "gs://bucket", "file:/tmp/runs"])
def test_a_uri_that_is_neither_a_folder_nor_s3_is_refused(uri: str):
    with pytest.raises(TuneJobsError, match="Storage must be a folder or s3://bucket/prefix"):
        Storage(uri)
