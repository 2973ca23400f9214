"""What holds trials back, and brings the model that can be held to a study."""

import shutil
from collections.abc import Mapping
from pathlib import Path

MODEL = Path(__file__).with_name("held.py")


class Hold:
    """Slows the trials of the model ``held`` down from ``start`` to ``release``.

    ``file`` says so to all processes that see it and whose environment has ``variables``. A study
    uses the model with ``imports: [held]``; ``bring_model`` puts it beside the study.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.variables: Mapping[str, str] = {"LAB_HOLD": str(file)}

    def start(self, *, batch_seconds: float = 1.0) -> None:
        """Let a batch take this long, from the 41st on that a process trains."""
        draft = self._file.with_name(f"{self._file.name}.new")
        draft.write_text(str(batch_seconds))
        draft.replace(self._file)

    def release(self) -> None:
        """Let trials go on at full speed; also when they do already."""
        self._file.unlink(missing_ok=True)

    @staticmethod
    def bring_model(folder: Path) -> None:
        """Put the module ``held`` into a folder, for a study there to import."""
        shutil.copy(MODEL, folder)
