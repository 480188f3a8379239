"""The training pipeline through kfp's local runner against the same functions in one plain Python process, in turn, nothing cached.

python benchmarks/orchestration.py [PAIRS]: whole-process wall seconds of each, the ratio pair by pair, and the median.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from churn.platform.settings import CHECKOUT


def seconds(command: list[str], workspace: Path) -> float:
    begin = time.perf_counter()
    environment = {**os.environ, "CHURN_WORKSPACE": str(workspace)}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=CHECKOUT)
    return time.perf_counter() - begin


def main(pairs: int) -> None:
    ratios, times = [], []
    for number in range(pairs + 1):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            subprocess.run([sys.executable, "compile.py", "--out", folder], check=True, stdout=subprocess.DEVNULL, cwd=CHECKOUT)
            spec = str(root / "training.yaml")
            pipeline = seconds([sys.executable, "-m", "pipelines.submit.main", spec], root / "pipeline")
            plain = seconds([sys.executable, "benchmarks/plain.py", str(root / "plain"), spec], root / "plain")
        if number == 0:
            continue  # the first pair warms the file cache
        times.append((pipeline, plain))
        ratios.append(pipeline / plain)
        print(f"pair {number}: pipeline {pipeline:5.1f} s   plain {plain:5.1f} s   ratio {pipeline / plain:.2f}", flush=True)
    print(
        f"median: pipeline {statistics.median(t[0] for t in times):.1f} s, plain {statistics.median(t[1] for t in times):.1f} s, "
        f"ratio {statistics.median(ratios):.2f} ({pairs} pairs, {os.cpu_count()} cores)"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
