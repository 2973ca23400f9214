"""Runs on an MLflow server, or in a database of it."""

import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tune_jobs.errors import TuneJobsError
from tune_jobs.exports.records import (
    by_scale,
    of_epochs,
    parameters,
    results,
    run_name,
    seconds_of,
)
from tune_jobs.records.trial import TrialRecord
from tune_jobs.redaction import secrets_of, without_secrets

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

EXPERIMENT = "scale-generalization"
POINT_ID = "point_id"  # the tag that marks runs of ours
BATCH = 1000  # metrics that MLflow takes at once
PAGE = 1000  # runs asked for at once


class MlflowRuns:
    """A run for each record in the experiment EXPERIMENT.

    A run counts as whole once MLflow has it as finished; what an export that was cut off has left
    is removed and made anew. Raises TuneJobsError if MLflow is not installed or refuses, without
    the user's name and password that the URI may have.
    """

    at_once = 1  # a database in a file takes one writer at a time

    def __init__(self, uri: str) -> None:
        self._uri = uri
        # Without these MLflow asks a server that does not answer for minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        self._client = _client(uri)
        self._experiment_id = self._asked(self._find_experiment)

    def known(self) -> set[str]:
        whole: set[str] = set()
        for run in self._asked(lambda: list(self._runs())):
            point_id = run.data.tags.get(POINT_ID)
            if run.info.status == "FINISHED" and point_id:
                whole.add(point_id)
            elif point_id:
                self._asked(lambda run=run: self._client.delete_run(run.info.run_id))
        return whole

    def add(self, record: TrialRecord) -> None:
        self._asked(lambda: self._add(record))

    def _add(self, record: TrialRecord) -> None:
        from mlflow.entities import Param

        run = self._client.create_run(
            self._experiment_id,
            start_time=_milliseconds(record.started_at),
            tags={POINT_ID: record.point_id, "weights_key": record.weights_key},
            run_name=run_name(record),
        )
        chosen = [Param(name, str(value)) for name, value in parameters(record).items()]
        self._client.log_batch(run.info.run_id, params=chosen)
        metrics = list(_metrics(record))
        for start in range(0, len(metrics), BATCH):
            self._client.log_batch(run.info.run_id, metrics=metrics[start : start + BATCH])
        ended = _milliseconds(record.finished_at)
        self._client.set_terminated(run.info.run_id, "FINISHED", ended)

    def _find_experiment(self) -> str:
        found = self._client.get_experiment_by_name(EXPERIMENT)
        return found.experiment_id if found else self._client.create_experiment(EXPERIMENT)

    def _runs(self) -> "Iterator[Run]":
        page = self._client.search_runs([self._experiment_id], max_results=PAGE)
        yield from page
        while page.token:
            page = self._client.search_runs(
                [self._experiment_id], max_results=PAGE, page_token=page.token
            )
            yield from page

    def _asked(self, action: Any) -> Any:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return action()
        except (MlflowException, SQLAlchemyError, ValueError) as error:
            raise TuneJobsError(
                "--mlflow must be a tracking server or database that takes runs; "
                f"{without_secrets(self._uri)} does not: {_reason(error, self._uri):.300}"
            ) from None


def _reason(error: Exception, uri: str) -> str:
    """The message of an error, in one line and without the secrets of a URI."""
    text = str(error).replace(uri, without_secrets(uri))
    for secret in secrets_of(uri):
        text = text.replace(secret, "").replace(unquote(secret), "")
    return " ".join(text.split())


def _client(uri: str) -> "MlflowClient":
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError:
        raise TuneJobsError(
            "--mlflow needs MLflow, which is not installed; "
            "`pip install 'scale-generalization[mlflow]'` installs its client."
        ) from None
    for name in ("mlflow", "alembic"):  # which log every step of making a database
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        return MlflowClient(tracking_uri=uri)
    except ImportError as error:
        raise TuneJobsError(
            f"--mlflow {without_secrets(uri)} needs the driver of its database, the Python module "
            f"{error.name!r}, which is not installed."
        ) from None
    except (MlflowException, SQLAlchemyError, ValueError) as error:
        reason = _reason(error, uri).partition(". ")[0]
        raise TuneJobsError(
            "--mlflow must be http://HOST:PORT or sqlite:///FILE, or another URI that MLflow "
            f"knows; got {without_secrets(uri)!r}: {reason:.300}."
        ) from None


def _metrics(record: TrialRecord) -> "Iterator[Metric]":
    from mlflow.entities import Metric

    ended = _milliseconds(record.finished_at)
    for epoch, values in of_epochs(record):
        when = _milliseconds(epoch.finished_at)
        yield from (Metric(name, value, when, epoch.epoch) for name, value in values.items())
    for name, value in results(record).items():
        yield Metric(name, float(value), ended, 0)
    for scale, accuracy in by_scale(record):
        yield Metric("test_accuracy_by_scale", accuracy, ended, scale)


def _milliseconds(time: str) -> int:
    return round(seconds_of(time) * 1000)
