class TuneJobsError(ValueError):
    """Bad input to the service: the rule, what came, and what would be accepted."""
