"""The gate, through the local runner and the real spec, on both sides of it."""

import math

import pytest

OPEN = {"register", "deploy", "smoke-test", "canary", "promote"}


def saying(shop, value):
    """The pipeline whose evaluation says this auc_pr."""
    return shop.altered(f"says{value}", ("return result.gate_value", f"return {value}"))


def assert_held(shop, summary, hold):
    states = shop.states(summary)
    assert {states[name] for name in OPEN} == {"skipped"}
    assert states[hold] == "succeeded"
    assert summary["status"] == "succeeded"
    assert summary["gate"]["passed"] is False
    assert summary["deployment"]["deployed"] is False
    assert summary["deployment"]["release"] is None


def test_holds_just_below_the_threshold(shop):
    summary = shop.run(spec=saying(shop, 0.7199))
    assert_held(shop, summary, "hold-2")
    assert not (shop.root / "releases").exists() or not list((shop.root / "releases").glob("*/live"))


@pytest.mark.parametrize("auc_pr", [-1.0, 0.0])
def test_holds_what_is_undefined_or_nothing(shop, auc_pr):
    assert_held(shop, shop.run(spec=saying(shop, auc_pr)), "hold-2")


def test_opens_exactly_at_the_threshold(shop):
    summary = shop.run(spec=saying(shop, 0.72))
    states = shop.states(summary)
    assert {states[name] for name in OPEN} == {"succeeded"}
    assert states["hold"] == states["hold-2"] == "skipped"
    assert summary["gate"] == {"passed": True, "threshold": 0.72, "reasons": summary["gate"]["reasons"]}
    assert summary["deployment"]["deployed"] is True


def test_the_measured_value_itself_opens_it_and_the_next_number_above_closes_it(shop):
    auc_pr = shop.run("min_auc_pr=0.1")["metrics"]["auc_pr"]
    assert shop.run(f"min_auc_pr={auc_pr!r}")["gate"]["passed"] is True
    above = shop.run(f"min_auc_pr={math.nextafter(auc_pr, 1)!r}")
    assert_held(shop, above, "hold-2")
    assert above["deployment"]["live"] is not None  # what was live stays live


def test_a_model_that_is_live_is_approved_before_any_comparison(shop):
    summary = shop.run("min_auc_pr=0.1", "min_gain=0.9")
    assert summary["gate"]["passed"] is True
    assert any("live already" in reason for reason in summary["gate"]["reasons"])
    assert summary["deployment"]["was_live"] == summary["deployment"]["live"]


def test_a_challenger_that_gains_too_little_is_held(shop):
    summary = shop.run("min_auc_pr=0.1", "min_gain=0.5", "seed=8")
    assert_held(shop, summary, "hold")
    assert any("champion" in reason for reason in summary["gate"]["reasons"])


def test_a_champion_that_cannot_be_scored_closes_the_gate_until_told_otherwise(shop):
    live = shop.root / "releases" / "shop-30d" / "live" / "model" / "model.ubj"
    live = live.resolve()
    whole = live.read_bytes()
    live.write_bytes(whole[:100])
    try:
        summary = shop.run("min_auc_pr=0.1", "seed=9")
        assert_held(shop, summary, "hold")
        assert any("cannot be scored" in reason for reason in summary["gate"]["reasons"])
        replaced = shop.run("min_auc_pr=0.1", "seed=9", "replace_champion=true", "min_gain=-1")
        assert replaced["deployment"]["deployed"] is True
    finally:
        live.write_bytes(whole)


def test_a_failing_smoke_test_leaves_what_was_live(shop):
    before = (shop.root / "releases" / "shop-30d" / "live").readlink()
    broken = shop.altered("smoke", ("return smoke(", "raise RuntimeError('planted')\n    return smoke("))
    assert shop.submit("min_auc_pr=0.1", "seed=10", "min_gain=-1", spec=broken) == 1
    assert shop.latest["status"] == "failed"
    assert shop.states(shop.latest)["notify"] == "succeeded"
    assert shop.latest["deployment"]["deployed"] is False
    assert (shop.root / "releases" / "shop-30d" / "live").readlink() == before


def test_a_ci_that_goes_on_only_behind_an_open_gate_says_so(shop, capsys):
    assert shop.submit("min_auc_pr=0.999", flags=("--require-gate",)) == 1
    assert "the gate stays closed, and --require-gate wants it open" in capsys.readouterr().err
    assert shop.latest["status"] == "succeeded"  # the run answered; who called wanted another answer
    assert shop.submit("min_auc_pr=0.1", flags=("--require-gate",)) == 0
