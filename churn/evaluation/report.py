"""The report of a run: one HTML page made of small sections, and the plots as pictures."""

import html
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn.evaluation.evaluate import Evaluation
from churn.evaluation.judge import Verdict
from churn.platform.files import write_whole
from churn.platform.ranking import Ranking

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STYLE = """
:root { color-scheme: light; --ink: #1b2733; --paper: #ffffff; --line: #d5dbe1; --soft: #f4f6f8; --good: #11743f; --bad: #b3261e; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; } th { font-weight: 600; background: var(--soft); }
.verdict { padding: .8rem 1rem; border-left: .4rem solid; background: var(--soft); } .open { border-color: var(--good); } .closed { border-color: var(--bad); }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(26rem, 1fr)); gap: 1rem; } .plots svg { width: 100%; height: auto; background: #ffffff; }
.quiet { color: #5b6874; font-size: .9rem; } .quiet td { text-align: left; overflow-wrap: anywhere; } .quiet td:first-child { white-space: nowrap; }
"""
_BLUE, _ORANGE, _GREY = "#1f5fa8", "#c8641b", "#8a949e"


@dataclass(frozen=True)
class Plot:
    """A named picture as SVG."""

    name: str
    svg: str


@dataclass(frozen=True)
class Subject:
    """What the report is about, as words and values: the run, the data, the model."""

    title: str
    facts: dict[str, str]


def write_report(
    page: str | Path,
    plots_folder: str | Path,
    subject: Subject,
    evaluation: Evaluation,
    verdict: Verdict,
    scores: Any,
) -> None:
    """Write the page and its plots.

    Args:
        page: the HTML file.
        plots_folder: where each plot goes as NAME.svg.
        subject: what it is about.
        evaluation: the figures.
        verdict: the decision.
        scores: rows with churned and probability, and champion where there is one.
    """
    plots = [] if evaluation.undefined else make_plots(evaluation, scores)
    for plot in plots:
        write_whole(Path(plots_folder) / f"{plot.name}.svg", plot.svg)
    sections = [
        _verdict(verdict),
        _figures(evaluation, verdict),
        _plots(plots),
        _table("By snapshot", evaluation.by_snapshot),
        _table("By segment", evaluation.by_segment),
        _facts(subject),
    ]
    body = "\n".join(section for section in sections if section)
    title = html.escape(subject.title)
    write_whole(
        page,
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body><h1>{title}</h1>\n{body}\n</body></html>\n",
    )


def _number(value: Any) -> str:
    if value is None:
        return "undefined"
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() and abs(value) >= 2 else f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else html.escape(str(value))


def _verdict(verdict: Verdict) -> str:
    reasons = "".join(f"<li>{html.escape(reason)}</li>" for reason in verdict.reasons)
    word = "open" if verdict.passed else "closed"
    return f'<div class="verdict {word}"><strong>The gate is {word}.</strong><ul>{reasons}</ul></div>'


def _figures(evaluation: Evaluation, verdict: Verdict) -> str:
    figures = evaluation.metrics
    rows = [
        ("auc_pr (area under the precision-recall curve)", evaluation.auc_pr.value, _span(evaluation.auc_pr)),
        ("the champion on the same rows", verdict.champion_auc_pr, verdict.champion or "none is live") if verdict.champion else None,
        ("challenger − champion", verdict.gain_over_champion.value, _span(verdict.gain_over_champion))
        if verdict.gain_over_champion
        else None,
        ("recency alone on the same rows", figures["recency_auc_pr"], ""),
        ("challenger − recency", evaluation.gain_over_recency.value, _span(evaluation.gain_over_recency)),
        ("base rate (the share that churned)", figures["base_rate"], "what a model that learned nothing scores"),
        ("lift over the base rate", figures["lift_over_base_rate"], ""),
        ("auc_roc", figures["auc_roc"], ""),
        ("f1_optimal", figures["f1_optimal"], f"at the threshold {_number(figures['threshold'])}, chosen on validation"),
        ("recall_top10pct", figures["recall_top10pct"], "of all who churned, the share among the tenth with the highest scores"),
        ("calibration error", figures["calibration_error"], "mean distance of predicted from observed, ten bins"),
        ("Brier score", figures["brier"], ""),
        ("rows / customers", figures["test_rows"], _number(figures["test_customers"])),
    ]
    cells = "".join(
        f"<tr><td>{html.escape(row[0])}</td><td>{_number(row[1])}</td><td>{html.escape(str(row[2]))}</td></tr>" for row in rows if row
    )
    return f"<h2>On the untouched test window</h2><table><tr><th>figure</th><th>value</th><th>95 % interval, or what it is</th></tr>{cells}</table>"


