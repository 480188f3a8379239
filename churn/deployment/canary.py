"""The canary: rows of known score are sent to the endpoint, and told apart by the release that answered; a policy judges."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from churn.platform.checked import Checked
from churn.platform.errors import ChurnError

_SAME = 1e-6  # of a probability: more is another model than the one that was evaluated


class CanaryPolicy(Checked):
    """When a release with a share of the requests is good enough for all of them: configs/canary.yaml.

    percent: its share of the requests. min_answers: so many from the canary are enough. timeout_seconds: as long are they waited for.
    max_error_share: of the canary's answers and those that nobody can be told to have failed. max_p95_ms: the 95th percentile of its latency.
    max_score_distance: Kolmogorov-Smirnov's distance between its scores and those of what is live, on the same rows.
    """

    percent: int = Field(ge=1, le=49)
    min_answers: int = Field(ge=1)
    timeout_seconds: float = Field(gt=0)
    max_error_share: float = Field(ge=0, lt=1)
    max_p95_ms: float = Field(gt=0)
    max_score_distance: float = Field(gt=0, le=1)


@dataclass(frozen=True)
class Answer:
    """What an endpoint said to one request: the release that answered ('' where that cannot be told), probabilities, or an error."""

    release: str
    probabilities: tuple[float, ...] = ()
    error: str = ""
    status: int = 200


@dataclass(frozen=True)
class Observation:
    """One probe: which row was sent, what came back, and how long it took (ms)."""

    row: int
    answer: Answer
    ms: float


@dataclass(frozen=True)
class Sample:
    """What the observations are judged against: the canary, what is live, and the score that each row must have."""

    canary: str
    live: str
    known: list[float]


@dataclass(frozen=True)
class CanaryVerdict:
    """Whether a canary is healthy, and a line that says why."""

    healthy: bool
    line: str


def observe(
    ask: Callable[[list[dict[str, Any]]], Answer], instances: list[dict[str, Any]], canary: str, policy: CanaryPolicy
) -> list[Observation]:
    """Send the rows one by one, each as a customer of its own, until enough answers have come from the canary, or the time is over.

    What cannot be answered by anyone ends it early: as many errors as answers were wanted are enough to judge by.
    """
    seen: list[Observation] = []
    until = time.monotonic() + policy.timeout_seconds
    number = heard = errors = 0
    while instances and max(heard, errors) < policy.min_answers and time.monotonic() < until:
        row = (number + number // len(instances)) % len(instances)  # shifted each time round: a split that counts requests meets every row
        begin = time.monotonic()
        try:
            answer = ask([instances[row] | {"customer_id": f"probe-{number}"}])
        except ChurnError as error:
            answer = Answer("", error=str(error), status=503)
        seen.append(Observation(row, answer, 1000 * (time.monotonic() - begin)))
        heard += answer.release == canary
        errors += bool(answer.error) and answer.release != canary
        number += 1
    return seen


def judge_canary(observations: list[Observation], sample: Sample, policy: CanaryPolicy) -> CanaryVerdict:
    """Judge what was observed: health, errors, latency, and the distribution of scores against what is live.

    An error that nobody can be told to have made counts against the canary: it is the one that is new.
    """
    ours = [each for each in observations if each.answer.release == sample.canary]
    failed = [each for each in observations if each.answer.error and each.answer.release in {sample.canary, ""}]
    good = [each for each in ours if not each.answer.error]
    theirs = [each for each in observations if each.answer.release == sample.live and not each.answer.error]
    reasons = [
        *_heard(ours, policy),
        *_errors(failed, len(good) + len(failed), policy),
        *_scores(good, sample),
        *_latency(good, policy),
        *_distance(good, theirs, policy),
    ]
    bad = [text for fine, text in reasons if not fine]
    return CanaryVerdict(not bad, "; ".join(bad or [text for _, text in reasons]))


def _heard(ours: list[Observation], policy: CanaryPolicy) -> list[tuple[bool, str]]:
    enough = len(ours) >= policy.min_answers
    within = "" if enough else f" within {policy.timeout_seconds:.0f} s, {policy.min_answers} are needed"
    return [(enough, f"{len(ours)} answers{within}")]


def _errors(failed: list[Observation], answers: int, policy: CanaryPolicy) -> list[tuple[bool, str]]:
    share = len(failed) / answers if answers else 0.0
    why = f" ({failed[0].answer.error})" if failed else ""
    return [(share <= policy.max_error_share, f"{share:.1%} errors{why}, at most {policy.max_error_share:.1%}")]


def _scores(good: list[Observation], sample: Sample) -> list[tuple[bool, str]]:
    wrong = [each for each in good if abs(each.answer.probabilities[0] - sample.known[each.row]) > _SAME]
    if not wrong:
        return [(True, "every score is the known one")]
    first = wrong[0]
    return [
        (
            False,
            f"row {first.row} should be {sample.known[first.row]:.6f} and is {first.answer.probabilities[0]:.6f}: not the model that was evaluated",
        )
    ]


def _latency(good: list[Observation], policy: CanaryPolicy) -> list[tuple[bool, str]]:
    if not good:
        return []
    p95 = float(np.percentile([each.ms for each in good], 95))
    return [(p95 <= policy.max_p95_ms, f"95 % within {p95:.0f} ms, at most {policy.max_p95_ms:.0f}")]


def _distance(good: list[Observation], theirs: list[Observation], policy: CanaryPolicy) -> list[tuple[bool, str]]:
    """Between the scores of both on the rows that both have answered."""
    ours_by_row, theirs_by_row = ({each.row: each.answer.probabilities[0] for each in part} for part in (good, theirs))
    rows = sorted(set(ours_by_row) & set(theirs_by_row))
    if not rows:
        return [(True, "no row was answered by both: scores not compared")] if good else []
    a, b = np.sort([ours_by_row[row] for row in rows]), np.sort([theirs_by_row[row] for row in rows])
    at = np.concatenate([a, b])
    distance = float(np.abs(np.searchsorted(a, at, "right") - np.searchsorted(b, at, "right")).max() / len(rows))
    words = f"scores {distance:.2f} from those of what is live on {len(rows)} rows, at most {policy.max_score_distance:.2f}"
    return [(distance <= policy.max_score_distance, words)]
