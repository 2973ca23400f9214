class AnalysisError(ValueError):
    """Bad input to the analysis: the rule, what came, and what would be accepted."""
