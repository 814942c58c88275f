"""What is decided anew where somebody changed a resource of ours between our reading it and our writing it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import orjson

from fhir_alliance.fhir.difference import Change, Known, difference

# Of these all that counts is ours. What people work on (a Task, a message) is planned again from the start, in the next
# run: to send our picture of it once more would undo what they did.
OURS: Final = ("Observation", "DocumentReference", "QuestionnaireResponse")
TIMES: Final = 3  # a server on which the same score changes more often under our hands needs a person's look
CHANGED: Final = "FA412"


def decided_anew(change: Change, stored: Mapping[str, Any]) -> Change | None:
    """Return the update of what stands there now, or None where it says already what it should."""
    body = orjson.loads(change.write.body)
    if body.get("resourceType") == "Observation" and body.get("status") == "corrected":
        body["status"] = "final"  # which of both it is follows from what stands there
    write = msgspec.structs.replace(change.write, body=orjson.dumps(body))
    known = Known([])
    known.by_value[write.value] = stored
    return next(iter(difference([write], known)[0]), None)
