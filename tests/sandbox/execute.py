"""A pipeline job's process: python -m tests.sandbox.execute FOLDER. It runs the folder's spec with kfp's local runner.

What happens is said on standard output, a JSON object a line; after each the sandbox answers with a line, so that a task's outputs are in the bucket
before the next task begins. Where the sandbox is gone, so is the job.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any


def main() -> None:
    """Run the job of a folder."""
    from churn.platform.errors import ChurnError
    from pipelines.submit.local import TaskRecord, run_locally

    folder = Path(sys.argv[1])
    job = json.loads((folder / "job.json").read_text())
    # The steps inherit neither channel: theirs are nothing, and the job's log.
    said, heard = os.fdopen(os.dup(1), "w"), os.fdopen(os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)

    def say(**event: Any) -> None:
        said.write(json.dumps(event) + "\n")
        said.flush()
        if not heard.readline():
            sys.exit("the sandbox is gone")

    def ended(record: TaskRecord) -> None:
        say(event="ended", **{key: value for key, value in asdict(record).items() if key != "log"})

    try:
        run_locally(
            (folder / "spec.json").read_text(),
            job["arguments"],
            run=job["run"],
            pipeline_root=Path(job["pipeline_root"]),
            logs=folder / "logs",
            started=lambda name: say(event="started", name=name),
            ended=ended,
        )
    except ChurnError as error:
        say(event="failed", error=str(error))


if __name__ == "__main__":
    main()
