"""A lock, read as data."""

import re
from dataclasses import dataclass
from pathlib import Path

REQUIREMENTS = Path(__file__).parents[1] / "requirements"
_PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[\w,-]+\])?==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Pin:
    """One package of a lock, and the hashes of the files that are taken for it."""

    name: str
    version: str
    hashes: tuple[str, ...]


def read_lock(path: Path) -> list[Pin]:
    """The packages of a lock.

    Raises:
        ValueError: a line that pins nothing, or a package without a hash.
    """
    pins: list[Pin] = []
    for entry in re.sub(r"\\\n", " ", path.read_text()).splitlines():
        line = entry.partition(" #")[0].strip()
        if not line or line.startswith("#"):
            continue
        pin, hashes = _PIN.match(line), tuple(sorted(_HASH.findall(line)))
        if not pin or not hashes:
            raise ValueError(f"{path}: {line.split(' --hash')[0]!r} should be NAME==VERSION with its hashes; run: make lock")
        pins.append(Pin(re.sub(r"[-_.]+", "-", pin[1]).lower(), pin[2], hashes))
    return sorted(pins, key=lambda each: each.name)


def locks(folder: Path = REQUIREMENTS) -> list[Path]:
    """Every lock."""
    return sorted(folder.rglob("*.txt"))
