"""Whether the locks install on the platforms that the project names, as far as the registry answers: python -m tools.platforms. Nothing is installed."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.locks import locks, read_lock

PLATFORMS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu")
_SOURCE_ONLY = ("kfp", "kfp-server-api")  # plain Python, published as source alone; everything else must have a wheel there
_SILENT = re.compile(r"error sending request|failed to fetch|connect|timed? ?out|dns", re.IGNORECASE)


def command(path: Path, platform: str, folder: str) -> list[str]:
    """Install a lock for a platform, dry."""
    wheels = [word for pin in read_lock(path) if pin.name not in _SOURCE_ONLY for word in ("--only-binary", pin.name)]
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--dry-run", "--quiet", "--require-hashes", "--target", folder]
    return [*uv, *wheels, "--python-platform", platform, "--python-version", "3.11", "-r", str(path)]


def verdict(name: str, platform: str, status: int, said: str) -> tuple[str, int]:
    """A line, and 1 where the lock does not install there."""
    words = " ".join(said.split())[:300]
    if status == 0:
        return f"platforms: {name} installs on {platform}", 0
    if _SILENT.search(said):
        return f"platforms: {name} on {platform}: NOT CHECKED: the registry does not answer ({words})", 0
    return f"platforms: {name} does not install on {platform}: {words}", 1


def main() -> int:
    """The command; gives 1 where a lock does not install on a platform."""
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        for path in locks():
            for platform in PLATFORMS:
                done = subprocess.run(command(path, platform, folder), capture_output=True, text=True, check=False)
                line, status = verdict(path.name, platform, done.returncode, done.stderr)
                print(line, flush=True)
                worst = max(worst, status)
    return worst


if __name__ == "__main__":
    sys.exit(main())
