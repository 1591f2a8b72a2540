"""Turns the results of a check's process into a verdict and a reason."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any, TypedDict

from modules.system.program_name import program_name

# Kind of a need -> the sentence about needs that were treated as present, and about needs that are missing.
_TAKEN = {
    "pip": "These packages are not installed and were treated as present: {}.",
    "submodule": "These Git submodules are not fetched and were treated as present: {}.",
    "program": "These programs are not installed and were treated as present: {}.",
}
_WANTED = {
    "pip": "It needs packages that are not installed: {}. Install them on the Extensions tab.",
    "submodule": "It needs Git submodules that are not fetched: {}. Run git submodule update --init in its folder.",
}


class Report(TypedDict):
    """The report on one extension.

    folder: the inner folder that was checked, "" if it is the given one. imports: its code ran. ui: its components were
    built on the page, or it has none. missing: names of the host that its source uses and Paddock lacks. needs:
    "pip:…" for packages that are not installed, "submodule:…" for Git submodules that are not fetched, "program:…" for
    programs that it started and that are not installed.
    """

    name: str
    folder: str
    imports: bool
    ui: bool
    hooks: list[str]
    missing: list[str]
    needs: list[str]
    verdict: str
    why: str


def judge(name: str, folder: str, found: Mapping[str, Any], assumed: bool) -> Report:
    """Return the report. `folder`: the inner folder that was checked. `found`: the results that the process wrote, and
    how it ended: `problem` (a sentence), `exit` (the status) or `late` (seconds)."""
    imports, ui = bool(found.get("imports")), bool(found.get("ui"))
    missing, needs = list(found.get("missing", ())), list(found.get("needs", ()))
    over = bool(found.get("over"))
    sentences = [_inner_folder(folder, list(found.get("others", ())))] if folder else []
    sentences += [_how_it_ended(found)] if not over else []
    sentences += [str(sentence) for sentence in found.get("faults", ())]
    if missing:
        sentences.append(f"Paddock has no {_listed(missing)}, so code that uses them will not work.")
    sentences += [str(sentence) for sentence in (*found.get("impossible", ()), *found.get("notes", ()))]
    for kind, sentence in (_TAKEN if assumed else _WANTED).items():
        if names := [need.partition(":")[2] for need in needs if need.startswith(f"{kind}:")]:
            sentences.append(sentence.format(_listed(names)))
    good = over and imports and ui and not missing and not found.get("faults")
    if good and (assumed or not needs):
        verdict = "works"
        sentences.insert(0, "It loads, its components appear on the page, and Paddock has every name that it uses.")
    else:
        verdict = "partly" if imports else "no"
    why = " ".join(sentence for sentence in sentences if sentence)
    hooks = list(found.get("hooks", ()))
    return Report(
        name=name,
        folder=folder,
        imports=imports,
        ui=ui,
        hooks=hooks,
        missing=missing,
        needs=needs,
        verdict=verdict,
        why=why,
    )


def _inner_folder(folder: str, others: list[str]) -> str:
    beside = f" There is also one in {_listed(others)}: check it by that path." if others else ""
    return f"The extension in its folder {folder}/ was checked.{beside}"


def _how_it_ended(found: Mapping[str, Any]) -> str:
    if "problem" in found:
        return str(found["problem"])
    where = str(found.get("step") or "starting")
    if "late" in found:
        return f"It was still {where} after {found['late']:g} seconds and was ended. It may be waiting for the network."
    if "step" not in found:
        return f"The check did not start, so nothing is known. See whether this works: {program_name()} extensions list"
    status = int(found.get("exit", 0))
    if status < 0:
        return f"Its process was ended by {signal.Signals(-status).name} while {where}."
    return f"It ended its own process (exit status {status}) while {where}."


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
