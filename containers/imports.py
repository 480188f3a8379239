"""What the steps of each image import, read from the code itself: from the components of a group, through churn/, to the packages behind it."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from churn.platform.settings import CHECKOUT as ROOT

SERVER = "server"
_OURS = ("churn", "components")


def entries(group: str, root: Path = ROOT) -> list[str]:
    """The modules that an image starts with: the components of its group, or the server."""
    if group == SERVER:
        return ["churn.serving.server"]
    found = [path for path in sorted((root / "components").glob("*.py")) if _group(path) == group]
    return [f"components.{path.stem}" for path in found]


def _group(path: Path) -> str | None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "pipeline_component":
            return str(ast.literal_eval(node.args[0]))
    return None


def reachable(starts: list[str], root: Path = ROOT) -> dict[str, str]:
    """Every module that can be imported from these, ours and others', at import or in a function; each with the module of ours that does it."""
    found = {start: "" for start in starts}
    waiting = list(starts)
    while waiting:
        module = waiting.pop()
        for name in _imported(module, root):
            if name not in found:
                found[name] = module
                if name.partition(".")[0] in _OURS:
                    waiting.append(name)
    return found


def _file(module: str, root: Path) -> Path | None:
    place = root.joinpath(*module.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def _imported(module: str, root: Path) -> Iterator[str]:
    path = _file(module, root)
    if path is None:
        return
    for node in _run(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            # `from churn.platform import storage` may name a module.
            yield from (name for alias in node.names if _file(name := f"{node.module}.{alias.name}", root))


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a module that run: without what is for the type checker only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING":
            continue
        yield child
        yield from _run(child)


def packages(modules: dict[str, str]) -> dict[str, str]:
    """Of these modules, those that are neither ours nor Python's own."""
    own = (*_OURS, *sys.stdlib_module_names)
    return {name: by for name, by in sorted(modules.items()) if name.partition(".")[0] not in own}
