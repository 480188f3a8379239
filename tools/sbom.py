"""A bill of materials for each lock, CycloneDX JSON: python -m tools.sbom [--out DIR]. The same lock gives the same bytes: a serial of its content, no time."""

import argparse
import json
import sys
import uuid
from pathlib import Path
from typing import Any

from tools.locks import REQUIREMENTS, Pin, locks, read_lock

_OURS = uuid.UUID("5d0cbb1e-6f3f-5b0a-9a55-0c5b7f3b8f11")  # the namespace of this project's serials


def bill(name: str, pins: list[Pin]) -> dict[str, Any]:
    """The bill of what one image, or environment, installs."""
    components = [
        {
            "type": "library",
            "bom-ref": purl(pin),
            "name": pin.name,
            "version": pin.version,
            "purl": purl(pin),
            "hashes": [{"alg": "SHA-256", "content": each} for each in pin.hashes],
        }
        for pin in pins
    ]
    serial = uuid.uuid5(_OURS, json.dumps([name, components], sort_keys=True))
    subject = {"type": "application", "bom-ref": f"churn-{name}", "name": f"churn-{name}"}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"component": subject},
        "components": components,
        "dependencies": [{"ref": subject["bom-ref"], "dependsOn": [purl(pin) for pin in pins]}],
    }


def purl(pin: Pin) -> str:
    """The package's URL, as bills name it."""
    return f"pkg:pypi/{pin.name}@{pin.version.replace('+', '%2B')}"


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tools.sbom", description="A bill of materials for each lock.")
    parser.add_argument("--out", type=Path, default=REQUIREMENTS.parent / "build" / "sbom", metavar="DIR")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for path in locks():
        try:
            pins = read_lock(path)
        except ValueError as error:
            print(f"sbom: {error}", file=sys.stderr)
            return 1
        out = options.out / f"{path.stem}.cdx.json"
        out.write_text(json.dumps(bill(path.stem, pins), indent=1) + "\n")
        print(f"{out}: {len(pins)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
