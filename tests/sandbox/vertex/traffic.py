"""Traffic between deployed models: the rules of a split, and whose turn it is."""

from collections.abc import Iterable
from typing import Any

from tests.sandbox.refusal import invalid


def check_split(split: dict[str, int], known: Iterable[str], field: str) -> None:
    """Empty, or percentages of known ids that sum to 100."""
    if not split:
        return
    if unknown := sorted(set(split) - set(known)):
        raise invalid(f"{field}: The following DeployedModel ID(s) [{', '.join(unknown)}] do not exist.")
    if any(not 0 <= share <= 100 for share in split.values()) or sum(split.values()) != 100:
        raise invalid(f"{field}: the percentages should each be 0 to 100 and sum to 100, not {sum(split.values())}.")


class Turns:
    """Smooth weighted round robin: 10 % is every tenth call, and the same calls each time."""

    def __init__(self) -> None:
        self._split: dict[str, int] = {}
        self._credit: dict[str, int] = {}

    def next(self, split: Any) -> str | None:
        """Whose turn it is; None where nobody has traffic. It begins anew when the split changes."""
        shares = {key: share for key, share in sorted(split.items()) if share}
        if shares != self._split:
            self._split, self._credit = shares, dict.fromkeys(shares, 0)
        if not shares:
            return None
        for key, share in shares.items():
            self._credit[key] += share
        chosen = max(self._credit, key=lambda key: self._credit[key])
        self._credit[chosen] -= 100
        return chosen
