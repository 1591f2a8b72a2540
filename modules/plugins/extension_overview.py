"""From an extension on disk and what became of it to what the page and the command line tell."""

from __future__ import annotations

from modules.plugins import requirements
from modules.plugins.extension_status import ExtensionStatus
from modules.plugins.folders import ExtensionFolder
from modules.plugins.inline_handlers import inline_handler
from modules.plugins.manager import ExtensionManager
from modules.plugins.running_extension import RunningExtension

_KINDS = {"extension.py": "paddock", "script.py": "text-generation-webui"}


def extension_statuses(manager: ExtensionManager) -> list[ExtensionStatus]:
    """Return the status of every extension on disk: those that are on first, in their order."""
    found = manager.available()
    order = manager.saved.order
    listed = [found[name] for name in order if name in found]
    listed += [entry for name, entry in found.items() if name not in order]
    return [_status(manager, entry, order) for entry in listed]


def _status(manager: ExtensionManager, found: ExtensionFolder, order: list[str]) -> ExtensionStatus:
    """An extension as it is now. `order`: those that are on, first to last."""
    running, fault = manager.get_running(found.name), manager.fault(found.name)
    needs = requirements.check(found.manifest.requirements, manager.packages(found.name))
    missing = any(need.state in ("missing", "conflict") for need in needs)
    state, message, detail = "off", "", ""
    if running is not None:
        state = "on"
        if running.source.sha256 != found.sha256:
            message = "Its files have changed since it was switched on. Switch it off and on to run the new ones."
        elif running.last_failure is not None:
            message, detail = running.last_failure.message, running.last_failure.detail
    elif found.problem:
        state, message = "blocked", found.problem
    elif fault is not None:
        state, message, detail = "failed", fault.message, fault.detail
    elif not manager.is_allowed(found):
        state = "consent"
        changed = found.name in order
        message = "Its files have changed since you agreed to run them." if changed else "Its code has never run here."
    return ExtensionStatus(
        name=found.name,
        title=running.title if running else found.title,
        state=state,
        kind=_KINDS[found.kind],
        version=found.manifest.version,
        description=found.manifest.description,
        wants=found.manifest.wants,
        message=message,
        detail=detail,
        notes=(*_notes(manager, running), *_handlers(found), *(need.sentence for need in needs if need.sentence)),
        hooks=(*running.impls, *(running.worker[1] if running.worker else ())) if running else (),
        needs=needs,
        unbuilt=manager.unbuilt(found) if missing else "",
        sha256=found.sha256,
        shipped=found.shipped,
        settings=manager.schema(found.name) if running else found.manifest.settings,
        values=manager.saved.settings(found.name),
        output=running.output.text if running else "",
        is_tab=running.is_tab if running else False,
        place=order.index(found.name) if found.name in order else -1,
    )


def _notes(manager: ExtensionManager, running: RunningExtension | None) -> tuple[str, ...]:
    if running is None:
        return ()
    idle = manager.idle() if running.worker else ""
    # A script's reader may have something to tell of it; in a module of our own kind such a name is the author's.
    told = running.plugin.notes() if running.source.kind == "script.py" else ()
    return (*running.notes, *running.page_faults, *told, *([idle] if idle else ()))


def _handlers(found: ExtensionFolder) -> tuple[str, ...]:
    place = inline_handler(found.path, found.sha256) if found.sha256 else ""
    words = (
        f"Its markup holds script in attributes such as onclick ({place}). While it is on, the page runs such script "
        "wherever it stands; otherwise it never does."
    )
    return (words,) if place else ()
