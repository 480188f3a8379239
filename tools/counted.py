"""The least number of tests of a whole run: python -m tools.counted raises it to what is there. A suite that loses tests on the way fails (conftest.py)."""

import re
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
LEAST = CHECKOUT / "tests" / "least.txt"
_COUNT = re.compile(r"^(\d+) tests? collected", re.MULTILINE)


def least() -> int:
    """How many tests a whole run collects at the least."""
    return int(LEAST.read_text())


def too_few(collected: int, expected: int) -> str:
    """What is wrong with a number of tests; '' where nothing is."""
    if collected >= expected:
        return ""
    said = f"{collected} tests were collected where {expected} are expected (tests/least.txt): some are not found any more"
    return f"{said}; where that is meant, run: python -m tools.counted"


def main() -> int:
    """Write down how many there are now."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "tests"], capture_output=True, text=True, cwd=CHECKOUT, check=False
    )
    found = _COUNT.search(done.stdout)
    if done.returncode or not found:
        print(f"counted: the tests cannot be collected:\n{done.stdout[-2000:]}{done.stderr[-2000:]}", file=sys.stderr)
        return 1
    before = least() if LEAST.exists() else 0
    LEAST.write_text(f"{found[1]}\n")
    print(f"{LEAST.relative_to(CHECKOUT)}: {before} -> {found[1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
