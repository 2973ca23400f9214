"""An AWS account of moto's, in this process, that is empty at first."""

import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.ssm.models import Parameter, ssm_backends

from tune_jobs.cluster.setup import aws, stack
from tune_jobs.cluster.setup.account import Account
from tune_jobs.cluster.setup.market import IMAGE_PARAMETER, default_network
from tune_jobs.cluster.setup.software import write_software

REGION = "us-east-1"
IMAGE = "ami-03cf127a"  # one that moto has


@pytest.fixture(scope="session")
def software(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What machines install, made once for all tests: that takes a second."""
    folder = tmp_path_factory.mktemp("software")
    write_software(folder)
    return folder


@pytest.fixture
def account(tmp_path: Path, software: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable]:
    """Gives clients of its services. Home and the current folder are the test's own."""

    def copy(folder: Path) -> tuple[str, ...]:
        shutil.copytree(software, folder, dirs_exist_ok=True)
        return tuple(path.name for path in software.iterdir())

    monkeypatch.setattr(aws, "write_software", copy)
    for name in [name for name in os.environ if name.startswith(("AWS_", "RAY_AUTH"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stack, "POLL_SECONDS", 0.0)
    with empty_account(monkeypatch):
        yield boto3.client


@contextmanager
def empty_account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An account in which nothing is, and its keys in the environment."""
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    for name, value in {**keys, "AWS_DEFAULT_REGION": REGION}.items():
        monkeypatch.setenv(name, value)
    with warnings.catch_warnings(), mock_aws():
        warnings.filterwarnings("ignore", "Tried to parse AWS::S3::BucketPolicy")
        _publish_image()
        yield


@pytest.fixture(scope="module")
def made() -> Iterator[Callable]:
    """Clients of an account that has the stack of a cluster, and nothing else."""
    parameters = {
        "Name": "stir",
        "FromAddress": "203.0.113.7/32",
        "MachineTypes": "m7i.large,c7i.4xlarge,g6.2xlarge",
        "ExistingBucket": "",
    }
    with pytest.MonkeyPatch.context() as monkeypatch, empty_account(monkeypatch):
        monkeypatch.setattr(stack, "POLL_SECONDS", 0.0)
        account = Account(REGION)
        parameters["Vpc"] = default_network(account)
        stack.deploy_stack(account, "stir", parameters, lambda line: None)
        yield boto3.client


def _publish_image() -> None:
    """Amazon's parameter, which moto lacks."""
    parameters = ssm_backends[DEFAULT_ACCOUNT_ID][REGION]._parameters
    parameters[IMAGE_PARAMETER].append(
        Parameter(
            account_id=DEFAULT_ACCOUNT_ID, name=IMAGE_PARAMETER, value=IMAGE,
            parameter_type="String", description="", allowed_pattern=None, keyid=None,
            last_modified_date=0, version=1, data_type="text",
        )
    )  # fmt: skip
