"""Test gear: several machines made of one, a real S3 server, faults on the way to it, small data.

Tests and benchmarks use it. No package imports it, no wheel holds it, and no job carries it.
"""
