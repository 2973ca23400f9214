"""What all command lines share: how they start and end, their options, their progress."""

from stir.terminal.parser import Parser
from stir.terminal.progress import Progress, progress_bar, silent
from stir.terminal.run import exit_status, start
from stir.terminal.silence import step
from stir.terminal.words import counted, near

__all__ = [
    "Parser",
    "Progress",
    "counted",
    "exit_status",
    "near",
    "progress_bar",
    "silent",
    "start",
    "step",
]
