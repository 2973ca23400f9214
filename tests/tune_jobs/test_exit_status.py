"""What a command that saw nothing, or not what was meant, says and returns."""

from pathlib import Path

import pytest

from lab.s3_server import S3Server
from tune_jobs.cli import main
from tune_jobs.cluster.bundle import Bundle
from tune_jobs.storage import Storage
from tune_jobs.storage.claim import new_claim, write_claim


@pytest.mark.parametrize(
    "command", [["status"], ["clean"], ["evaluate"], ["export", "--tensorboard", "x"], ["plan"]]
)
def test_a_misspelt_bucket_is_not_taken_for_an_empty_one(
    command: list[str],
    s3_server: S3Server,
    s3_keys: None,
    bars: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    if command == ["plan"]:
        axes = f"{{model: standard, dataset: {bars}, scenario: 2, kernel_size: 3, "
        Path("x.yaml").write_text(
            f"name: x\naxes: {axes} interpolation: null, lr: 0.001, seed: 1}}\n"
        )
        command = ["plan", "x.yaml"]
    for bucket, status in (("misspelt", 2), (s3_server.bucket, 0)):
        uri = f"s3://{bucket}/none?endpoint_override={s3_server.endpoint}&scheme=http"
        assert main([*command, "--storage", uri]) == status
        said = capsys.readouterr().err
        assert ("there is no bucket 'misspelt'. Is it misspelt?" in said) is bool(status)


def test_status_shows_what_runs_though_nothing_has_ended(
    storage: Storage, capsys: pytest.CaptureFixture[str]
):
    assert main(["status", "--storage", storage.uri]) == 0
    assert "holds no trial" in capsys.readouterr().out
    write_claim(storage, "0123456789ab", new_claim("me", (3, 0), None))
    assert main(["status", "--storage", storage.uri]) == 0
    shown = capsys.readouterr().out
    assert "in flight 0123456789ab: on " in shown
    assert "holds no trial" not in shown


@pytest.mark.parametrize("key", ["records/0123456789ab.json", "studies/x/runs.json"])
def test_status_shows_damage_though_nothing_else_is_there(
    key: str, storage: Storage, capsys: pytest.CaptureFixture[str]
):
    path = Path(storage.uri) / key
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\x00")
    assert main(["status", "--storage", storage.uri]) == 0
    shown = capsys.readouterr().out
    assert f"damaged   {key}" in shown
    assert "holds no trial" not in shown


def test_a_dry_run_lists_what_submit_would_send_and_asks_nobody(
    bars: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    axes = f"{{model: standard, dataset: {bars}, scenario: 2, kernel_size: 3, "
    Path("x.yaml").write_text(f"name: x\naxes: {axes} interpolation: null, lr: 0.001, seed: 1}}\n")
    words = ["--storage", "s3://nowhere/x", "--address", "http://127.0.0.1:9", "--dry-run"]
    assert main(["submit", "x.yaml", *words]) == 0
    shown = capsys.readouterr().out.splitlines()
    bundle = Bundle.of(study_file=Path("x.yaml"), imports=())
    listed = {line.split()[1]: int(line.split()[0].replace(",", "")) for line in shown[:-2]}
    assert {name: listed[name] for name, _ in bundle.files} == {
        name: file.size for name, file in bundle.files
    }
    assert shown[-2].endswith(f"{bars}, to the storage unless there")
    assert shown[-1].endswith(f"of code in {len(bundle.files):,} files; nothing was sent")
