"""Clusters of Ray: connecting, submitting jobs, what travels, spot machines, checks of a file."""
