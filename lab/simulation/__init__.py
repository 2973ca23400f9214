"""The protocol of trials, claims, checkpoints, records, drivers and clean in simulated time.

A seed decides everything that happens; see ``docs/reliability.md``.
"""
