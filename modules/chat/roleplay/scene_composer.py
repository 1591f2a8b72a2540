"""Compose the scene of a prompt from the chat's character, persona, lorebooks, notes and group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from modules.chat.characters import Character, Characters
from modules.chat.messages import ChatOptions, Message
from modules.chat.roleplay.card_fields import CardFields
from modules.chat.roleplay.card_macros import macro_values
from modules.chat.roleplay.lore_entry import AFTER, BEFORE, NOTE_BOTTOM, NOTE_TOP, Lorebook, read_book
from modules.chat.roleplay.lore_scan import STAYS, ScannedChat, ScanResult, scan
from modules.chat.roleplay.lorebooks import Lorebooks
from modules.chat.roleplay.macros import Macros
from modules.chat.roleplay.scene import Insertion, Scene, arrange, at_depth, fill_outlets, note_insertion, outlets
from modules.chat.roleplay.speakers import SPEAKER
from modules.protocol.errors import PaddockError

# Of the context, so much may be entries of lorebooks without a budget of their own.
_BUDGET_SHARE = 4
_BUDGET_WITHOUT_CONTEXT = 2048
_GROUP = "[Write the next message only as {{char}}. Do not write for anyone else.]"
_IMPERSONATE = (
    "[Write the next message of {{user}}, in the way {{user}} has written so far. Do not write for {{char}} or anyone "
    "else.]"
)
# After every other text at its depth.
_LAST = 2e9


@dataclass(frozen=True)
class SceneRequest:
    """The end of a chat that a prompt is made for. `character`: a file name, or ""; `context`: tokens, 0 if unknown.

    `impersonates`: the model writes the user's next message; `name`: what {{char}} stands for, "" for the character's;
    `triggers`: what kinds of replies this is, by SillyTavern's names.
    """

    chat_id: str
    path: Sequence[Message]
    options: ChatOptions
    character: str = ""
    context: int = 0
    impersonates: bool = False
    name: str = ""
    triggers: tuple[str, ...] = ("normal",)


class SceneComposer:
    """Composes scenes. `count`: the tokens of a text. Thread-safe."""

    def __init__(self, characters: Characters, lorebooks: Lorebooks | None, count: Callable[[str], int]) -> None:
        self._characters, self._lorebooks, self._count = characters, lorebooks, count

    def compose(self, request: SceneRequest) -> Scene:
        """Return the scene of one prompt. A character or lorebook that cannot be read is left out."""
        options = request.options
        who = self._load(request.character)
        card = who.card if who else CardFields()
        name = request.name or (who.spoken_name if who else options.name2)
        names = self._names(options)
        seed = f"{request.chat_id}/{request.path[-1].id if request.path else ''}"
        values = macro_values(card, name, options, request.path, [*names.values()])
        macros = Macros(values, request.chat_id)
        found, problems = self._lore(request, who, values, macros, seed)
        given = outlets(found.used)
        texts = arrange(found.used)
        insertions = [*at_depth(found.used), *note_insertion(options, macros, texts[NOTE_TOP], texts[NOTE_BOTTOM])]
        if depth_text := macros.expand(card.depth_prompt.text).strip():
            insertions.append(Insertion(depth_text, card.depth_prompt.depth, card.depth_prompt.role, -1))
        insertions += self._last(request, card, macros, found, bool(names))
        # Also in texts of entries, which were found before all outlets were known.
        filled = ((one, fill_outlets(one.text, given).strip()) for one in insertions)
        insertions = [replace(one, text=text) for one, text in filled if text]
        plays = bool(who or names or options.persona)
        meta: dict[str, object] = {SPEAKER: request.character} if who and not request.impersonates else {}
        if found.used:
            meta["lore"] = [
                {"id": one.id, "book": one.book, "entry": one.entry.label, "why": one.why} for one in found.used
            ]
        speaker = options.name1 if request.impersonates else name
        others = [one for one in (*names.values(), options.name1) if one != speaker] if names else []
        return Scene(
            before=fill_outlets("\n".join(texts[BEFORE]), given),
            after=fill_outlets("\n".join(texts[AFTER]), given),
            persona=fill_outlets(macros.expand(options.persona), given).strip(),
            outlets=given,
            insertions=tuple(insertions),
            names=names,
            user=options.name1,
            values=values if plays else None,
            meta=meta,
            notes=(*problems, *found.notes),
            starts=(speaker,) if names or request.impersonates else (),
            stop=tuple(f"\n{other}:" for other in others),
        )

    def _last(
        self, request: SceneRequest, card: CardFields, macros: Macros, found: ScanResult, grouped: bool
    ) -> list[Insertion]:
        """Return what goes after the last message."""
        if request.impersonates:
            return [Insertion(macros.expand(_IMPERSONATE), 0, order=_LAST)]
        disabled = {one.entry.decorators.disable_ui_prompt for one in found.used}
        texts = [card.post_history_instructions] if "post_history_instructions" not in disabled else []
        # A reply that is continued follows its own beginning.
        texts += [_GROUP] if grouped else []
        expanded = [macros.expand(text).strip() for text in texts]
        return [Insertion(text, 0, order=_LAST + place) for place, text in enumerate(expanded) if text]

    def _lore(
        self, request: SceneRequest, who: Character | None, values: Mapping[str, str], macros: Macros, seed: str
    ) -> tuple[ScanResult, list[str]]:
        books: list[Lorebook] = []
        # The character's own lorebook goes first.
        if who and who.card.book is not None:
            books.append(read_book(who.card.book, f"of {who.name}"))
        problems: list[str] = []
        if self._lorebooks is not None:
            chosen, problems = self._lorebooks.chosen(request.options.lorebooks)
            books += chosen
        if not books:
            return ScanResult(), problems
        fields = {
            "persona": values["persona"],
            "description": values["description"],
            "personality": values["personality"],
            "scenario": values["scenario"],
            "depth_prompt": who.card.depth_prompt.text if who else "",
            "creator_notes": who.card.creator_notes if who else "",
        }
        answered = [ago for ago, message in enumerate(reversed(request.path), 1) if message.role == "assistant"]
        chat = ScannedChat(
            [f"{self._speaker(message, values)}: {message.text}" for message in request.path],
            len(answered),
            answered,
            _used_before(request.path),
            next((one.version - 1 for one in request.path[:1] if one.meta.get("greeting")), None),
            fields,
            (request.character, who.name) if who else (),
            seed,
            request.triggers,
        )
        budget = request.context // _BUDGET_SHARE or _BUDGET_WITHOUT_CONTEXT
        # No prompt holds more than the context, whatever budget a book asks for.
        most = request.context or _BUDGET_WITHOUT_CONTEXT
        books = [book if book.budget is None else replace(book, budget=min(book.budget, most)) for book in books]
        return scan(books, chat, self._count, macros.expand, budget), problems

    def _speaker(self, message: Message, values: Mapping[str, str]) -> str:
        if message.role == "user":
            return values["user"]
        if message.role == "system":
            return ""
        return self._spoken(str(message.meta.get(SPEAKER, ""))) or values["char"]

    def _names(self, options: ChatOptions) -> dict[str, str]:
        """Return file name -> name of a group's members; empty without a group."""
        if options.group is None:
            return {}
        return {member: self._spoken(member) or member for member in options.group.members}

    def _spoken(self, name: str) -> str:
        who = self._load(name)
        return who.spoken_name if who else ""

    def _load(self, name: str) -> Character | None:
        try:
            return self._characters.load(name) if name else None
        except PaddockError:
            return None  # The preamble's note says why.


def _used_before(path: Sequence[Message]) -> dict[str, list[int]]:
    """Return entry -> how many messages ago replies of the path used it.

    A reply in which it was only sticky does not count: it would never end.
    """
    found: dict[str, list[int]] = {}
    for distance, message in enumerate(reversed(path), 1):
        lore = message.meta.get("lore")
        for one in lore if isinstance(lore, list) else ():
            if isinstance(one, Mapping) and isinstance(one.get("id"), str) and one.get("why") != STAYS:
                found.setdefault(one["id"], []).append(distance)
    return found
