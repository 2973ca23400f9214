"""An object store that answers as late or wrongly as the faults of a world have it."""

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from pyarrow import fs

from lab.simulation.process import Process
from lab.simulation.world import BEGAN, World

ROOT = "simulated/runs"
URI = f"s3://{ROOT}?endpoint_override=simulated&scheme=http"
QUICKEST, SPREAD = 0.01, 0.19  # seconds: half a request takes so long, and up to so much more
LONGEST_LAG = 60.0  # seconds, until a request that was given up is done, or an old state is over
LONGEST_REMOVAL = 900.0  # seconds, until a removal that was given up is done
LONGEST_ANSWER = 100.0  # seconds
WRONG = frozenset({"short", "padded", "flipped", "foreign", "stale", "blank"})
_AFTER = {kind: f"after {kind}" for kind in ("write", "delete", "read", "look", "list")}
FOLDERS_OF_NOTE = ("records", "weights", "failures", "damaged")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """What a listing says of an object; as FileInfo has it, but quick to make and to ask."""

    path: str
    base_name: str
    size: int
    mtime_ns: int
    type: fs.FileType = fs.FileType.File


@dataclass(frozen=True, slots=True)
class Version:
    """What an object was from some moment on; ``data`` is None of one that was removed."""

    data: bytes | None
    since: float
    entry: Entry | None = None


GONE = Version(None, 0.0)