def _span(value: Any) -> str:
    return "" if value.low is None else f"[{value.low:.4f}, {value.high:.4f}], bootstrap by customer"


def _plots(plots: list[Plot]) -> str:
    return '<h2>Pictures</h2><div class="plots">' + "".join(f"<figure>{plot.svg}</figure>" for plot in plots) + "</div>" if plots else ""


def _table(title: str, rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in rows[0])
    cells = "".join("<tr>" + "".join(f"<td>{_number(value)}</td>" for value in row.values()) + "</tr>" for row in rows)
    return f"<h2>{html.escape(title)}</h2><table><tr>{head}</tr>{cells}</table>"


def _facts(subject: Subject) -> str:
    cells = "".join(f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>" for name, value in subject.facts.items())
    return f'<h2>Where it comes from</h2><table class="quiet">{cells}</table>'


def make_plots(evaluation: Evaluation, scores: Any) -> list[Plot]:
    """The precision-recall curve, the calibration, the feature importance and the score histogram."""
    return [
        _drawn("precision-recall", lambda axes: _draw_precision_recall(axes, evaluation, scores)),
        _drawn("calibration", lambda axes: _draw_calibration(axes, evaluation)),
        _drawn("importance", lambda axes: _draw_importance(axes, evaluation.importance)),
        _drawn("scores", lambda axes: _draw_scores(axes, scores)),
    ]


def _drawn(name: str, draw: Any) -> Plot:
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # No pyplot: no global state, no display; a fixed salt, so that the same figures give the same bytes.
    with rc_context({"svg.hashsalt": name, "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(5.6, 4.0), layout="constrained")
        draw(figure.add_subplot())
        target = StringIO()
        FigureCanvasSVG(figure).print_svg(target, metadata={"Date": None})
    svg = target.getvalue()
    return Plot(name, svg[svg.index("<svg") :])


def _draw_precision_recall(axes: "Axes", evaluation: Evaluation, scores: Any) -> None:
    curve = evaluation.curves["precision_recall"]
    axes.plot(curve["recall"], curve["precision"], color=_BLUE, label=f"challenger {evaluation.auc_pr.value:.3f}")
    others = [("champion", "champion", _ORANGE), ("recency", "recency alone", _GREY)]
    for column, name, colour in others:
        if column in scores:
            other = Ranking.of(scores["churned"], scores[column]).precision_recall()
            axes.plot(other["recall"], other["precision"], color=colour, linewidth=1, label=name)
    base_rate = evaluation.metrics["base_rate"] or 0.0
    axes.axhline(base_rate, color=_GREY, linestyle=":", label=f"base rate {base_rate:.3f}")
    axes.set(title="Precision-recall", xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(frameon=False)


def _draw_calibration(axes: "Axes", evaluation: Evaluation) -> None:
    predicted, observed = [b["predicted"] for b in evaluation.calibration], [b["observed"] for b in evaluation.calibration]
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":")
    axes.plot(predicted, observed, color=_BLUE, marker="o", markersize=4)
    axes.set(title="Calibration", xlabel="predicted probability", ylabel="share that churned", xlim=(0, 1), ylim=(0, 1))


def _draw_importance(axes: "Axes", gains: dict[str, float]) -> None:
    top = sorted(gains.items(), key=lambda item: (item[1], item[0]))[-15:]
    axes.barh([name for name, _ in top], [gain for _, gain in top], color=_BLUE)
    axes.set(title="Feature importance", xlabel="share of the total gain")


def _draw_scores(axes: "Axes", scores: Any) -> None:
    for value, name, colour in ((0, "stayed", _BLUE), (1, "churned", _ORANGE)):
        axes.hist(scores.loc[scores["churned"] == value, "probability"], bins=40, range=(0, 1), alpha=0.6, color=colour, label=name)
    axes.set(title="Scores", xlabel="churn probability", ylabel="rows")
    axes.legend(frameon=False)
