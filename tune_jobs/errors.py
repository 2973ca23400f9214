class TuneJobsError(ValueError):
    """Bad input to the service: the rule, what came, and what would be accepted."""


class StorageError(OSError):
    """The storage does not do as asked, however often; no fault of the trial that asked."""