class Store:
    """Objects with their history, behind what Storage asks of a pyarrow file system.

    ``changed`` is called for every object that is written or removed, before any process sees that.
    """

    def __init__(self, world: World, changed: Callable[[str, bytes | None], None]) -> None:
        self._world, self._changed = world, changed
        self._versions: dict[str, list[Version]] = {}
        self._wrong: set[tuple[Process, str, str]] = set()  # whose last answer was wrong

    def __getitem__(self, key: str) -> bytes:
        data = self._now(key).data
        if data is None:
            raise KeyError(key)
        return data

    def keys(self, folder: str) -> list[str]:
        return [key for key in self._versions if key.startswith(f"{folder}/") and self._is(key)]

    def was_there(self, key: str) -> bool:
        """Whether an object has ever been written, removed since or not."""
        return key in self._versions

    def _is(self, key: str) -> bool:
        return self._now(key).data is not None

    def _now(self, key: str) -> Version:
        versions = self._versions.get(key)
        return versions[-1] if versions else GONE

    def _before(self, key: str) -> Version:
        """What an object was up to ``LONGEST_LAG`` ago, if it was anything else."""
        versions = self._versions.get(key, [])
        if versions and versions[-1].since > self._world.now - LONGEST_LAG:
            return versions[-2] if len(versions) > 1 else GONE
        return self._now(key)

    # What Storage asks

    def open_input_file(self, path: str) -> "Answer":
        key = path.removeprefix(f"{ROOT}/")
        version, fault = self._request("look", key, lambda: self._now(key))
        if fault == "stale":
            version = self._before(key)
        if version.data is None:
            raise FileNotFoundError(path)
        return Answer(self, key, version)

    def open_output_stream(self, path: str) -> "Upload":
        return Upload(self, path.removeprefix(f"{ROOT}/"))

    def delete_file(self, path: str) -> None:
        key = path.removeprefix(f"{ROOT}/")
        self._request("delete", key, lambda: self._set(key, None))

    def get_file_info(self, selector: fs.FileSelector) -> list[Entry]:
        folder = selector.base_dir.removeprefix(ROOT).strip("/")
        found, fault = self._request("list", folder, lambda: self._listing(folder, self._now))
        if fault == "blank":
            return []
        return self._listing(folder, self._before) if fault == "stale" else found

    def write(self, key: str, data: bytes) -> None:
        self._request("write", key, lambda: self._set(key, data))

    def body(self, key: str, size: int) -> bytes:
        """The first bytes of an object, as many as it was said to have."""
        version, fault = self._request("read", key, lambda: self._now(key))
        if fault == "stale":
            version = self._before(key)
        if version.data is None:
            raise FileNotFoundError(key)
        return self._mangled(version.data[:size], key, fault)

    def _mangled(self, data: bytes, key: str, fault: str) -> bytes:
        rng = self._world.rng
        if fault == "short":
            return data[: rng.randrange(len(data) + 1)]
        if fault == "flipped" and data:
            at = rng.randrange(len(data))
            return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        if fault in ("foreign", "padded"):
            others = [other for other in self.keys(key.split("/")[0]) if other != key]
            other = self[rng.choice(others)] if others else bytes(len(data))
            kept = rng.randrange(len(data) + 1) if fault == "padded" else 0
            return (data[:kept] + other[kept:]).ljust(len(data), b"\0")[: len(data)]
        return data

    def _request(self, kind: str, key: str, act: Callable[[], T]) -> tuple[T, str]:
        """Ask, act, answer: others move before and after; returns the answer and its fault."""
        world = self._world
        fault = world.strike("before")
        world.sleep(QUICKEST + SPREAD * world.rng.random())
        if fault:
            self._suffer_before(fault, f"{kind} {key}")
        fault = world.strike(_AFTER[kind])
        if fault or self._wrong:
            fault = self._once(kind, key, fault)
        if fault in ("lagging", "twice"):
            world.note(f"{fault}: {kind} {key}")
            longest = LONGEST_REMOVAL if kind == "delete" else LONGEST_LAG
            world.start("the network", act, after=world.rng.uniform(1, longest), apart=True)
        answer = act() if fault != "lagging" else None
        world.sleep(QUICKEST + SPREAD * world.rng.random())
        if fault and fault != "twice":
            self._suffer_after(fault, f"{kind} {key}")
        return answer, fault  # type: ignore[return-value]

    def _suffer_before(self, fault: str, where: str) -> None:
        world = self._world
        if fault == "refused":
            world.note(f"503 at {where}")
            raise OSError("AWS Error SLOW_DOWN: HTTP status 503")
        if fault == "slow":
            world.note(f"the answer to {where} is slow")
            world.sleep(world.rng.uniform(1, LONGEST_ANSWER))
        else:
            world.suffer(fault, f"before {where}")

    def _suffer_after(self, fault: str, where: str) -> None:
        world = self._world
        if fault in ("cut", "lagging"):
            world.note(f"no answer to {where}")
            raise OSError("AWS Error NETWORK_CONNECTION: the connection was cut")
        if fault in ("killed", "stopped"):
            world.suffer(fault, f"after {where}")
        else:
            world.note(f"a {fault} answer to {where}")

    def _once(self, kind: str, key: str, fault: str) -> str:
        """A process's question is not answered wrongly twice in a row."""
        question = self._world.here, kind, key
        if fault in WRONG:
            if question in self._wrong:
                return ""
            self._wrong.add(question)
        else:
            self._wrong.discard(question)
        return fault

    def _set(self, key: str, data: bytes | None) -> None:
        if data is None and not self._is(key):
            return
        if key.startswith(FOLDERS_OF_NOTE):
            self._world.note(f"{'removes' if data is None else 'writes'} {key}")
        self._changed(key, data)
        now, entry = self._world.now, None
        if data is not None:
            name, modified = key.rpartition("/")[2], int((BEGAN + now) * 1e9)
            entry = Entry(f"{ROOT}/{key}", name, len(data), modified)
        self._versions.setdefault(key, []).append(Version(data, now, entry))

    def _listing(self, folder: str, state: Callable[[str], Version]) -> list[Entry]:
        inside = f"{folder}/"
        return [
            entry
            for key in self._versions
            if key.startswith(inside)
            if (entry := state(key).entry) is not None
        ]


class Answer:
    """An object that was there when it was asked for; its bytes are another request."""

    def __init__(self, store: Store, key: str, version: Version) -> None:
        assert version.data is not None
        self._store, self._key, self._data = store, key, version.data

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def close(self) -> None:
        pass

    def size(self) -> int:
        return len(self._data)

    def read(self, count: int | None = None) -> bytes:
        return self._store.body(self._key, len(self._data))


class Upload:
    """An object on its way: it is there when this is closed."""

    def __init__(self, store: Store, key: str) -> None:
        self._store, self._key = store, key
        self._parts: list[bytes] = []

    def write(self, content: Any) -> None:
        self._parts.append(bytes(content))

    def close(self) -> None:
        self._store.write(self._key, b"".join(self._parts))
