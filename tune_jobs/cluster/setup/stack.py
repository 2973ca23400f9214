"""The CloudFormation stack of a cluster, ``deploy/stack.yaml``: made, changed, removed."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tune_jobs.cluster.setup.account import Account, asking, code_of
from tune_jobs.errors import TuneJobsError

TEMPLATE = Path(__file__).with_name("shipped") / "stack.yaml"
POLL_SECONDS = 3.0
MOST_SECONDS = 900.0
WHOLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE")
NOTHING_NEW = "No updates are to be performed"
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    """A stack as it is: its state, what it was given, and what it gives."""

    name: str
    status: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]


def find_stack(account: Account, name: str) -> Stack | None:
    """The stack of a name; None if there is none."""
    from botocore.exceptions import ClientError

    with asking(f"the stack {name}"):
        try:
            (found,) = account.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            if code_of(error) == "ValidationError" and "does not exist" in str(error):
                return None
            raise
    return Stack(
        name=name,
        status=found["StackStatus"],
        parameters=_pairs(found.get("Parameters", []), "Parameter"),
        outputs=_pairs(found.get("Outputs", []), "Output"),
    )


def deploy_stack(account: Account, name: str, parameters: Mapping[str, str], say: Say) -> Stack:
    """Make a stack, or change it to what is asked for; returns it when it is whole.

    Raises TuneJobsError, with AWS's reason, for one that does not become whole, and for one that
    is in a state that allows no change.
    """
    before = find_stack(account, name)
    if before and before.status not in WHOLE:
        raise TuneJobsError(_not_whole(account, before))
    formation = account.client("cloudformation")
    request = {
        "StackName": name,
        "TemplateBody": TEMPLATE.read_text(encoding="utf-8"),
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
    }
    from botocore.exceptions import ClientError

    with asking(f"the stack {name}"):
        try:
            (formation.update_stack if before else formation.create_stack)(**request)
        except ClientError as error:
            if NOTHING_NEW not in str(error):
                raise
            say(f"stack {name}: nothing to change")
            assert before is not None
            return before
    after = _settled(account, name)
    if after is None or after.status not in WHOLE[:2]:
        gone = Stack(name=name, status="gone", parameters={}, outputs={})
        raise TuneJobsError(_not_whole(account, after or gone))
    say(f"stack {name}: {'changed' if before else 'made'}")
    return after


def delete_stack(account: Account, name: str) -> None:
    """Remove a stack and what it made, but for its bucket."""
    with asking(f"the stack {name}"):
        account.client("cloudformation").delete_stack(StackName=name)
    after = _settled(account, name)
    if after is not None and after.status != "DELETE_COMPLETE":
        raise TuneJobsError(_not_whole(account, after))


def _settled(account: Account, name: str) -> Stack | None:
    """The stack once AWS no longer works on it."""
    deadline = time.monotonic() + MOST_SECONDS
    while True:
        stack = find_stack(account, name)
        if stack is None or not stack.status.endswith("_IN_PROGRESS"):
            return stack
        if time.monotonic() > deadline:
            raise TuneJobsError(
                f"The stack {name} must be done within {MOST_SECONDS / 60:.0f} minutes; it is "
                f"{stack.status}. The console of CloudFormation shows it."
            )
        time.sleep(POLL_SECONDS)


def _not_whole(account: Account, stack: Stack) -> str:
    reason = next(_reasons(account, stack.name), "no reason is given")
    way_out = (
        "Wait until it is done"
        if stack.status.endswith("_IN_PROGRESS")
        else f"`tune-jobs cluster-destroy --name {stack.name}` removes it, the bucket excepted"
    )
    return f"The stack {stack.name} must be whole; it is {stack.status} ({reason}). {way_out}."


def _reasons(account: Account, name: str) -> Iterator[str]:
    """Why parts of a stack failed, the first failure first."""
    with asking(f"the events of the stack {name}"):
        formation = account.client("cloudformation")
        events = formation.describe_stack_events(StackName=name)["StackEvents"]
    for event in sorted(events, key=lambda event: event["Timestamp"]):
        reason = event.get("ResourceStatusReason", "")
        if event.get("ResourceStatus", "").endswith("_FAILED") and reason:
            yield f"{event['LogicalResourceId']}: {' '.join(reason.split())[:300].rstrip('.')}"


def _pairs(entries: list[dict[str, Any]], kind: str) -> dict[str, str]:
    return {entry[f"{kind}Key"]: entry[f"{kind}Value"] for entry in entries}
