"""Write the golden specs anew; with --diff say what would change, and exit 1 where something does."""

import sys

import compile as compile_command
from tests.pipelines.golden import GOLDEN, differences, golden_text


def diff() -> int:
    """Print what each pipeline, compiled now, changes of its golden spec; 1 where there is something."""
    changed = {name: lines for name in sorted(compile_command.pipelines()) if (lines := differences(name))}
    changed |= {path.stem: ["is no pipeline any more"] for path in GOLDEN.glob("*.yaml") if path.stem not in compile_command.pipelines()}
    for name, lines in changed.items():
        print(f"{name}: tests/pipelines/golden/{name}.yaml against what compiles now", *lines, sep="\n  ")
    print(f"{'changed' if changed else 'as reviewed'}: {', '.join(changed) or ', '.join(sorted(compile_command.pipelines()))}")
    return 1 if changed else 0


def write() -> int:
    """Write them."""
    for name in compile_command.pipelines():
        (GOLDEN / f"{name}.yaml").write_text(golden_text(name))
    return 0


sys.exit(diff() if "--diff" in sys.argv else write())
