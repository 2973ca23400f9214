"""The errors that the service raises: bad input, a GPU that is lost, a storage that fails."""

from tune_jobs.redaction import redact


class TuneJobsError(ValueError):
    """Bad input to the service: the rule, what came, and what would be accepted; no secrets."""

    def __init__(self, message: str = "") -> None:
        super().__init__(redact(message))


class DeviceLostError(TuneJobsError):
    """A GPU no longer answers this process; a new process may be able to use it."""


class StorageError(OSError):
    """The storage does not do as asked, however often; no fault of the trial that asked."""

    def __init__(self, message: str = "") -> None:
        super().__init__(redact(message))
