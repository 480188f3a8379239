"""summary.json as a pure function of the record of tasks, and what a person sees of it."""

import io
import json

import pytest

from pipelines.submit.console import Progress, glance
from pipelines.submit.local import TaskRecord
from pipelines.submit.summary import UNFINISHED, RunFacts, summarize

TASKS = [
    "fingerprint",
    "prepare",
    "train",
    "evaluate",
    "find-champion",
    "judge",
    "track",
    "register",
    "deploy",
    "promote",
    "hold",
    "hold-2",
    "notify",
]
FACTS = RunFacts("training-1", "training", "local", {"min_auc_pr": 0.72, "source": "log.csv"}, "c0", "5pec", "src-1", TASKS)
METRICS = {"auc_pr": 0.8, "auc_pr_low": 0.78, "auc_pr_high": 0.82, "recency_auc_pr": 0.7, "base_rate": 0.5, "display_name": "metrics"}


def artifact(**metadata):
    return {"uri": "somewhere", "metadata": metadata}


def records(auc_pr: float = 0.8, approved: bool = True, *, was_live: str = "", states: dict | None = None) -> list[TaskRecord]:
    """The tasks of a run whose gate says this."""
    passed = auc_pr >= 0.72 and approved
    counts = {"rows": 1000.0, "rejected_rows": 3.0, "duplicate_rows": 0.0, "customers": 200.0, "purchases": 990.0}
    outputs = {
        "fingerprint": {"content": "sha256:da7a", "as_of": ""},
        "prepare": {"metrics": artifact(**counts), "history": artifact(known_until="2024-03-01T00:00:00", warnings=["a day is missing"])},
        "train": {"Output": "m0de1", "metrics": artifact(rounds=40.0, validation_auc_pr=0.81, threshold=0.4)},
        "evaluate": {"Output": auc_pr, "metrics": artifact(**METRICS)},
        "find-champion": {"line": "shop-30d", "release": was_live, "model_sha256": ""},
        "judge": {"Output": approved, "judgement": artifact(approved=approved, reasons=["because"])},
        "track": {"Output": "7rack"},
    }
    if passed:
        outputs |= {"register": {"Output": "3"}, "deploy": {"Output": "r-new"}, "promote": {"Output": True}}
    outputs |= {} if passed else {"hold" if auc_pr >= 0.72 else "hold-2": {}}
    outputs |= {"notify": {}}
    return [TaskRecord(name, (states or {}).get(name, "succeeded"), 1.23456, out) for name, out in outputs.items()]


def until(task: str) -> list[TaskRecord]:
    given = records()
    return given[: [record.name for record in given].index(task)]


def states(summary) -> dict[str, str]:
    return {task["name"]: task["state"] for task in summary["tasks"]}


def test_an_open_gate():
    summary = summarize(FACTS, records(), ended=True)
    assert (summary["status"], summary["error"]) == ("succeeded", None)
    assert summary["gate"] == {"passed": True, "threshold": 0.72, "reasons": ["because"]}
    deployment = summary["deployment"]
    assert (deployment["deployed"], deployment["release"], deployment["live"], deployment["was_live"]) == (True, "r-new", "r-new", None)
    assert (deployment["line"], deployment["registered_version"], deployment["tracked_run"]) == ("shop-30d", "3", "7rack")
    assert states(summary) == {name: "skipped" if name.startswith("hold") else "succeeded" for name in TASKS}
    assert summary["provenance"] == {
        "git_commit": "c0",
        "spec_sha256": "5pec",
        "image": "src-1",
        "data_fingerprint": "sha256:da7a",
        "model_sha256": "m0de1",
    }
    assert summary["data"] | {"warnings": []} == {
        "source": "log.csv",
        "rows": 1000,
        "rejected_rows": 3,
        "duplicate_rows": 0,
        "customers": 200,
        "purchases": 990,
        "fingerprint": "sha256:da7a",
        "known_until": "2024-03-01T00:00:00",
        "warnings": [],
    }
    json.dumps(summary, allow_nan=False)


def test_the_figures_are_the_evaluations_and_little_of_the_training():
    metrics = summarize(FACTS, records(), ended=True)["metrics"]
    assert (metrics["auc_pr"], metrics["rounds"], metrics["validation_auc_pr"]) == (0.8, 40.0, 0.81)
    assert not {"display_name", "threshold"} & set(metrics)


@pytest.mark.parametrize(
    ("auc_pr", "approved", "passed", "held"),
    [
        (0.72, True, True, None),
        (0.7199, True, False, "hold-2"),
        (0.9, False, False, "hold"),
        (0.5, False, False, "hold-2"),
        (-1.0, True, False, "hold-2"),
    ],
)
def test_the_gate_is_passed_where_both_conditions_held(auc_pr, approved, passed, held):
    summary = summarize(FACTS, records(auc_pr, approved, was_live="r-old"), ended=True)
    deployment = summary["deployment"]
    assert summary["status"] == "succeeded"
    assert (summary["gate"]["passed"], deployment["deployed"]) == (passed, passed)
    assert (deployment["live"], deployment["release"]) == (("r-new", "r-new") if passed else ("r-old", None))
    assert [name for name, state in states(summary).items() if name.startswith("hold") and state == "succeeded"] == ([held] if held else [])


