"""The verdict: does the challenger beat the recency baseline, and is it no worse than the champion?"""

from dataclasses import asdict, dataclass
from pathlib import Path

from churn.evaluation import metrics as m
from churn.evaluation.evaluate import SCORES, Evaluation
from churn.evaluation.policy import GatePolicy
from churn.features.tables import FeatureTable
from churn.platform.errors import ChurnError
from churn.platform.ranking import Ranking
from churn.training.model import ChurnModel

_SEED = 20_000


@dataclass(frozen=True)
class Champion:
    """What is live in the release line. folder: its model directory; release: its name; model_sha256: its hash;
    damage: why it cannot be read, if it cannot. Without a champion all are ''."""

    folder: str = ""
    release: str = ""
    model_sha256: str = ""
    damage: str = ""


@dataclass(frozen=True)
class Compared:
    """A champion on the challenger's test rows: its auc_pr, and challenger − champion with its interval; `failed` where it could not be scored."""

    auc_pr: float | None = None
    gain: m.Interval | None = None
    failed: str = ""
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """Whether the model may go live, and why.

    approved: the conditions behind the threshold hold. passed: the threshold holds too. reasons: what decided, each one sentence, the failing ones first.
    """

    approved: bool
    passed: bool
    already_live: bool
    reasons: list[str]
    champion: str
    champion_auc_pr: float | None
    gain_over_champion: m.Interval | None

    @property
    def line(self) -> str:
        """The verdict in one line."""
        return f"{'gate open' if self.passed else 'gate closed'}: {'; '.join(self.reasons)}"


def judge(evaluation: Evaluation, model_sha256: str, champion: Champion, compared: Compared | None, policy: GatePolicy) -> Verdict:
    """Decide by the policy. The threshold itself is the pipeline's dsl.If; here it is only put into words."""
    threshold = _threshold(evaluation, policy)
    already_live = bool(champion.release) and champion.model_sha256 == model_sha256
    if already_live:
        # Decided before any comparison: nothing would change.
        conditions = [(True, f"this very model is live already as {champion.release}")]
    else:
        conditions = [_baseline(evaluation), _champion(champion, compared, policy)]
    approved = all(holds for holds, _ in conditions)
    ordered = sorted([threshold, *conditions], key=lambda condition: condition[0])
    return Verdict(
        approved=approved,
        passed=approved and threshold[0],
        already_live=already_live,
        reasons=[words for _, words in ordered],
        champion=champion.release,
        champion_auc_pr=compared.auc_pr if compared else None,
        gain_over_champion=compared.gain if compared else None,
    )


def _threshold(evaluation: Evaluation, policy: GatePolicy) -> tuple[bool, str]:
    value, base_rate = evaluation.auc_pr.value, evaluation.metrics["base_rate"]
    if value is None:
        return False, f"auc_pr is undefined: {evaluation.undefined}"
    holds = evaluation.gate_value >= policy.min_auc_pr
    words = f"auc_pr {value:.4f} {'reaches' if holds else 'is below'} the threshold {policy.min_auc_pr:g}"
    if base_rate is not None and base_rate >= policy.min_auc_pr:
        words += f" (the base rate {base_rate:.3f} alone reaches it, so the threshold decides nothing here: the baseline does)"
    return holds, words


def _baseline(evaluation: Evaluation) -> tuple[bool, str]:
    gain = evaluation.gain_over_recency
    if gain.value is None or gain.low is None or gain.high is None:
        return False, f"the gain over the recency baseline is undefined: {evaluation.undefined or 'no resample has both classes'}"
    span = f"{gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] over recency alone"
    return (
        (True, f"it beats the recency baseline: {span}")
        if gain.low > 0
        else (False, f"it does not clearly beat the recency baseline: {span}")
    )


def _champion(champion: Champion, compared: Compared | None, policy: GatePolicy) -> tuple[bool, str]:
    if not champion.release:
        return True, "no champion is live in this release line"
    assert compared is not None
    if compared.failed:
        if policy.replace_champion:
            return True, f"the champion {champion.release} cannot be scored ({compared.failed}), and replace_champion is set"
        return (
            False,
            f"the champion {champion.release} cannot be scored ({compared.failed}); replace_champion=true goes live without the comparison",
        )
    gain = compared.gain
    if gain is None or gain.value is None:
        return False, f"the difference to the champion {champion.release} is undefined"
    holds = gain.value >= policy.min_gain
    words = "is no worse than" if holds else "is worse than" if policy.min_gain <= 0 else "does not gain enough on"
    note = f" ({compared.note})" if compared.note else ""
    return holds, f"it {words} the champion {champion.release}: {gain.value:+.4f}, at least {policy.min_gain:+g} is asked{note}"


def compare(champion: Champion, evaluation_folder: str | Path, test_folder: str | Path, *, rounds: int) -> Compared | None:
    """Score the champion on the challenger's test rows; None where there is no champion."""
    if not champion.release:
        return None
    if champion.damage:
        return Compared(failed=champion.damage)
    import pandas as pd

    try:
        model, test = ChurnModel.load(champion.folder), FeatureTable.read(test_folder)
        probability = model.probabilities(test.rows)
    except (ChurnError, ValueError, KeyError, OSError) as error:
        return Compared(failed=" ".join(str(error).split())[:300])
    scored = pd.read_parquet(Path(evaluation_folder) / SCORES)
    challenger = Ranking.of(scored["churned"], scored["probability"])
    theirs = Ranking.of(scored["churned"], probability)
    draws = m.resampled([challenger, theirs], scored["customer_id"], rounds=rounds, seed=_SEED)
    value = theirs.average_precision()
    gain = m.difference(challenger.average_precision(), value, draws[0], draws[1])
    return Compared(auc_pr=value, gain=gain, note=_seen(model, test))


def _seen(model: ChurnModel, test: FeatureTable) -> str:
    """A champion that was trained on labels of the test window is flattered by the comparison: said, and the bar stays where it is."""
    until = str(model.facts.get("labels_known_until", ""))
    return (
        f"the champion was trained on labels until {until[:10]}, so it has seen part of this test window"
        if until > min(test.snapshots)
        else ""
    )


def verdict_record(verdict: Verdict) -> dict[str, object]:
    """The verdict as plain values."""
    return asdict(verdict) | {"line": verdict.line}
