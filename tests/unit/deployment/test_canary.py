"""A canary judged: health, errors, latency, scores, each on both sides of its limit; and how long it is watched."""

import pytest

from churn.deployment.canary import Answer, CanaryPolicy, Observation, Sample, judge_canary, observe
from churn.platform.checked import read_yaml
from churn.platform.errors import ConfigError, StateError
from churn.platform.settings import CONFIGS

KNOWN = [0.1, 0.3, 0.5, 0.7, 0.9]
SAMPLE = Sample("r-new", "r-old", KNOWN)
POLICY = CanaryPolicy(percent=10, min_answers=5, timeout_seconds=60, max_error_share=0.2, max_p95_ms=100, max_score_distance=0.4)


def seen(release="r-new", *, scores=KNOWN, ms=10.0, error=""):
    return [Observation(row, Answer(release, () if error else (score,), error), ms) for row, score in enumerate(scores)]


def verdict(*observations):
    return judge_canary([each for part in observations for each in part], SAMPLE, POLICY)


def test_the_policy_of_the_project_is_one():
    assert CanaryPolicy.of(read_yaml(CONFIGS / "canary.yaml"), "configs/canary.yaml").percent == 10


@pytest.mark.parametrize(
    ("field", "value"), [("percent", 50), ("percent", 0), ("max_error_share", 1), ("max_score_distance", 0), ("min_answers", 0)]
)
def test_a_policy_that_could_not_refuse_is_none(field, value):
    with pytest.raises(ConfigError, match=field):
        CanaryPolicy.of(POLICY.model_dump() | {field: value}, "parameter canary")


def test_a_healthy_canary_says_by_what():
    said = verdict(seen(), seen("r-old"))
    assert said.healthy
    assert said.line == (
        "5 answers; 0.0% errors, at most 20.0%; every score is the known one; 95 % within 10 ms, at most 100; "
        "scores 0.00 from those of what is live on 5 rows, at most 0.40"
    )


@pytest.mark.parametrize(
    ("observations", "why"),
    [
        ([seen(scores=KNOWN[:4])], "4 answers within 60 s, 5 are needed"),
        ([[], seen("r-old")], "0 answers within 60 s, 5 are needed"),
        ([seen(), seen(error="boom", scores=KNOWN[:2])], r"28.6% errors (boom), at most 20.0%"),
        ([seen(), seen("", error="503 from nobody", scores=KNOWN[:2])], r"28.6% errors (503 from nobody)"),
        ([seen(scores=[0.1, 0.3, 0.5, 0.7, 0.90001])], "row 4 should be 0.900000 and is 0.900010: not the model that was evaluated"),
        ([seen(ms=101)], "95 % within 101 ms, at most 100"),
        ([seen(), seen("r-old", scores=[0.6, 0.6, 0.6, 0.7, 0.9])], "scores 0.60 from those of what is live on 5 rows, at most 0.40"),
    ],
)
def test_a_sick_canary_says_why_and_only_that(observations, why):
    said = verdict(*observations)
    assert not said.healthy
    assert why in said.line


@pytest.mark.parametrize(
    "observations",
    [
        [seen(), seen(error="boom", scores=KNOWN[:1])],  # 1 of 6, below a fifth
        [seen(ms=100)],
        [seen(), seen("r-old", scores=[0.1, 0.3, 0.6, 0.8, 0.9])],
        [seen(), seen("r-old", error="400: it is the champion's", scores=KNOWN)],  # what is live may fail: it is not on trial
    ],
)
def test_just_within_its_limits_it_is_healthy(observations):
    assert verdict(*observations).healthy


class Endpoint:
    """An endpoint that answers each request with the next of these releases; it may fail."""

    def __init__(self, *releases, error=None):
        self.releases, self.error, self.asked = list(releases), error, []

    def __call__(self, instances):
        (instance,) = instances
        self.asked.append(instance)
        if self.error:
            raise self.error
        return Answer(self.releases[(len(self.asked) - 1) % len(self.releases)], (0.5,))


ROWS = [{"recency": float(number)} for number in range(5)]


def test_it_is_watched_until_enough_answers_have_come_from_it():
    endpoint = Endpoint("r-old", "r-old", "r-new")
    observations = observe(endpoint, ROWS, "r-new", POLICY)
    assert sum(each.answer.release == "r-new" for each in observations) == 5
    assert len(observations) == 15
    assert len({instance["customer_id"] for instance in endpoint.asked}) == 15


def test_a_split_that_counts_requests_shows_it_every_row():
    observations = observe(Endpoint("r-old", "r-old", "r-old", "r-old", "r-new"), ROWS, "r-new", POLICY)
    assert {each.row for each in observations if each.answer.release == "r-new"} == set(range(5))


def test_it_is_not_watched_for_ever():
    hasty = POLICY.model_copy(update={"timeout_seconds": 0.05})
    assert observe(Endpoint("r-old"), ROWS, "r-new", hasty)


def test_where_nobody_answers_it_ends_early():
    observations = observe(Endpoint(error=StateError("the endpoint is gone")), ROWS, "r-new", POLICY)
    assert [each.answer.error for each in observations] == ["the endpoint is gone"] * POLICY.min_answers


def test_without_rows_nothing_is_asked():
    assert observe(Endpoint("r-new"), [], "r-new", POLICY) == []
