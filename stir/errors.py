"""The error that the benchmark data raise for bad input."""


class StirError(ValueError):
    """Bad input to the benchmark data: the rule, what came, and what would be accepted."""
