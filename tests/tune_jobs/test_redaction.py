"""Secrets reach no message, record or log, in whatever form they come."""

import pickle

import pytest

from analysis.errors import AnalysisError
from tune_jobs.errors import StorageError, TuneJobsError
from tune_jobs.records.schema import RecordError
from tune_jobs.redaction import redact

SECRET = "wJalrXUtnFEMIK7MDENG"
FORMS = [
    "s3://AKIA0123456789ABCDEF:{}@bucket/runs",
    "http://user:{}@host:9000/path?x=1",
    "postgresql+psycopg://user:p@ss{}@host/db",
    "http://user:with/slash{}@host",
    "http://{}@host:9000",
    "user:{}@host:9000",
    "cannot resolve 'me:{}@minio.example'",
    "endpoint_override=user:{}@host&scheme=http",
    "s3://bucket/runs?secret_key={}&region=x",
    "https://host/a?X-Amz-Signature={}&X-Amz-Expires=1",
    "https://host/a?sig={}",
    "AWS_SECRET_ACCESS_KEY={}",
    '{{"aws_session_token": "{}"}}',
    "Authorization: Bearer {}",
    "Authorization: Basic {}",
    "bearer {}",
    "password = '{}'",
    "--token={}",
    "MLFLOW_TRACKING_PASSWORD: {}",
]


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_taken_out_wherever_it_stands(form: str):
    text = f"A server must answer; {form.format(SECRET)} does not."
    shown = redact(text)
    assert SECRET not in shown
    assert "***" in shown
    assert redact(shown) == shown
    assert shown.startswith("A server must answer; ")


@pytest.mark.parametrize(
    "name", ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "RAY_AUTH_TOKEN", "MY_DB_PASSWORD"]
)
def test_what_a_variable_holds_is_taken_out_of_any_text(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(name, SECRET)
    assert redact(f"curl -H {SECRET}/x") == "curl -H ***/x"


@pytest.mark.parametrize(
    "text",
    [
        "Storage must be a folder or s3://bucket/prefix; got 'ftp://x/y'.",
        "s3://bucket/runs?endpoint_override=127.0.0.1:9000&scheme=http&region=eu-west-1",
        "its keys are not accepted; see AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        "records/0123456789ab.json: A record must be JSON; reading it failed at 12:30:59.",
        "the cluster whose token RAY_AUTH_TOKEN holds; http://10.0.0.1:8265/a@b does not",
        "emoji@published",
        "https://[::1]:9000/runs",
    ],
)
def test_what_holds_no_secret_stays_as_it_is(text: str):
    assert redact(text) == text


@pytest.mark.parametrize("error", [TuneJobsError, StorageError, RecordError, AnalysisError])
def test_no_error_of_ours_says_a_secret_also_on_another_machine(error: type[Exception]):
    raised = error(f"got s3://me:{SECRET}@bucket.")
    assert str(raised) == str(pickle.loads(pickle.dumps(raised))) == "got s3://***@bucket."


@pytest.mark.parametrize("name", ["PWD", "OLDPWD"])
def test_the_shells_folders_are_no_passwords(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(name, "/home/me/project")
    assert redact("looked for in /home/me/project") == "looked for in /home/me/project"
