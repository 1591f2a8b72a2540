"""Converts arguments of Gradio 3, 4 and 5 to those of Gradio 6."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

# Class -> argument -> old value -> new value.
_VALUES: dict[str, dict[str, dict[Any, Any]]] = {
    "Button": {"variant": {"tool": "secondary"}},
    "File": {"type": {"file": "filepath", "bytes": "binary"}},
    "UploadButton": {"type": {"file": "filepath", "bytes": "binary"}},
    "Image": {"type": {"file": "filepath"}},
    "Audio": {"type": {"file": "filepath"}},
}
# Old flag -> the value that it adds to `buttons`.
_BUTTONS = {"show_copy_button": "copy", "show_download_button": "download", "show_share_button": "share"}
# An old single source is a list now.
_SOURCES = {"source": "sources"}


def fit(
    name: str,
    function: Callable[..., object],
    args: tuple[object, ...],
    named: Mapping[str, object],
    drop: Callable[[str], None],
) -> dict[str, object]:
    """Return the arguments for a constructor by name. `name`: of the class. `drop(text)` is called for unknown ones."""
    known = [parameter for parameter in inspect.signature(function).parameters.values() if parameter.name != "self"]
    names = [
        parameter.name
        for parameter in known
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known)
    # Arguments that are keyword-only now could be positional, in the same order.
    values = {**dict(zip(names, args, strict=False)), **named}
    fitted: dict[str, Any] = {}
    for key, value in values.items():
        if key in names or (takes_all and name != "Blocks"):
            fitted[key] = _VALUES.get(name, {}).get(key, {}).get(value, value) if isinstance(value, str) else value
        elif key in _BUTTONS and "buttons" in names:
            if value:
                fitted["buttons"] = [*(fitted.get("buttons") or ()), _BUTTONS[key]]
        elif key in _SOURCES and _SOURCES[key] in names:
            fitted[_SOURCES[key]] = None if value is None else [value]
        else:
            drop(f"{name}({key}=)")
    # An empty label meant no label. Gradio 6 shows the class name instead.
    if fitted.get("label") == "" and "show_label" in names:
        fitted.setdefault("show_label", False)
    scale = fitted.get("scale")
    if isinstance(scale, float):
        fitted["scale"] = max(1, round(scale))
    elif scale is not None and not isinstance(scale, int):
        del fitted["scale"]
        drop(f"{name}(scale=)")
    return fitted


def updates(args: tuple[object, ...], named: Mapping[str, object]) -> dict[str, Any]:
    """Return arguments of `gr.update` for those of the old `Component.update(...)`.

    There, None meant "unchanged", except for the value.
    """
    values = {**named, **({"value": args[0]} if args else {})}
    return {key: value for key, value in values.items() if value is not None or key == "value"}
