"""What must hold in every history."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from lab.simulation.process import Process
from lab.simulation.service import Service
from lab.simulation.store import Store
from tune_jobs.records.trial import FailureRecord, RecordError, TrialRecord
from tune_jobs.storage.claim import DEATHS_ALLOWED, HEARTBEAT_SECONDS
from tune_jobs.storage.seal import unseal

AT_ONCE_SECONDS = 60.0  # between two trials that may both find no claim
TOGETHER_SECONDS = HEARTBEAT_SECONDS + 90.0  # until one of them must have noticed
TIMES = (
    *("sha256", "started_at", "finished_at", "wall_seconds"),
    *("resumptions", "lost_checkpoints", "provenance"),
)
EPOCH_TIMES = ("seconds", "train_seconds", "valid_seconds", "finished_at")
Numbers = Mapping[str, Any]


def numbers(record: bytes) -> Numbers:
    """All that a trial measured, not when and after what; ``record`` as it is stored."""
    content = json.loads(record)
    content["epochs"] = [
        {name: value for name, value in epoch.items() if name not in EPOCH_TIMES}
        for epoch in content["epochs"]
    ]
    return {name: value for name, value in content.items() if name not in TIMES}


class Watch:
    """Looks at every change of the store as it happens, with the numbers of undisturbed trials."""

    def __init__(self, expected: Mapping[str, Numbers]) -> None:
        self._expected = expected
        self._training: dict[str, dict[str, tuple[Process, float]]] = {}
        self.store: Store
        self.service: Service

    def changed(self, key: str, data: bytes | None) -> None:
        folder, _, name = key.partition("/")
        if folder != "records":
            return
        point_id = name.removesuffix(".json")
        if data is None:
            self._violate(f"the record of {point_id} is lost")
            return
        found = numbers(data)
        if self._expected and found != self._expected.get(point_id):
            self._violate(f"the record of {point_id} differs from that of an undisturbed trial")
        elif not self.store.was_there(found["weights_key"]):
            self._violate(f"the record of {point_id} is written before its weights")

    def trains(self, point_id: str, process: Process, began: float) -> None:
        """A process has done a batch: no other driver's may have been training the same point.

        But for those that began at the same moment, until the next heartbeat; and where claims can
        be trusted: a process that was stopped, say, has lost its own for a reason.
        """
        world = self.service.world
        if not world.faults.are_calm:
            return
        here = self._training.setdefault(point_id, {})
        here[process.name] = process, began
        for other, since in here.values():
            ours = other.driver == process.driver
            late = began > since + AT_ONCE_SECONDS or world.now > began + TOGETHER_SECONDS
            if since <= began and late and not ours and world.is_alive(other):
                self._violate(f"{process.name} trains what {other.name} has claimed")

    def at_end(self) -> None:
        """Look at what is in the store at the end."""
        for point_id in self._expected:
            try:
                record = TrialRecord.from_json(self._content(f"records/{point_id}.json"))
                weights = self.store[record.weights_key]
            except KeyError as error:
                self._violate(f"{point_id} has a result without {error}")
            except RecordError as error:
                self._violate(f"the record of {point_id} is damaged: {error}")
            else:
                digest = hashlib.sha256(weights).hexdigest()[:12]
                if record.weights_key != f"weights/{point_id}-{digest}.pt":
                    self._violate(f"the weights of {point_id} are not those that it names")
        for kind in ("records", "weights"):
            if len(found := self.store.keys(kind)) > len(self._expected):
                self._violate(f"there are {kind} that no trial of the study made: {found}")
        for key in self.store.keys("failures"):
            self._failed(FailureRecord.from_json(self._content(key)))

    def _content(self, key: str) -> bytes:
        return unseal(key, self.store[key])

    def _failed(self, failure: FailureRecord) -> None:
        killed = "may lose its process" in failure.error
        if not killed or self.service.starts[failure.point_id] < DEATHS_ALLOWED:
            self._violate(f"{failure.point_id} failed without a reason: {failure.error}")

    def _violate(self, text: str) -> None:
        self.service.world.violate(text)
