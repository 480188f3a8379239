"""Rules that hold for every kind of resource: names, labels, update masks, etags."""

import re
import uuid
from collections.abc import Iterable
from typing import Any

from tests.sandbox.refusal import Refusal, invalid

_LABEL = re.compile(r"[\w-]{0,63}")


def copied(message: Any) -> Any:
    """What is given out: the state goes on changing."""
    return type(message).deserialize(type(message).serialize(message))


def put(message: Any, **fields: Any) -> None:
    """Set several fields of a message."""
    for name, value in fields.items():
        setattr(message, name, value)


def check_display_name(value: str, field: str) -> None:
    """Required, and at most 128 characters."""
    if not value or len(value) > 128:
        raise invalid(f"{field}: is required and has at most 128 characters; got {value!r}.")


def check_labels(labels: Any, field: str) -> None:
    """At most 64; keys and values of at most 63 lowercase letters, digits, _ and -; a key begins with a letter."""
    if len(labels) > 64:
        raise invalid(f"{field}: has {len(labels)} entries, more than 64.")
    for key, value in labels.items():
        for part, what in ((key, "key"), (value, "value")):
            if not _LABEL.fullmatch(part) or part != part.lower() or (what == "key" and not part[:1].isalpha()):
                raise invalid(
                    f"{field}: the {what} {part!r} of label {key!r} should be at most 63 lowercase letters, digits, underscores and dashes"
                    " (a key begins with a letter)."
                )


def fresh_etag() -> str:
    """A new one at each change."""
    return f"AMEw9y{uuid.uuid4().hex[:22]}"


def check_etag(given: str, there: str, what: str) -> None:
    """A writer that names an etag means the state that it has read."""
    if given and given != there:
        raise Refusal("ABORTED", f"etag: {what} was changed since it was read: the etag given is {given!r}, the present one {there!r}.")


def apply_mask(target: Any, source: Any, mask: Any, allowed: Iterable[str]) -> set[str]:
    """Set the fields that an update names; gives their names."""
    paths = set(mask.paths)
    if not paths:
        raise invalid("update_mask: is required, and names the fields to change.")
    if unknown := sorted(paths - set(allowed)):
        raise invalid(f"update_mask: {', '.join(unknown)} cannot be updated; {', '.join(sorted(allowed))} can.")
    # In the protobuf's own terms: a field that is named and not set in the source is cleared.
    mask.MergeMessage(type(source).pb(source), type(target).pb(target), True, True)
    return paths
