"""What is wrong with a cluster file, before it costs money or opens a door."""

from tune_jobs.cluster.check.check import ON_AWS, Report, check_cluster

__all__ = ["ON_AWS", "Report", "check_cluster"]
