"""Clusters of Ray: connecting, submitting jobs, what is sent, spot machines, checks of a file."""
