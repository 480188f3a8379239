"""Releases, one model for every target: what they are, who answers, and the verbs that change it. A target brings how."""

import logging
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from churn.deployment.canary import Answer, CanaryPolicy, Sample, judge_canary, observe
from churn.platform.errors import ChurnError, ConfigError, IntegrityError, StateError
from churn.platform.files import is_locked, read_json

MODEL = "model"
PROBE = "probe.json"
FACTS = "release.json"
# The lock that a local run holds while it lives; its steps look at it before they change what is live.
RUN_LOCK = "CHURN_RUN_LOCK"
_MOVES = ("promote", "rollback")
_BEGUN = "rolling back"  # what a rollback means to do, until it is done: called again after a kill, it goes to the same release
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Release:
    """One release: its name, its folder, and what is known of it (model_sha256, metrics, provenance).

    scratch: what keeps a downloaded folder there as long as the release is held.
    """

    name: str
    folder: Path
    facts: dict[str, Any]
    scratch: object = field(default=None, repr=False, compare=False)

    @property
    def model(self) -> Path:
        """The model directory."""
        return self.folder / MODEL

    @property
    def probe(self) -> dict[str, Any]:
        """Rows of known score: instances, probabilities."""
        return dict(read_json(self.folder / PROBE))


def release_name(model_sha256: str) -> str:
    """A release is named by its model: the same model is the same release."""
    return f"r-{model_sha256[:12]}"


@dataclass(frozen=True)
class Traffic:
    """Who answers a line's requests: the release that is live ('': none), and a canary with its share in percent."""

    live: str = ""
    canary: str = ""
    percent: int = 0

    def words(self) -> str:
        """For a message."""
        beside = f" with {self.canary} at {self.percent} %" if self.canary else ""
        return f"{self.live or 'nothing'}{beside}"


