"""Start matplotlib from its own defaults, so that a user's settings change none of our figures."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path


@contextmanager
def own_settings() -> Iterator[None]:
    """Import matplotlib inside this block, so that the environment cannot keep it from starting.

    A notebook passes the name of its backend on to the commands started from it, which may not
    have that backend; a file ``matplotlibrc`` may lie in any folder, or be damaged. Neither is
    read here. The environment is as before afterwards.
    """
    spec = find_spec("matplotlib")
    assert spec is not None
    assert spec.origin is not None
    shipped = Path(spec.origin).parent / "mpl-data" / "matplotlibrc"
    ours = {"MPLBACKEND": "agg", "MATPLOTLIBRC": str(shipped)}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
