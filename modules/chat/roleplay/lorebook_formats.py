"""Lorebooks of KoboldCpp, NovelAI and Risu as books of character cards V3, with sentences about what has no effect.

What an entry has besides is kept in its `extensions`. What is no entry stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modules.chat.roleplay.lore_values import exact, number, texts

_BEFORE = "before_char"
# Messages that are searched: all, and about as many as KoboldCpp's number of letters.
_ALL, _SOME = 1000, 10
_KOBOLD = ("key", "keysecondary", "content", "comment", "selective", "constant", "probability", "widisabled")
_NOVELAI = ("text", "keys", "displayName", "enabled", "forceActivation", "id")
_RISU = ("key", "secondkey", "comment", "content", "alwaysActive", "selective", "insertorder", "useRegex", "id")

Book = tuple[dict[str, object], tuple[str, ...]]


def kobold_book(value: Mapping[str, object]) -> Book:
    """Return the world info of a saved story of KoboldCpp, or of {"worldinfo": a list}."""
    settings = value.get("savedsettings")
    cases = isinstance(settings, Mapping) and settings.get("case_sensitive_wi") is True
    entries = [
        _kobold_entry(one, n, cases) if isinstance(one, Mapping) else one
        for n, one in enumerate(_list(value.get("worldinfo")))
    ]
    # Its depth counts letters; 0 is the whole story.
    depth = _SOME if number(value.get("wisearchdepth"), 0) > 0 else _ALL
    other = [name for key, name in (("memory", "memory"), ("authorsnote", "author's note")) if value.get(key)]
    notes = (f"Only its world info was imported, not its {' and '.join(other)}.",) if other else ()
    return {"extensions": {}, "entries": entries, "scan_depth": depth}, notes


def _kobold_entry(one: Mapping[str, object], place: int, cases: bool) -> dict[str, object]:
    # Keys that must be missing count only beside those that must be there too.
    anti = texts(one.get("keyanti")) if one.get("selective") is True else ()
    content = str(one.get("content") or "")
    return {
        "id": place,
        "keys": list(texts(one.get("key"))),
        "secondary_keys": list(texts(one.get("keysecondary"))),
        "comment": str(one.get("comment") or ""),
        "content": f"@@exclude_keys {','.join(anti)}\n{content}" if anti else content,
        "constant": one.get("constant") is True,
        "selective": one.get("selective") is True,
        "insertion_order": 100,
        "enabled": one.get("widisabled") is not True,
        "position": _BEFORE,
        "use_regex": False,
        **({"case_sensitive": True} if cases else {}),
        "extensions": {
            "probability": exact(one.get("probability"), 100),
            # It finds keys inside of words.
            "match_whole_words": False,
            **_rest(one, _KOBOLD),
        },
    }


def novelai_book(value: Mapping[str, object], title: object = "") -> Book:
    """Return a lorebook of NovelAI, of any version. `title`: of the story that it is in."""
    categories = [one for one in _list(value.get("categories")) if isinstance(one, Mapping)]
    off = {str(one.get("id")) for one in categories if one.get("enabled") is False}
    listed = _list(value.get("entries"))
    entries = [_novelai_entry(one, off) if isinstance(one, Mapping) else one for one in listed]
    conditions = [one for one in listed if isinstance(one, Mapping) and one.get("advancedConditions")]
    notes = [f"{len(conditions)} of its entries have conditions that Paddock does not know."] if conditions else []
    if any(not texts(one.get("keys")) and not one.get("forceActivation") for one in conditions):
        notes.append("Those without keys are never used. Give them keys in the editor.")
    name = {"name": title} if isinstance(title, str) and title.strip() else {}
    # Such an entry is found in the texts of other entries too.
    recursive = any(isinstance(one, Mapping) and one.get("nonStoryActivatable") is True for one in listed)
    return {**name, "extensions": {}, "entries": entries, "recursive_scanning": recursive}, tuple(notes)


def _novelai_entry(one: Mapping[str, object], off: set[str]) -> dict[str, object]:
    settings = one.get("contextConfig")
    settings = settings if isinstance(settings, Mapping) else {}
    around = [settings.get(name) if isinstance(settings.get(name), str) else "" for name in ("prefix", "suffix")]
    text = str(one.get("text") or "")
    return {
        **({"id": one["id"]} if isinstance(one.get("id"), (str, int)) else {}),
        "keys": list(texts(one.get("keys"))),
        "comment": str(one.get("displayName") or ""),
        "content": f"{around[0]}{text}{around[1]}".strip("\n") if text.strip() else "",
        "constant": one.get("forceActivation") is True,
        "enabled": one.get("enabled") is not False and str(one.get("category") or "") not in off,
        "insertion_order": exact(settings.get("budgetPriority"), 100),
        "use_regex": False,
        "extensions": {"exclude_recursion": one.get("nonStoryActivatable") is not True, **_rest(one, _NOVELAI)},
    }


def risu_book(listed: Sequence[object]) -> Book:
    """Return a lorebook that Risu exported. Its folders are left out."""
    kept = [one for one in listed if not (isinstance(one, Mapping) and one.get("mode") == "folder")]
    own = [one for one in kept if not (isinstance(one, Mapping) and one.get("mode") == "child")]
    entries = [_risu_entry(one) if isinstance(one, Mapping) else one for one in own]
    lost = f"{len(kept) - len(own)} of its entries only repeat others under more keys and were left out."
    book = {"extensions": {}, "entries": entries, "recursive_scanning": True}
    return book, (lost,) if len(kept) > len(own) else ()


def _risu_entry(one: Mapping[str, object]) -> dict[str, object]:
    own = one.get("extentions")
    cases = isinstance(own, Mapping) and own.get("risu_case_sensitive") is True
    return {
        **({"id": one["id"]} if isinstance(one.get("id"), (str, int)) else {}),
        "keys": list(texts(one.get("key"))),
        "secondary_keys": list(texts(one.get("secondkey"))),
        "comment": str(one.get("comment") or ""),
        "content": str(one.get("content") or ""),
        "constant": one.get("alwaysActive") is True,
        "selective": one.get("selective") is True,
        "enabled": True,
        "insertion_order": exact(one.get("insertorder"), 100),
        "use_regex": one.get("useRegex") is True,
        **({"case_sensitive": True} if cases else {}),
        "extensions": {
            "probability": exact(one.get("activationPercent"), 100),
            # It finds keys inside of words.
            "match_whole_words": False,
            **_rest(one, _RISU),
        },
    }


def _rest(one: Mapping[str, object], known: Sequence[str]) -> dict[str, object]:
    return {key: item for key, item in one.items() if key not in known}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
