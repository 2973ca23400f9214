"""The error that the analysis raises for bad input."""

from tune_jobs.redaction import redact


class AnalysisError(ValueError):
    """Bad input to the analysis: the rule, what came, and what would be accepted."""

    def __init__(self, message: str = "") -> None:
        super().__init__(redact(message))
