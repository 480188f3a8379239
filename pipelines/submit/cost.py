"""What a run will cost: from the compiled spec's machines, the times of the last run, and a dated table of prices."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from churn.platform.checked import Checked
from churn.platform.errors import ConfigError
from pipelines.submit.spec import Spec


class Prices(Checked):
    """configs/prices.yaml."""

    dated: str
    pipeline_run: float = Field(ge=0)
    vcpu_hour: float = Field(ge=0)
    memory_gb_hour: float = Field(ge=0)
    start_minutes: float = Field(ge=0)
    unknown_minutes: float = Field(ge=0)


@dataclass(frozen=True)
class Estimate:
    """A price, with what it rests on."""

    usd: float
    tasks: int
    known: int
    dated: str

    def words(self) -> str:
        """In a line."""
        times = f"times of {self.known} of {self.tasks} steps from the last run" if self.known else "no run's times are known yet"
        return f"about {self.usd:.2f} USD (every step taken, none from the cache; {times}; prices of {self.dated}, configs/prices.yaml)"


def estimate(spec: Spec, prices: Prices, seconds: dict[str, float]) -> Estimate:
    """The price of a run in which every task runs.

    Args:
        spec: the compiled pipeline, with its machines.
        prices: the table.
        seconds: how long each task took in a run before, by name.
    """
    usd = prices.pipeline_run
    for task in spec.tasks:
        cpu, memory = spec.machine(task)
        minutes = prices.start_minutes + (seconds[task] / 60 if task in seconds else prices.unknown_minutes)
        usd += minutes / 60 * (cpu * prices.vcpu_hour + memory * prices.memory_gb_hour)
    return Estimate(usd, len(spec.tasks), sum(task in seconds for task in spec.tasks), prices.dated)


def check_ceiling(estimated: Estimate, most: float) -> None:
    """Refuse a run that is estimated above the ceiling.

    Raises:
        ConfigError: it is.
    """
    if estimated.usd > most:
        raise ConfigError(
            f"the run is estimated at {estimated.words()}, above max_cost_usd {most:g}; raise CHURN_MAX_COST_USD, or make the machines smaller"
        )


def last_times(runs: Path, pipeline: str) -> dict[str, float]:
    """How long each task of a pipeline took when it last ran (not from the cache), from the runs' summaries, the newest first."""
    seconds: dict[str, float] = {}
    for path in sorted(runs.glob(f"{pipeline}-*/summary.json"), key=lambda each: each.stat().st_mtime, reverse=True)[:20]:
        for task in _tasks(path):
            if task.get("state") == "succeeded":
                seconds.setdefault(str(task["name"]), float(task["seconds"]))
    return seconds


def _tasks(path: Path) -> list[dict[str, Any]]:
    try:
        return list(json.loads(path.read_text())["tasks"])
    except (OSError, ValueError, KeyError):
        return []
