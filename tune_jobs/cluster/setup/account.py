"""An AWS account as its caller sees it; whatever AWS refuses becomes one sentence."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from tune_jobs.errors import TuneJobsError

_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
_UNKNOWN = (
    *("InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch"),
    *("AuthFailure", "InvalidAccessKeyId", "MissingAuthenticationToken"),
)
_REFUSED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AllAccessDisabled")
_LOG_IN = "`aws configure` or `aws sso login` gives them; AWS_PROFILE chooses among several"
_ENCODED = re.compile(r"\s*Encoded authorization failure message:.*", re.DOTALL)


class Account:
    """The account and the region that this user's credentials lead to."""

    def __init__(self, region: str | None = None) -> None:
        """``region`` is that of the user's configuration by default. TuneJobsError for none."""
        boto3 = _boto3()
        with asking("the configuration of AWS"):
            self._session = boto3.session.Session(region_name=region)
            known = self._session.get_available_regions("ec2")
        if self._session.region_name not in known:
            raise TuneJobsError(
                "--region must be a region of AWS, such as us-east-1; got "
                f"{self._session.region_name or 'none, and none is configured'}."
            )
        self.region: str = self._session.region_name

    def client(self, service: str) -> Any:
        """The client of a service; use it in ``asking``."""
        from botocore.config import Config

        config = Config(connect_timeout=10, read_timeout=60, retries={"mode": "standard"})
        return self._session.client(service, config=config)

    @cached_property
    def _caller(self) -> dict[str, str]:
        with asking("who the caller is"):
            return self.client("sts").get_caller_identity()

    @property
    def number(self) -> str:
        """The twelve digits of the account."""
        return self._caller["Account"]

    @property
    def user(self) -> str:
        """The caller's name in the account."""
        return self._caller["Arn"].rpartition(":")[2]


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Turn every error of a request about ``what`` into a TuneJobsError of one sentence."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise TuneJobsError(_refusal(what, error)) from None
    except BotoCoreError as error:
        raise TuneJobsError(_failure(what, error)) from None


def code_of(error: Any) -> str:
    """What AWS calls an error, such as ``AccessDenied``."""
    return error.response.get("Error", {}).get("Code", "")


def _refusal(what: str, error: Any) -> str:
    code, operation = code_of(error), error.operation_name
    said = _ENCODED.sub("", " ".join(error.response.get("Error", {}).get("Message", "").split()))
    if code in _EXPIRED:
        return f"Credentials of AWS must be fresh; these have expired. {_LOG_IN}."
    if code in _UNKNOWN:
        return f"Credentials of AWS must be known to it; these are not ({code}). {_LOG_IN}."
    if code in _REFUSED or code == "403":
        return (
            f"These credentials must have the right to {operation}, for {what}; they have not "
            f"({said[:200] or code}). An administrator of the account can give it, or do this step."
        )
    if code == "OptInRequired":
        return f"The account must be set up for this region; {operation} says: {said[:200]}."
    return f"AWS must do {operation}, for {what}; it says {code}: {said[:300].rstrip('.')}."


def _failure(what: str, error: Exception) -> str:
    name, said = type(error).__name__, " ".join(str(error).split())[:200].rstrip(".")
    if "Credential" in name or "Token" in name or "SSO" in name or name == "ProfileNotFound":
        return f"AWS must be given credentials; {said}. {_LOG_IN}."
    if name == "NoRegionError":
        return "A region must be named, with --region or AWS_DEFAULT_REGION; none is."
    return f"AWS must answer about {what}; {said}."


def _boto3() -> Any:
    try:
        import boto3
    except ModuleNotFoundError:
        raise TuneJobsError(
            "A cluster on AWS needs boto3; it is not installed. "
            "Install it with: pip install -c constraints.txt -e '.[all,aws]'"
        ) from None
    return boto3
