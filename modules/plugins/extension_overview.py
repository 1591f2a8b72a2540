"""The status of every extension, as the page and the command line show it."""

from __future__ import annotations

from modules.plugins.extension_status import ExtensionStatus
from modules.plugins.folders import ExtensionFolder
from modules.plugins.inline_handlers import inline_handler
from modules.plugins.manager import ExtensionManager
from modules.plugins.running_extension import RunningExtension

_KINDS = {"extension.py": "paddock", "script.py": "text-generation-webui"}


def extension_statuses(manager: ExtensionManager) -> list[ExtensionStatus]:
    """Return the status of every extension on disk: first those that are on, in their order."""
    available = manager.available()
    order = manager.saved.order
    listed = [available[name] for name in order if name in available]
    listed += [source for name, source in available.items() if name not in order]
    return [_status(manager, source, order) for source in listed]


def _status(manager: ExtensionManager, source: ExtensionFolder, order: list[str]) -> ExtensionStatus:
    running = manager.running.get(source.name)
    needs = manager.packages.needs(source)
    missing = any(need.state in ("missing", "conflict") for need in needs)
    state, message, detail = _state(manager, source, running, source.name in order)
    return ExtensionStatus(
        name=source.name,
        title=running.title if running else source.title,
        state=state,
        kind=_KINDS[source.kind],
        version=source.manifest.version,
        description=source.manifest.description,
        wants=source.manifest.wants,
        message=message,
        detail=detail,
        notes=(*_notes(manager, running), *_handlers(source), *(need.sentence for need in needs if need.sentence)),
        hooks=(*running.impls, *(running.worker[1] if running.worker else ())) if running else (),
        needs=needs,
        unbuilt=manager.packages.unbuilt(source) if missing else "",
        sha256=source.sha256,
        shipped=source.shipped,
        settings=manager.configuration.schema(source.name) if running else source.manifest.settings,
        values=manager.saved.settings(source.name),
        output=running.output.text if running else "",
        is_tab=running.is_tab if running else False,
        place=order.index(source.name) if source.name in order else -1,
    )


def _state(
    manager: ExtensionManager, source: ExtensionFolder, running: RunningExtension | None, chosen: bool
) -> tuple[str, str, str]:
    """Return (state, message, detail). `chosen`: the user switched the extension on."""
    if running is not None:
        if running.source.sha256 != source.sha256:
            return "on", "Its files changed after it was switched on. Switch it off and on to run the new ones.", ""
        if running.last_failure is not None:
            return "on", running.last_failure.message, running.last_failure.detail
        return "on", "", ""
    if source.problem:
        return "blocked", source.problem, ""
    if (fault := manager.failures.get(source.name)) is not None:
        return "failed", fault.message, fault.detail
    if not manager.consent.is_given(source):
        changed = "Its files have changed since you allowed it."
        return "consent", changed if chosen else "This code has not run here before.", ""
    return "off", "", ""


def _notes(manager: ExtensionManager, running: RunningExtension | None) -> tuple[str, ...]:
    if running is None:
        return ()
    idle = manager.worker.idle_reason() if running.worker else ""
    # The reader of scripts adds `notes` to its plugins. In a Paddock extension that name belongs to the author.
    notes = running.plugin.notes() if running.source.kind == "script.py" else ()
    return (*running.notes, *running.page_errors, *notes, *([idle] if idle else ()))


def _handlers(source: ExtensionFolder) -> tuple[str, ...]:
    place = inline_handler(source.path, source.sha256) if source.sha256 else ""
    sentence = (
        f"Its markup has script in attributes such as onclick ({place}). While it is on, the page runs such script "
        "from any source. Otherwise the page never does."
    )
    return (sentence,) if place else ()
