"""The documents as data: links, make targets, commands, and figures that somebody measured."""

import argparse
import contextlib
import importlib
import io
import re
import shlex
from collections.abc import Callable, Iterator

from churn.platform.settings import CHECKOUT

DOCUMENTS = sorted(
    path
    for path in CHECKOUT.rglob("*.md")
    if not {".venv", ".git", ".cache", "build", "mlruns", "releases", "runs"} & set(path.relative_to(CHECKOUT).parts)
)
_LINK = re.compile(r"\[[^\]]*\]\((?!\w+:|#)([^)#\s]+)(?:#[^)]*)?\)")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_MAKE = re.compile(r"(?:^|[\s;&])make((?: +(?:-s|[A-Z_]+=\S*|[a-z][a-z-]*))+)")
_FIGURE = re.compile(r"(?<![\w.-])\d[\d,]*(?:\.\d+)? (?:s|ms|min|MB|GB|GiB|MiB)\b|\b0\.[5-9]\d{2,3}\b")
_WHEN = re.compile(r"\b20\d\d-\d\d-\d\d\b|`(?:make|submit|python|churn)\b[^`]*`|benchmarks/\w+\.py")


def links(text: str) -> list[str]:
    """The relative links of a document."""
    return _LINK.findall(_FENCE.sub("", text))


def commands(text: str) -> Iterator[str]:
    """The lines of shell that a document shows: its blocks of sh, and what stands in backticks."""
    for language, block in _FENCE.findall(text):
        if language in {"sh", "bash", "console"}:
            yield from (line.partition(" #")[0].strip() for line in block.splitlines() if line.strip() and not line.startswith("#"))
    yield from _SPAN.findall(_FENCE.sub("", text))


def made(text: str) -> set[str]:
    """The targets that it tells to make."""
    found = [match for line in commands(text) for match in _MAKE.findall(line)]
    return {word for words in found for word in words.split() if re.fullmatch(r"[a-z][a-z-]*", word)}


def wrong_commands(text: str) -> Iterator[str]:
    """Console commands with a subcommand or a flag that is not there."""
    for line in commands(text):
        for part in re.split(r"&&|\|\||[|;&]", line):
            words = _words(part)
            if (words and words[0] in {"submit", "churn"}) or words[:2] == ["python", "compile.py"]:
                yield from (f"{part.strip()}: {what}" for what in _unknown(words))


def _words(part: str) -> list[str]:
    try:
        return shlex.split(part)
    except ValueError:
        return []


def _unknown(words: list[str]) -> Iterator[str]:
    flags = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
    helps, wrong = _help(words)
    if wrong:
        yield wrong
        return
    yield from (f"has no {flag}" for flag in sorted(flags) if not re.search(rf"{flag}\b(?!-)", helps))


def _help(words: list[str]) -> tuple[str, str]:
    """What a command says of itself, and what is wrong where it is none."""
    if words[0] == "submit":
        return _said(lambda: importlib.import_module("pipelines.submit.main").main(["--help"])), ""
    if words[0] == "python":
        return _said(lambda: importlib.import_module("compile").main(["--help"])), ""
    given = [word for word in words[1:] if re.fullmatch(r"[a-z-]+", word) and not word.startswith("-")]
    main = importlib.import_module("churn.cli.main")
    if not given:
        return _said(lambda: main.main(["--help"])), ""
    if given[0] not in main._COMMANDS:
        return "", f"churn has no {given[0]}"
    actions = _actions(given[0])
    if not actions or len(given) == 1:
        return "".join(
            _said(lambda action=action: main.main([given[0], *action, "--help"])) for action in [[], *([each] for each in actions)]
        ), ""
    if given[1] not in actions:
        return "", f"churn {given[0]} has no {given[1]}"
    return _said(lambda: main.main([given[0], given[1], "--help"])), ""


def _actions(command: str) -> list[str]:
    parser = argparse.ArgumentParser()
    importlib.import_module(f"churn.cli.{command}").define(parser)
    found = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return list(found[0]) if found else []


def _said(call: Callable[[], object]) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        call()
    return out.getvalue()


def undated(text: str) -> Iterator[str]:
    """Measured figures with neither a date nor the command that gives them, in their section."""
    for section in re.split(r"^#+ ", text, flags=re.MULTILINE):
        found = _FIGURE.findall(_FENCE.sub("", section))
        if found and not _WHEN.search(section):
            yield f"{section.splitlines()[0] if section.splitlines() else ''}: {', '.join(sorted(set(found))[:4])}"
