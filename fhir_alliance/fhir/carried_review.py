"""A goal review's Task that travels in a resource of another kind, for a store that takes no Task.

It is read back from there with what people have made of the resource since, so that reviews work as elsewhere:
evidence joins, a review that lost its ground ends, and what a person completed stays so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

from fhir_alliance.core.keys import derived
from fhir_alliance.fhir.elements import MISSHAPEN, is_shaped
from fhir_alliance.fhir.labels import labels_of, raised
from fhir_alliance.fhir.task import review_identifier

HeldReview: TypeAlias = tuple[Mapping[str, Any], dict[str, Any]]  # a resource, and the Task in it as it is now


class Stages(NamedTuple):
    """How far a review has come, in the words of the resource and of the Task in it.

    usual: the resource's status where `said` has none.  said: it, by Task.status.
    meant: Task.status, by the status that people set on the resource; "requested" where it has none.
    """

    usual: str
    said: Mapping[str, str]
    meant: Mapping[str, str]

    def of(self, task: Mapping[str, Any]) -> str:
        """Return the resource's status for a Task."""
        return self.said.get(str(task.get("status")), self.usual)


def travelling_key(task: Mapping[str, Any], *, is_further: bool) -> str:
    """Return the identifier of the resource that carries a Task: the review's.

    is_further: what stands cannot be changed, or be seen. Then the key derives from the reasons as well, so that new
    ones are a new resource, and the same ones never are.
    """
    review = review_identifier(task)
    return derived(review, *sorted(_reasons(task))) if is_further else review


def security(task: Mapping[str, Any]) -> dict[str, Any]:
    """Return the meta of a resource that carries a Task: its labels, neither more nor fewer."""
    return {name: value for name, value in (task.get("meta") or {}).items() if name == "security"}


def read_carried(
    resources: Iterable[Mapping[str, Any]], task_in: Callable[[Mapping[str, Any]], Any], stages: Stages
) -> dict[str, HeldReview]:
    """Return, by the review's key, each review of ours in a resource; of several that follow one another, the last.

    task_in: gives what a resource carries where a Task may be, in any shape that somebody may have made of it.
    """
    found: dict[str, HeldReview] = {}
    for resource in resources:
        task = _as_it_is(resource, task_in, stages)
        key = review_identifier(task) if task is not None else ""
        if task is not None and key and (key not in found or _changed(found[key][1]) <= _changed(task)):
            found[key] = (resource, task)
    return found


def over(
    held: Mapping[str, Any], body: Mapping[str, Any], *, firm: Collection[str], passing: Collection[str]
) -> dict[str, Any]:
    """Return a resource that stands, brought to what it should say, with what people added to it.

    firm: elements that stay as they are, whoever wrote them.  passing: those of ours that may have come to an end.
    """
    left = {name: value for name, value in held.items() if name not in passing and name != "text"}
    meta = {name: value for name, value in held.get("meta", {}).items() if name not in ("versionId", "lastUpdated")}
    stays = {name: held[name] for name in firm if name in held}
    return {**left, **body, **stays, "meta": {**meta, **body["meta"]}, "id": str(held.get("id", ""))}


def _as_it_is(
    resource: Mapping[str, Any], task_in: Callable[[Mapping[str, Any]], Any], stages: Stages
) -> dict[str, Any] | None:
    """Return the Task in a resource, with what people have made of that; None where there is none of ours."""
    try:
        found = task_in(resource)
        if not isinstance(found, dict) or found.get("resourceType") != "Task" or not is_shaped(found):
            return None
        return _made_of(found, resource, stages)
    except MISSHAPEN:
        return None


def _made_of(task: Mapping[str, Any], resource: Mapping[str, Any], stages: Stages) -> dict[str, Any]:
    """Return a Task with what people have changed of the resource around it: labels, priority, status."""
    held, status = resource.get("meta", {}), str(resource.get("status", ""))
    found = {**task, "meta": raised(task, labels_of(resource))}
    if isinstance(resource.get("priority"), str):
        found["priority"] = resource["priority"]
    if status != stages.of(found):
        found.pop("statusReason", None)
        found["status"] = stages.meant.get(status, "requested")
        found["meta"] |= {"lastUpdated": held["lastUpdated"]} if held.get("lastUpdated") else {}
    return found


def _changed(task: Mapping[str, Any]) -> str:
    return str(task.get("lastModified", ""))


def _reasons(task: Mapping[str, Any]) -> Iterable[str]:
    values = (entry.get("valueReference") or {} for entry in task.get("input") or ())
    return (str((value.get("identifier") or {}).get("value", "")) for value in values)