class Releases(ABC):
    """The releases of one line on one target.

    A target brings the records (get, put, history), who answers (traffic, _route, endpoint) and what is tidied away (_tidy). Each of these can be
    called twice and finds its work done, so that every verb, killed anywhere and called again, ends in the same state.
    """

    target: ClassVar[str]
    line: str

    @abstractmethod
    def names(self) -> list[str]:
        """The names of all releases, the oldest first."""

    @abstractmethod
    def facts(self, name: str) -> dict[str, Any]:
        """What is known of a release, without its model."""

    @abstractmethod
    def get(self, name: str) -> Release:
        """A release by name, checked against its hashes."""

    @abstractmethod
    def put(self, model: str | Path, probe: str | Path, facts: dict[str, Any]) -> tuple[Release, bool]:
        """Lay down a release, whole or not at all, ready to answer but without traffic; gives it, and False where it was there already."""

    @abstractmethod
    def history(self) -> list[dict[str, str]]:
        """What was changed when, the oldest first."""

    @abstractmethod
    def traffic(self) -> Traffic:
        """Who answers now."""

    @abstractmethod
    def endpoint(self) -> AbstractContextManager[Callable[[list[dict[str, Any]]], Answer]]:
        """A way to ask the line's endpoint, as a customer's program would: instances in, an Answer out."""

    @abstractmethod
    def batch(self, name: str, source: str, out: str) -> str:
        """Score a file of instances (JSON Lines) with a release, without the endpoint; gives where the predictions are."""

    @abstractmethod
    def _route(self, new: Traffic, seen: Traffic) -> None:
        """Change who answers, only if it still is what was seen (StateError)."""

    @abstractmethod
    def _append(self, entry: dict[str, str]) -> None:
        """Add to the history, over what was only begun."""

    @abstractmethod
    def _tidy(self) -> None:
        """Take away what no longer answers, as far as the target's policy says."""

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold off others while a verb looks and acts; a target without a lock compares and swaps in _route."""
        yield

    def live_name(self) -> str:
        """The name of what is live, '' where nothing is."""
        return self.traffic().live

    def live(self) -> Release | None:
        """What is live, checked against its hashes; None where nothing is."""
        name = self.live_name()
        return self.get(name) if name else None

    def promote(self, name: str, *, expected: str, by: str) -> bool:
        """Make a release live, only if what is live still is what the caller compared with; gives False where it is live already.

        Args:
            name: the release.
            expected: the name of what was live when the caller looked, '' for nothing.
            by: who does it (a run's id), for the history.

        Raises:
            StateError: something else went live in between, or the run that this step belongs to has ended.
        """
        self.get(name)
        with self._alone():
            seen = self.traffic()
            moved = seen.live != name
            if moved:
                self._check_expected(seen, expected)
            if seen != Traffic(name):
                check_run_lives()
                self._route(Traffic(name), seen)
            if moved or self._last_move() != name:  # or it was killed before it was written down
                self._record("promote", name, by)
        self._tidied()
        return moved

    def canary(self, name: str, *, policy: CanaryPolicy, expected: str, by: str) -> str:
        """Give a release a share of the requests, probe it with rows of known score, and judge; gives a line that says how it did.

        Nothing answered before, or the release is live already: there is nothing to compare, and no canary. A release that the policy does not
        pass, or that is not heard of often enough in time, loses its share again, and what was live answers alone.

        Raises:
            StateError: it did not pass; or something else went live in between.
        """
        release = self.get(name)
        seen = self.traffic()
        if seen.live == name:
            return f"{name} is live already: no canary"
        self._check_expected(seen, expected)
        if not seen.live:
            return f"nothing is live in {self.line}: no canary"
        if differ := self._asks_otherwise(release, seen.live):
            return f"no canary: {differ}"
        with self._alone():
            check_run_lives()
            if seen != (new := Traffic(seen.live, name, policy.percent)):
                self._route(new, seen)
            if not self._last_is("canary", name):
                self._record("canary", name, by)
        with self.endpoint() as ask:
            samples = observe(ask, release.probe["instances"], name, policy)
        verdict = judge_canary(samples, Sample(name, seen.live, release.probe["probabilities"]), policy)
        if not verdict.healthy:
            self._withdraw(name, by)
            raise StateError(
                f"canary {name} at {policy.percent} % of {self.line} was rolled back: {verdict.line}; {seen.live} answers alone"
            )
        return f"canary {name} at {policy.percent} % of {self.line} is healthy: {verdict.line}"

    def rollback(self, *, to: str = "", by: str) -> tuple[str, str]:
        """Make the release before the live one live again (or the one named), and end a canary; gives the names of the old and the new.

        Where a canary has a share and no release is named, it loses that, and nothing else changes.
        """
        with self._alone():
            seen = self.traffic()
            if seen.canary and not to:
                self._route(Traffic(seen.live), seen)
                self._record("withdraw", seen.canary, by)
                old, target = seen.canary, seen.live
            else:
                old, target = seen.live, to or self._begun() or self._before(seen.live)
                self.get(target)
                if target != old:
                    self._record(_BEGUN, target, by)
                if seen != Traffic(target):
                    self._route(Traffic(target), seen)
                if self._begun() == target:
                    self._record("rollback", target, by)
        self._tidied()
        return old, target

    def _withdraw(self, name: str, by: str) -> None:
        with self._alone():
            seen = self.traffic()
            if seen.canary == name:
                self._route(Traffic(seen.live), seen)
                self._record("withdraw", name, by)
        self._tidied()

    def _tidied(self) -> None:
        try:
            self._tidy()
        except ChurnError as error:
            # What was asked for is done: it must not read as failed because of what is only untidy.
            log.warning("%s: what no longer answers was not all taken away, the next change does it (%s)", self.line, error)

    def _check_expected(self, seen: Traffic, expected: str) -> None:
        if seen.live != expected:
            raise StateError(
                f"what is live in {self.line} changed from {expected or 'nothing'} to {seen.live or 'nothing'} since this run looked; run again"
            )

    def _asks_otherwise(self, release: Release, live: str) -> str:
        try:
            ours, theirs = (set(facts["model"]["features"]) for facts in (release.facts, self.facts(live)))
        except (IntegrityError, ConfigError) as error:
            return f"what is live cannot be read ({error})"  # the judge let it be replaced
        if ours == theirs:
            return ""
        return f"its requests are not those of {live}, which one endpoint cannot share ({', '.join(sorted(ours ^ theirs)[:5])})"

    def _before(self, live: str) -> str:
        before = self._stack()
        while before and before[-1] == live:
            before.pop()
        if not before:
            raise StateError(
                f"nothing was live before {live or 'nothing'} in {self.line}; name a release: churn release rollback --to NAME"
            )
        return before[-1]

    def _last_move(self) -> str:
        moves = [each["release"] for each in self.history() if each["action"] in _MOVES]
        return moves[-1] if moves else ""

    def _last_is(self, action: str, name: str) -> bool:
        return [(each["action"], each["release"]) for each in self.history()[-1:]] == [(action, name)]

    def _begun(self) -> str:
        """The release that a rollback was on its way to when it was killed; '' where none was."""
        return next((each["release"] for each in self.history()[-1:] if each["action"] == _BEGUN), "")

    def _record(self, action: str, name: str, by: str) -> None:
        self._append({"at": datetime.now(UTC).isoformat(timespec="seconds"), "action": action, "release": name, "by": by})

    def _stack(self) -> list[str]:
        """The releases under the live one: a promotion lays one on top, a rollback takes those above its target away."""
        stack: list[str] = []
        for entry in self.history():
            if entry["action"] not in _MOVES:
                continue
            if entry["action"] == "rollback" and entry["release"] in stack:
                while stack[-1] != entry["release"]:  # the nearest: a release may have been live more than once
                    stack.pop()
            elif not stack or stack[-1] != entry["release"]:
                stack.append(entry["release"])
        return stack


def settled(entries: list[dict[str, str]]) -> list[dict[str, str]]:
    """A history without what was begun and not ended."""
    return [each for each in entries if each["action"] != _BEGUN]


def check_run_lives() -> None:
    """Refuse to act for a local run that has ended: its steps may live on after a kill.

    Raises:
        StateError: it has.
    """
    lock = os.environ.get(RUN_LOCK)
    if lock and not is_locked(lock):
        raise StateError("the run that this step belongs to has ended: nothing is promoted on its behalf")


def check_line(line: str) -> None:
    """Refuse a name that cannot be a folder, an endpoint and a registered model alike.

    Raises:
        ConfigError: the name is none.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", line):
        raise ConfigError(f"release line {line!r}: should be lower-case letters, digits and hyphens, 63 at the most")
