"""The faults that Ray's own schema finds in a cluster file, and the file with Ray's defaults."""

import copy
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tune_jobs.cluster.check.nodes import part
from tune_jobs.errors import TuneJobsError
from tune_jobs.names import did_you_mean


def schema_faults(config: dict[str, Any]) -> Iterator[str]:
    """Every fault that Ray's schema finds, not only the first."""
    import ray.autoscaler
    from jsonschema import Draft7Validator

    text = (Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text(encoding="utf-8")
    config = _with_resources(config)
    if part(config, "provider").get("type") == "local":
        config.pop("min_workers", None)  # Ray takes it out before it looks
    for error in Draft7Validator(json.loads(text)).iter_errors(config):
        where = ".".join(str(part) for part in error.absolute_path) or "The file"
        if error.validator == "additionalProperties" and isinstance(error.schema, dict):
            known = error.schema["properties"]
            for key in sorted(set(error.instance) - set(known), key=str):
                yield f"{where} has no key {key!r}.{did_you_mean(key, known)}"
        else:
            yield f"{where} must be as Ray's schema says: {error.message}."


def effective(config: dict[str, Any]) -> dict[str, Any]:
    """The file as Ray completes it; what is left out becomes Ray's default, safe or not."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    logging.getLogger("ray.autoscaler").setLevel(logging.WARNING)  # it reports what it fills in
    try:
        complete = prepare_config(_with_resources(config))
        validate_config(complete)
    except Exception as error:  # Ray raises all kinds, AssertionError among them
        reason = " ".join(str(error).split()) or type(error).__name__
        raise TuneJobsError(f"Ray must accept a cluster file; it says: {reason}") from error
    return complete


def _with_resources(config: dict[str, Any]) -> dict[str, Any]:
    """A copy whose machines all have ``resources``; Ray asks AWS for those that a file lacks."""
    config = copy.deepcopy(config)
    node_types = config.get("available_node_types")
    for node_type in node_types.values() if isinstance(node_types, dict) else ():
        if isinstance(node_type, dict):
            node_type.setdefault("resources", {})
    return config
