"""Trials that outlast whatever a test waits for, however fast the machine is."""

from lab.hold.hold import Hold

__all__ = ["Hold"]