@pytest.mark.parametrize("task", TASKS[:9])
def test_a_run_that_was_killed_reads_as_failed(task):
    summary = summarize(FACTS, until(task), ended=False)
    assert (summary["status"], summary["error"]) == ("failed", UNFINISHED)
    assert summary["deployment"]["deployed"] is False
    assert states(summary)[task] == "skipped"
    assert list(states(summary)) == TASKS


def test_a_run_killed_before_its_first_task_is_whole():
    summary = summarize(FACTS, [], ended=False)
    assert summary["metrics"] == dict.fromkeys(("auc_pr", "auc_roc", "f1_optimal", "recall_top10pct", "base_rate"))
    assert summary["gate"] == {"passed": False, "threshold": 0.72, "reasons": []}
    assert set(states(summary).values()) == {"skipped"}


def test_released_but_not_promoted_is_not_deployed():
    given = [*until("promote"), TaskRecord("promote", "failed", 0.1, error="what is live changed"), TaskRecord("notify", "succeeded")]
    summary = summarize(FACTS, given, ended=True)
    assert (summary["status"], summary["error"]) == ("failed", "promote: what is live changed")
    assert summary["gate"]["passed"] is True
    assert (summary["deployment"]["deployed"], summary["deployment"]["release"]) == (False, None)
    assert next(task for task in summary["tasks"] if task["name"] == "promote")["error"] == "what is live changed"


def test_what_the_orchestrator_said_is_the_error():
    summary = summarize(FACTS, until("train"), ended=True, error="the orchestrator failed: TypeError: x")
    assert (summary["status"], summary["error"]) == ("failed", "the orchestrator failed: TypeError: x")


def test_what_came_from_the_cache_is_said_and_counts():
    cached = dict.fromkeys(("prepare", "train", "evaluate"), "cached")
    summary = summarize(FACTS, records(states=cached), ended=True)
    assert {name for name, state in states(summary).items() if state == "cached"} == set(cached)
    assert summary["gate"]["passed"] is True
    assert all(task["seconds"] == 1.235 for task in summary["tasks"] if task["name"] == "track")


def seen(given, folder, **options) -> str:
    return glance(summarize(FACTS, given, ended=True, **options), folder, 12.34)


def test_at_a_glance(tmp_path):
    (tmp_path / "report.html").touch()
    (tmp_path / "example.json").touch()
    assert seen(records(), tmp_path).splitlines() == [
        "",
        "  not run: hold, hold-2",
        "  run        training-1: succeeded in 12.3 s",
        "  data       1,000 rows, 3 bad set aside, 200 customers, known until 2024-03-01",
        "             a day is missing",
        "  model      auc_pr 0.8000 [0.7800, 0.8200] · recency alone 0.7000 · base rate 0.5000",
        "  verdict    gate open: because",
        "  live       r-new in shop-30d (was nothing)",
        f"  report     {tmp_path / 'report.html'}",
        "  try it     churn serve --line shop-30d &",
        f"             curl -s -H 'Content-Type: application/json' -d @{tmp_path / 'example.json'} http://127.0.0.1:8080/predict",
    ]


@pytest.mark.parametrize(
    ("auc_pr", "was_live", "words"),
    [
        (0.8, "r-old", "r-new in shop-30d (was r-old)"),
        (0.8, "r-new", "r-new in shop-30d (already live)"),
        (0.5, "r-old", "r-old in shop-30d (unchanged)"),
        (0.5, "", "nothing in shop-30d"),
    ],
)
def test_what_is_live_at_a_glance(tmp_path, auc_pr, was_live, words):
    lines = seen(records(auc_pr, was_live=was_live), tmp_path).splitlines()
    assert f"  live       {words}" in lines
    assert ("  verdict    gate open: because" in lines) is (auc_pr > 0.72)


def test_a_failed_run_at_a_glance(tmp_path):
    given = [*until("prepare"), TaskRecord("prepare", "failed", error="log.csv: no column 'who'")]
    text = seen(given, tmp_path)
    assert "  run        training-1: failed in 12.3 s\n  error      prepare: log.csv: no column 'who'\n" in text
    assert f"  logs       {tmp_path / 'logs'}" in text
    assert not {"verdict", "live", "model", "try it"} & {line[2:12].strip() for line in text.splitlines()}


def test_an_undefined_figure_at_a_glance(tmp_path):
    given = [
        record
        if record.name != "evaluate"
        else TaskRecord("evaluate", "succeeded", 1, {"Output": -1.0, "metrics": artifact(base_rate=0.0)})
        for record in records(-1.0)
    ]
    assert "  model      auc_pr undefined\n" in seen(given, tmp_path)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_each_task_is_a_line_as_it_ends():
    for out, expected in (
        (io.StringIO(), "  ✓ train             1.5 s\n  ↺ prepare          cached\n  ✗ judge             0.0 s  it failed\n"),
        (
            Terminal(),
            "\r  … train         \r  ✓ train             1.5 s\n\r  ↺ prepare          cached\n\r  ✗ judge             0.0 s  it failed\n",
        ),
    ):
        progress = Progress(out)
        progress.started("train")
        progress.ended(TaskRecord("train", "succeeded", 1.5))
        progress.ended(TaskRecord("prepare", "cached", 3.0))
        progress.ended(TaskRecord("judge", "failed", 0.0, error="it failed"))
        assert out.getvalue() == expected
