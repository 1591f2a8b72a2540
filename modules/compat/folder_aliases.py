"""Finds the names that a script uses for its own folder, which may have another name, from paths in its code."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

from modules.compat.import_redirect import alike
from modules.compat.path_values import PathValues

# "extensions/<name>/<entry>…". Unknown parts are UNKNOWN.
_PATH = re.compile(r"(?<![\w-])extensions[/\\]+([\w.-]+)(?![\w.\0-])(?:[/\\]+([\w.-]+)(?![\w.\0-]))?")
_PYTHON = frozenset({".py"})
_PAGE = frozenset({".js", ".css", ".html", ".json", ".yaml", ".yml"})
# Code may test with these for another extension's folder.
_EXISTENCE_TESTS = frozenset({"exists", "isdir", "isfile", "is_dir", "is_file", "lexists"})
# text-generation-webui ships these, so a path to one of them may mean the shipped extension.
_SHIPPED_THERE = frozenset(
    (
        "character_bias",
        "coqui_tts",
        "elevenlabs_tts",
        "example",
        "gallery",
        "google_translate",
        "long_replies",
        "multimodal",
        "ngrok",
        "openai",
        "perplexity_colors",
        "sd_api_pictures",
        "send_pictures",
        "silero_tts",
        "superbooga",
        "superboogav2",
        "whisper_stt",
    )
)
_MOST_FILES = 1000
_MOST_BYTES = 2_000_000


def own_names(folder: Path, others: Container[str]) -> list[str]:
    """Return the names that the code uses for its own folder.

    These are names in paths that resemble the folder's name, or that lead to an entry that the folder has. If there are
    none, it is the only name that the code uses. `others`: names of other extensions.
    """
    texts = [_read(path) for path in _files(folder, _PAGE)]
    trees = []
    for code in map(_read, _files(folder, _PYTHON)):
        try:
            trees.append(ast.parse(code))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            texts.append(code)
    values = PathValues(trees)
    used = {found for tree in trees for node in _used(tree) for found in _paths(values.of(node))}
    shown = set(_paths(texts))
    # Every folder has a script.py, so it is no evidence.
    own = {
        name
        for name, entry in used | shown
        if alike(name, folder.name) or (entry not in ("", "script.py") and (folder / entry).exists())
    }
    alone = {name for name, _ in used} - _SHIPPED_THERE
    if not own and len(alone) == 1:
        own = alone
    return sorted(name for name in own if name not in others)


def _paths(texts: Iterable[str]) -> list[tuple[str, str]]:
    return [found for text in texts for found in _PATH.findall(text)]


def _used(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield the expressions of a file that may be texts, except arguments of existence tests."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute)):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if name in _EXISTENCE_TESTS:
                continue
        if isinstance(node, (ast.Constant, ast.JoinedStr, ast.BinOp, ast.Call)):
            yield node
        waiting += ast.iter_child_nodes(node)


def _files(folder: Path, endings: frozenset[str]) -> Iterator[Path]:
    paths = (path for path in folder.rglob("*") if path.suffix in endings)
    shown = (path for path in paths if not path.relative_to(folder).parts[0].startswith("."))
    return itertools.islice((path for path in shown if path.is_file()), _MOST_FILES)


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return file.read(_MOST_BYTES)
    except OSError:
        return ""
