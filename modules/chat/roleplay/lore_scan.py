"""Decide which entries of lorebooks a prompt gets: keys in the last messages, recursion, probability, groups, budget.

Every entry is used at most once, so entries that name each other end; the rounds of recursion have a limit besides.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from modules.chat.roleplay.lore_entry import AND_ALL, AND_ANY, NOT_ALL, NOT_ANY, Lorebook, LoreEntry
from modules.chat.roleplay.lore_keys import MESSAGE_START, KeyMatcher
from modules.chat.roleplay.macros import hidden_keys

SCAN_DEPTH = 4
# Why an entry is used that is only sticky, without a key.
STAYS = "still in use"
_MOST_ROUNDS = 10


@dataclass(frozen=True)
class ScannedChat:
    """What entries are chosen by.

    `texts`: the messages, root to leaf, each with its speaker; `replies`: how many of them are replies; `answered`: how
    many messages ago each reply is; `used`: entry to how many messages ago it was used, each time, but not where it was
    only sticky; `greeting`: which one the chat began with, from 0, None without; `fields`: texts of the card;
    `character`: its names; `seed`: what chance follows from; `triggers`: what kinds of replies this is.
    """

    texts: Sequence[str]
    replies: int = 0
    answered: Sequence[int] = ()
    used: Mapping[str, Sequence[int]] = field(default_factory=dict)
    greeting: int | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    character: tuple[str, ...] = ()
    seed: str = ""
    triggers: tuple[str, ...] = ("normal",)


@dataclass(frozen=True)
class UsedEntry:
    """An entry that the prompt gets. `id`: unique among all books; `text`: with macros replaced; `why`: a few words."""

    id: str
    book: str
    entry: LoreEntry
    text: str
    why: str


@dataclass(frozen=True)
class ScanResult:
    """The entries in the order of the prompt, and sentences about what went wrong."""

    used: tuple[UsedEntry, ...] = ()
    notes: tuple[str, ...] = ()


def scan(
    books: Sequence[Lorebook],
    chat: ScannedChat,
    count: Callable[[str], int],
    expand: Callable[[str], str],
    budget: int,
) -> ScanResult:
    """Return the entries for a prompt. `count`: tokens of a text; `budget`: of books that have none of their own."""
    if not any(book.entries for book in books):
        return ScanResult()
    return _Scan(books, chat, count, expand, budget).run()


class _Scan:
    def __init__(
        self,
        books: Sequence[Lorebook],
        chat: ScannedChat,
        count: Callable[[str], int],
        expand: Callable[[str], str],
        budget: int,
    ) -> None:
        self._books, self._chat, self._count, self._expand = books, chat, count, expand
        self._matcher = KeyMatcher()
        self._left: dict[int, int] = {-1: budget}
        self._left |= {place: book.budget for place, book in enumerate(books) if book.budget is not None}
        self._used: dict[str, UsedEntry] = {}
        self._refused: set[str] = set()
        self._texts: dict[tuple[int, int, tuple[str, ...]], str] = {}
        self._recursed: list[str] = []
        self._did_not_fit = 0

    def run(self) -> ScanResult:
        # Entries wait for a round of recursion. Those of the lowest level have theirs with the first one, those of each
        # other level when no more entries are found before, as in SillyTavern.
        levels = sorted({entry.recursion_level for book in self._books for entry in book.entries} - {0})
        level = levels.pop(0) if levels else 0
        for round in range(_MOST_ROUNDS):
            if not self._round(round, level):
                if not levels:
                    break
                level = levels.pop(0)
        notes = [problem for book in self._books for problem in book.problems] + self._matcher.problems
        if self._did_not_fit:
            were = "entry was" if self._did_not_fit == 1 else "entries were"
            notes.append(f"{self._did_not_fit} lorebook {were} left out, because the budget of tokens was used up.")
        used = sorted(self._used.values(), key=lambda one: one.entry.order)
        return ScanResult(tuple(used), tuple(notes))

    def _open(self) -> list[tuple[int, str, LoreEntry]]:
        """Return (place of the book, id, entry) of the entries that are neither used nor refused."""
        return [
            (place, id, entry)
            for place, book in enumerate(self._books)
            for entry in book.entries
            if (id := f"{book.name}/{entry.id}") not in self._used and id not in self._refused
        ]

    def _round(self, round: int, level: int) -> bool:
        """Use the entries that match now. Return True if recursion may find more."""
        found: list[tuple[int, UsedEntry]] = []
        for place, id, entry in self._open():
            book, recursion = self._books[place], round > 0
            waits = entry.recursion_level > (level if recursion else 0)
            waits = waits or (recursion and book.recursive and entry.exclude_recursion)
            if waits and not self._is_sticky(entry, id):
                continue
            if why := self._matches(book, entry, id, recursion and book.recursive):
                found.append((place, UsedEntry(id, book.name, entry, "", why)))
        found = self._of_groups(found, round > 0)
        before = len(self._recursed)
        for place, one in sorted(found, key=lambda pair: (not pair[1].entry.ignore_budget, -pair[1].entry.priority)):
            self._use(place, one)
        return len(self._recursed) > before

    def _use(self, place: int, one: UsedEntry) -> None:
        entry = one.entry
        sticky = one.why == STAYS
        chance = random.Random(f"{self._chat.seed}/{one.id}").random() * 100
        if not sticky and chance >= entry.probability:
            self._refused.add(one.id)
            return
        text, hidden = self._expand(entry.content).strip(), self._expand(hidden_keys(entry.content))
        if not text:
            self._refused.add(one.id)
            self._recurse(place, entry, hidden)
            return
        purse = place if place in self._left else -1
        if not entry.ignore_budget:
            # The model's worker counts, so nothing is counted once the budget is used up. Each text has a token.
            tokens = self._count(text) if self._left[purse] > 0 else 1
            if tokens > self._left[purse]:
                self._refused.add(one.id)
                self._did_not_fit += 1
                return
            self._left[purse] -= tokens
        self._used[one.id] = UsedEntry(one.id, one.book, entry, text, one.why)
        self._recurse(place, entry, f"{text}\n{hidden}" if hidden else text)

    def _recurse(self, place: int, entry: LoreEntry, text: str) -> None:
        """Let the next round search this text, where the entry and its book allow that."""
        if text and not entry.prevent_recursion and self._books[place].recursive:
            self._recursed.append(text)

    def _of_groups(self, found: list[tuple[int, UsedEntry]], recursion: bool) -> list[tuple[int, UsedEntry]]:
        """Return the entries without those that lose in their group: one of each group is used."""
        taken = {group for one in self._used.values() for group in one.entry.groups}
        groups = {group for _, one in found for group in one.entry.groups}
        for group in sorted(groups):
            members = [pair for pair in found if group in pair[1].entry.groups]
            if staying := [pair for pair in members if pair[1].why == STAYS]:
                # A sticky entry keeps its place against the others.
                found = [pair for pair in found if pair not in members or pair in staying]
                continue
            losers = self._with_fewer_keys(members, recursion)
            found, members = ([pair for pair in pairs if pair not in losers] for pairs in (found, members))
            first = [pair for pair in members if pair[1].entry.group_override]
            winner: tuple[int, UsedEntry] | None = None
            if group not in taken and first:
                winner = max(first, key=lambda pair: pair[1].entry.order)
            elif group not in taken:
                weights = [pair[1].entry.group_weight for pair in members]
                source = random.Random(f"{self._chat.seed}/group/{group}")
                winner = source.choices(members, weights)[0] if sum(weights) > 0 else members[0]
            found = [pair for pair in found if pair not in members or pair is winner]
        return found

    def _with_fewer_keys(self, members: list[tuple[int, UsedEntry]], recursion: bool) -> list[tuple[int, UsedEntry]]:
        """Return the entries that lose in their group because another one has more keys in the texts."""
        if not any(one.entry.group_scoring for _, one in members):
            return []
        scores = [self._score(self._books[place], one.entry, recursion) for place, one in members]
        most = max(scores)
        scored = zip(members, scores, strict=True)
        return [pair for pair, score in scored if pair[1].entry.group_scoring and score < most]

    def _score(self, book: Lorebook, entry: LoreEntry, recursion: bool) -> int:
        """Return how many keys of an entry are found, with secondary ones where they must be."""
        text = self._text(book, entry, recursion and book.recursive)
        hits = [self._found(entry, key, text) for key in entry.secondary] if entry.keys else []
        counts = entry.logic == AND_ANY or (entry.logic == AND_ALL and all(hits))
        return sum(self._found(entry, key, text) for key in entry.keys) + (sum(hits) if counts else 0)

    def _is_sticky(self, entry: LoreEntry, id: str) -> bool:
        """Return True if fewer messages have followed a use of an entry than it stays, its reply included."""
        return any(distance < entry.sticky for distance in self._chat.used.get(id, ()))

    def _is_cooling(self, entry: LoreEntry, id: str) -> bool:
        """Return True for so many messages after a use, or after the reply that ended a sticky one."""
        for begun in self._chat.used.get(id, ()) if entry.cooldown else ():
            ends = (begun - distance for distance in self._chat.answered if distance < begun)
            ended = min((past for past in ends if past >= entry.sticky), default=begun) if entry.sticky else 0
            if begun < ended + entry.cooldown:
                return True
        return False

    def _matches(self, book: Lorebook, entry: LoreEntry, id: str, recursion: bool) -> str:
        """Return why an entry is used, in a few words, or "" if it is not."""
        marks, chat = entry.decorators, self._chat
        if not entry.enabled or not entry.content.strip() or not self._is_for(entry):
            return ""
        if entry.triggers and not set(entry.triggers) & set(chat.triggers):
            return ""
        if (marks.dont_activate and not marks.activate) or len(chat.texts) < entry.delay:
            return ""
        ago = chat.used.get(id, ())
        if self._is_sticky(entry, id):
            return STAYS
        if marks.dont_activate_after_match and ago:
            return ""
        if self._is_cooling(entry, id):
            return ""
        if marks.activate or (marks.keep_activate_after_match and ago):
            return "always"
        if marks.activate_only_after is not None and chat.replies < marks.activate_only_after:
            return ""
        if marks.activate_only_every and chat.replies % marks.activate_only_every:
            return ""
        if marks.is_greeting is not None and chat.greeting not in (None, marks.is_greeting):
            return ""
        if entry.constant and not entry.use_regex:
            return "always"
        text = self._text(book, entry, recursion)
        key = next((key for key in entry.keys if self._found(entry, key, text)), "")
        return key[:60] if key and self._secondary(entry, text) else ""

    def _is_for(self, entry: LoreEntry) -> bool:
        names = self._chat.character
        if entry.only_for and not any(name in entry.only_for for name in names):
            return False
        return not any(name in entry.not_for for name in names)

    def _text(self, book: Lorebook, entry: LoreEntry, recursion: bool) -> str:
        """Return what is searched for the keys of an entry."""
        own = book.scan_depth if entry.scan_depth is None else entry.scan_depth
        depth = SCAN_DEPTH if own is None else own
        key = (depth, len(self._recursed) if recursion else 0, entry.matched_texts)
        if key not in self._texts:
            messages = self._chat.texts[-depth:] if depth else ()
            more = [self._chat.fields.get(name, "") for name in entry.matched_texts]
            searched = [*messages, *more, *(self._recursed if recursion else ())]
            self._texts[key] = "\n".join(MESSAGE_START + text for text in searched)
        return self._texts[key]

    def _found(self, entry: LoreEntry, key: str, text: str) -> bool:
        return self._matcher.found(
            self._expand(key).strip() if "{{" in key else key.strip(),
            text,
            case=entry.case_sensitive,
            words=entry.whole_words,
            pattern=entry.use_regex,
        )

    def _secondary(self, entry: LoreEntry, text: str) -> bool:
        marks = entry.decorators
        if not all(any(self._found(entry, key, text) for key in keys) for keys in marks.additional_keys):
            return False
        if not entry.use_regex and any(self._found(entry, key, text) for key in marks.exclude_keys):
            return False
        if not entry.secondary or entry.use_regex:
            return True
        hits = [self._found(entry, key, text) for key in entry.secondary]
        return {
            AND_ANY: any(hits),
            NOT_ALL: not all(hits),
            NOT_ANY: not any(hits),
            AND_ALL: all(hits),
        }[entry.logic]
