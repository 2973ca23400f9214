from stir import archive, unpack


def test_who_unpacks_second_finds_the_folder_of_the_first(small_path, tmp_path, monkeypatch):
    folder = tmp_path / "unpacked"
    read = archive.read

    def overtaken(path, names):
        monkeypatch.setattr(archive, "read", read)
        unpack(path, folder)  # another process, which is done in the meantime
        return read(path, names)

    monkeypatch.setattr(archive, "read", overtaken)
    assert unpack(small_path, folder) == folder
    assert [path.name for path in tmp_path.iterdir()] == ["unpacked"]
    assert sorted(path.stem for path in folder.iterdir()) == sorted(read(small_path))
