"""Arguments of Gradio 3, 4 and 5 as Gradio 6 takes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

# Class -> argument -> values of old -> their names now.
_VALUES: dict[str, dict[str, dict[Any, Any]]] = {
    "Button": {"variant": {"tool": "secondary"}},
    "File": {"type": {"file": "filepath", "bytes": "binary"}},
    "UploadButton": {"type": {"file": "filepath", "bytes": "binary"}},
    "Image": {"type": {"file": "filepath"}},
    "Audio": {"type": {"file": "filepath"}},
}
# Flags of old -> what they add to `buttons`.
_BUTTONS = {"show_copy_button": "copy", "show_download_button": "download", "show_share_button": "share"}
# One source of old, a list of them now.
_SOURCES = {"source": "sources"}


def fit(
    name: str,
    function: Callable[..., Any],
    given: tuple[Any, ...],
    named: Mapping[str, Any],
    left_out: Callable[[str], None],
) -> dict[str, Any]:
    """The arguments for a constructor, by name. `name`: the class's; what it does not know goes to `left_out`."""
    known = [parameter for parameter in inspect.signature(function).parameters.values() if parameter.name != "self"]
    names = [
        parameter.name
        for parameter in known
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known)
    # What is keyword-only now could be given by place, in the same order.
    values = {**dict(zip(names, given, strict=False)), **named}
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
            left_out(f"{name}({key}=)")
    # No label, once; now the class's name would stand there.
    if fitted.get("label") == "" and "show_label" in names:
        fitted.setdefault("show_label", False)
    scale = fitted.get("scale")
    if isinstance(scale, float):
        fitted["scale"] = max(1, round(scale))
    elif scale is not None and not isinstance(scale, int):
        del fitted["scale"]
        left_out(f"{name}(scale=)")
    return fitted


def updates(given: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
    """What `Component.update(...)` of old says, as `gr.update` takes it: there, None meant "as it was", but for the
    value."""
    values = {**named, **({"value": given[0]} if given else {})}
    return {key: value for key, value in values.items() if value is not None or key == "value"}
