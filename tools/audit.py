"""Known vulnerabilities in the locks, asked of pip-audit: python -m tools.audit. What was not checked is said, for no answer is not a good one."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.locks import locks

Ask = Callable[[Path], tuple[list[dict[str, Any]] | None, str]]


def ask(path: Path) -> tuple[list[dict[str, Any]] | None, str]:
    """What pip-audit says of each package of a lock; None, and why, where it came to no answer."""
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "-r",
        str(path),
        "--disable-pip",
        "--require-hashes",
        "--progress-spinner=off",
        "-f",
        "json",
    ]
    done = subprocess.run([*command, "--timeout", "15"], capture_output=True, text=True, check=False)
    try:
        return list(json.loads(done.stdout)["dependencies"]), ""
    except (ValueError, KeyError, TypeError):
        said = done.stderr.strip().splitlines()
        return None, said[-1] if said else f"it ended with {done.returncode}"


def audit(paths: list[Path], ask_of: Ask = ask) -> tuple[list[str], int]:
    """A line for each lock, and for each package that is vulnerable; and 1 where one is."""
    lines, status = [], 0
    for path in paths:
        answer, why = ask_of(path)
        if answer is None:
            lines.append(f"audit: {path.name}: NOT CHECKED: the advisory service does not answer ({why}); run again where it does")
            continue
        unknown = [each for each in answer if "skip_reason" in each]
        known = len(answer) - len(unknown)
        for each in answer:
            for found in each.get("vulns", []):
                fixed = ", ".join(found.get("fix_versions", [])) or "nothing yet"
                lines.append(f"audit: {path.name}: {each['name']} {each['version']}: {found['id']}, fixed in {fixed}")
                status = 1
        if unknown or not answer:
            lines.append(f"audit: {path.name}: NOT CHECKED: {len(unknown)} of {len(answer)} packages, which the service does not know")
        lines.append(f"audit: {path.name}: {known} packages checked")
    return lines, status


def main() -> int:
    """The command; gives 1 where a package is known to be vulnerable."""
    lines, status = audit(locks())
    print("\n".join(lines))
    return status


if __name__ == "__main__":
    sys.exit(main())
