"""What is wrong with a cluster file, before it costs money or opens a door."""

from tune_jobs.cluster.check.check import CHECKS, Report, check_cluster

__all__ = ["CHECKS", "Report", "check_cluster"]
