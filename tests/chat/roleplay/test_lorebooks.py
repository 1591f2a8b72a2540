"""Lorebooks: which entries a prompt gets."""

from __future__ import annotations

import time
from typing import Any

import pytest

from modules.chat.roleplay.lore_entry import Lorebook, read_book
from modules.chat.roleplay.lore_keys import contains
from modules.chat.roleplay.lore_scan import ScannedChat, ScanResult, scan
from modules.chat.roleplay.macros import Macros

CHAT = ScannedChat(("Kim: Where is the old castle?", "Ada: Beyond the Dark Forest."), replies=1, seed="s")


def book(*entries: dict[str, Any], **more: Any) -> Lorebook:
    """Return a lorebook of these entries, whose missing fields are usual."""
    listed = [{"id": place, "enabled": True, "insertion_order": 100, **one} for place, one in enumerate(entries)]
    return read_book({"name": "B", "entries": listed, **more}, "B")


def run(*books: Lorebook, chat: ScannedChat = CHAT, budget: int = 1000) -> ScanResult:
    return scan(books, chat, lambda text: len(text.split()), lambda text: text.replace("{{char}}", "Ada"), budget)


def used(*entries: dict[str, Any], chat: ScannedChat = CHAT, budget: int = 1000, **more: Any) -> list[str]:
    """Return the texts of the entries that are used."""
    return [one.text for one in run(book(*entries, **more), chat=chat, budget=budget).used]


@pytest.mark.parametrize(
    ("keys", "more", "matches"),
    [
        (["castle"], {}, True),
        (["CASTLE"], {}, True),
        (["CASTLE"], {"case_sensitive": True}, False),
        (["cast"], {}, False),
        (["cast"], {"extensions": {"match_whole_words": False}}, True),
        (["dark forest"], {}, True),
        (["dark for"], {}, True),
        (["ark  forest"], {}, False),
        (["{{char}}"], {}, True),
        ([], {}, False),
        ([""], {}, False),
        ([], {"constant": True}, True),
        (["castle"], {"enabled": False}, False),
        (["/c.stle/"], {}, True),
        (["/C.STLE/"], {}, False),
        (["/C.STLE/i"], {}, True),
        (["/old castle/i/"], {}, False),
        (["/\\x01Kim:[^\\x01]*castle/"], {}, True),
        (["/\\x01Ada:[^\\x01]*castle/"], {}, False),
        (["/^Kim.*\\nAda/s"], {}, True),
        (["c.stle"], {}, False),
        (["c.stle"], {"use_regex": True}, True),
        (["c.stle"], {"use_regex": True, "extensions": {"exclude_recursion": False}}, False),
        (["(castle"], {"use_regex": True}, False),
        (["castle"], {"secondary_keys": ["forest"], "selective": True}, True),
        (["castle"], {"secondary_keys": ["sea"], "selective": True}, False),
        (["castle"], {"secondary_keys": ["sea"], "selective": False}, True),
        (["castle"], {"secondary_keys": ["sea"]}, True),
        (["castle"], {"extensions": {"scan_depth": 1}}, False),
        (["castle"], {"extensions": {"scan_depth": -1}}, True),
        (["castle"], {"extensions": {"triggers": ["impersonate", "quiet"]}}, False),
        (["castle"], {"extensions": {"triggers": ["swipe", "normal"]}}, True),
        (["castle"], {"extensions": {"triggers": []}}, True),
        (["castle"], {"extensions": {"delay": 3}}, False),
        (["castle"], {"extensions": {"character_filter": {"names": ["Bo"]}}}, False),
        (["castle"], {"extensions": {"character_filter": {"names": ["Bo"], "isExclude": True}}}, True),
        (["castle"], {"extensions": {"probability": 0}}, False),
        (["castle"], {"extensions": {"probability": 0, "useProbability": False}}, True),
    ],
)
def test_which_entries_match(keys: list[str], more: dict[str, Any], matches: bool) -> None:
    assert bool(used({"keys": keys, "content": "text", **more})) is matches


@pytest.mark.parametrize(
    ("logic", "secondary", "matches"),
    [
        (0, ["forest", "sea"], True),
        (0, ["sea"], False),
        (1, ["forest", "sea"], True),
        (1, ["forest", "old"], False),
        (2, ["sea", "sky"], True),
        (2, ["forest", "sea"], False),
        (3, ["forest", "old"], True),
        (3, ["forest", "sea"], False),
    ],
)
def test_the_logic_of_secondary_keys(logic: int, secondary: list[str], matches: bool) -> None:
    entry = {"keys": ["castle"], "secondary_keys": secondary, "content": "x", "selective": True}
    assert bool(used({**entry, "extensions": {"selectiveLogic": logic}})) is matches


def test_words_of_scripts_without_spaces_are_found() -> None:
    chat = ScannedChat(("我们去城堡吧",))
    assert used({"keys": ["城堡"], "content": "x"}, chat=chat) == ["x"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("@@dont_activate\nx", []),
        ("@@dont_activate\n@@activate\nx", ["x"]),
        ("@@activate_only_after 2\nx", []),
        ("@@activate_only_after 1\nx", ["x"]),
        ("@@activate_only_every 2\nx", []),
        ("@@is_greeting 1\nx", []),
        ("@@is_greeting 0\nx", ["x"]),
        ("@@exclude_keys forest,sea\nx", []),
        ("@@additional_keys sea\nx", []),
        ("@@additional_keys old,sea\n@@additional_keys forest\nx", ["x"]),
        ("@@additional_keys forest\n@@additional_keys sea\nx", []),
        ("@@exclude_keys sea\n@@exclude_keys forest\nx", []),
        ("@@scan_depth 1\nx", []),
        ("@@other_program 4\n@@@dont_activate\nx", []),
        ("@@depth 3\n@@@dont_activate\n\nx", ["x"]),
        ("@@scan_depth ²\nx", ["x"]),
        ("@@scan_depth --1\n@@@dont_activate\nx", []),
    ],
)
def test_decorators(content: str, expected: list[str]) -> None:
    chat = ScannedChat(CHAT.texts, replies=1, greeting=0)
    assert used({"keys": ["castle"], "content": content}, chat=chat) == expected


def test_decorators_say_where_an_entry_goes() -> None:
    (one,) = run(book({"keys": ["castle"], "content": "@@depth 2\n@@role user\n@@@depth 9\nx"})).used
    assert (one.entry.position, one.entry.depth, one.entry.role, one.text) == ("depth", 2, "user", "x")
    (one,) = run(book({"keys": ["castle"], "content": "@@position after_desc\n@@depth 1\nx"})).used
    assert one.entry.position == "after"


def test_entries_that_trigger_each_other_end() -> None:
    entries = [{"keys": [f"word{n}"], "content": f"word{(n + 1) % 300}"} for n in range(300)]
    entries += [{"keys": ["castle"], "content": "word0 castle"}]
    found = run(book(*entries, recursive_scanning=True))
    assert 2 < len(found.used) < 300
    assert used(*entries, recursive_scanning=False) == ["word0 castle"]


def test_recursion_can_be_prevented_excluded_and_awaited() -> None:
    def chain(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
        return used(
            {"keys": ["castle"], "content": "A dragon.", "extensions": first},
            {"keys": ["dragon"], "content": "Fire.", "extensions": second},
            recursive_scanning=True,
        )

    assert chain({}, {}) == ["A dragon.", "Fire."]
    assert chain({"prevent_recursion": True}, {}) == ["A dragon."]
    assert chain({}, {"exclude_recursion": True}) == ["A dragon."]
    late: dict[str, Any] = {"keys": ["castle"], "content": "late", "extensions": {"delay_until_recursion": True}}
    assert used(late, recursive_scanning=True) == []
    assert used({"keys": ["castle"], "content": "A"}, late, recursive_scanning=True) == ["A", "late"]
    late["extensions"]["exclude_recursion"] = True
    assert used({"keys": ["castle"], "content": "A"}, late, recursive_scanning=True) == ["A"]


def test_levels_of_recursion_have_their_turn_one_after_another() -> None:
    def level(number: object, key: str, content: str) -> dict[str, Any]:
        return {"keys": [key], "content": content, "extensions": {"delay_until_recursion": number}}

    first = {"keys": ["castle"], "content": "A dragon."}
    later = [
        level(1, "dragon", "Fire."),
        level(3, "Fire", "Smoke."),
        level(2, "Smoke", "Ash."),
        level(2, "Fire", "Heat."),
    ]
    found = run(book(first, *later, recursive_scanning=True))
    assert {one.text for one in found.used} == {"A dragon.", "Fire.", "Heat.", "Smoke.", "Ash."}
    assert used(level(2, "castle", "A")) == [], "the lowest level waits for a first round"
    assert used(level(1, "castle", "A"), level(2, "castle", "B")) == ["A", "B"], "the other ones do not"


def test_the_budget_drops_the_lowest_priority_and_says_so() -> None:
    entries = [
        {"keys": ["castle"], "content": "one two three", "insertion_order": 1, "priority": 9},
        {"keys": ["castle"], "content": "four five six", "insertion_order": 2, "priority": 1},
        {"keys": ["castle"], "content": "free", "insertion_order": 3, "extensions": {"ignore_budget": True}},
    ]
    found = run(book(*entries, token_budget=4))
    assert [one.text for one in found.used] == ["one two three", "free"]
    assert found.notes == ("1 lorebook entry was left out, because the budget of tokens was used up.",)
    assert used(*entries, budget=0) == ["free"]
    assert len(used(*entries, token_budget=-1)) == 3, "-1 stands for the usual one"
    assert len(used(*entries, scan_depth=-1)) == 3


def test_entries_come_in_their_order_and_once_whatever_matches() -> None:
    entries = [{"keys": ["castle", "old"], "content": f"{n}", "insertion_order": n} for n in (3, 1, 2)]
    assert used(*entries) == ["1", "2", "3"]


def test_one_entry_of_a_group_is_used() -> None:
    group = {"group": "weather"}
    entries: list[dict[str, Any]] = [
        {"keys": ["castle"], "content": text, "extensions": group} for text in ("rain", "sun", "snow")
    ]
    seen = {tuple(used(*entries, chat=ScannedChat(CHAT.texts, seed=str(n)))) for n in range(40)}
    assert seen == {("rain",), ("sun",), ("snow",)}
    entries[1]["extensions"] = {**group, "group_override": True}
    assert used(*entries) == ["sun"]


def test_a_sticky_entry_keeps_its_place_in_its_group() -> None:
    entries: list[dict[str, Any]] = [
        {"keys": ["castle"], "content": text, "extensions": {"group": "weather", "sticky": 4}}
        for text in ("rain", "sun")
    ]
    entries[1]["extensions"]["group_override"] = True
    for seed in range(10):
        chat = ScannedChat(CHAT.texts, used={"B/0": (2,)}, seed=str(seed))
        assert used(*entries, chat=chat) == ["rain"]


def test_hidden_keys_bring_in_further_entries_and_are_in_no_text() -> None:
    entries = [
        {"keys": ["castle"], "content": "A hall.{{hidden_key:{{char}}}}"},
        {"keys": ["castle"], "content": "{{hidden_key:dragon}}"},
        {"keys": ["Ada Byron"], "content": "one"},
        {"keys": ["dragon"], "content": "two"},
    ]
    chat = ScannedChat(("Kim: the castle",))
    expand = Macros({"char": "Ada Byron"}).expand
    found = scan([book(*entries, recursive_scanning=True)], chat, len, expand, 1000)
    assert [one.text for one in found.used] == ["A hall.", "one", "two"]
    alone = scan([book(*entries, recursive_scanning=False)], chat, len, expand, 1000)
    assert [one.text for one in alone.used] == ["A hall."]


def test_chance_follows_from_the_seed() -> None:
    entry = {"keys": ["castle"], "content": "x", "extensions": {"probability": 50}}
    runs = [bool(used(entry, chat=ScannedChat(CHAT.texts, seed=str(n)))) for n in range(200)]
    assert 60 < sum(runs) < 140
    assert runs == [bool(used(entry, chat=ScannedChat(CHAT.texts, seed=str(n)))) for n in range(200)]


@pytest.mark.parametrize(
    ("ago", "answered", "more", "expected"),
    [
        # The reply after the one that used it has two more messages before it.
        (2, (2,), {"sticky": 1}, False),
        (2, (2,), {"sticky": 2}, False),
        (2, (2,), {"sticky": 3}, True),
        (4, (2, 4), {"sticky": 4}, False),
        (4, (2, 4), {"sticky": 5}, True),
        (4, (2, 4), {"sticky": 5, "delay_until_recursion": True, "exclude_recursion": True}, True),
        (4, (2, 4), {"sticky": 5, "triggers": ["continue"]}, False),
    ],
)
def test_sticky_entries_stay_for_so_many_messages(
    ago: int, answered: tuple[int, ...], more: dict[str, Any], expected: bool
) -> None:
    away = ScannedChat(("nothing here",), answered=answered, used={"B/0": (ago,)})
    assert bool(used({"keys": ["castle"], "content": "x", "extensions": more}, chat=away)) is expected


@pytest.mark.parametrize(
    ("ago", "answered", "more", "blocked"),
    [
        (2, (2,), {"cooldown": 2}, False),
        (2, (2,), {"cooldown": 3}, True),
        # Ended with the reply that is four messages after the use; two more follow that.
        (6, (2, 4, 6), {"cooldown": 3, "sticky": 3}, True),
        (6, (2, 4, 6), {"cooldown": 2, "sticky": 3}, False),
        (6, (2, 4, 6), {"cooldown": 3, "sticky": 2}, False),
        (4, (2, 4), {"cooldown": 1, "sticky": 3}, True),
    ],
)
def test_a_cooldown_begins_with_the_use_or_where_a_sticky_one_ends(
    ago: int, answered: tuple[int, ...], more: dict[str, Any], blocked: bool
) -> None:
    chat = ScannedChat(CHAT.texts, answered=answered, used={"B/0": (ago,)})
    assert bool(used({"keys": ["castle"], "content": "x", "extensions": more}, chat=chat)) is not blocked


def test_the_entry_of_a_group_with_most_keys_in_the_texts_is_used() -> None:
    def entry(text: str, keys: list[str], **more: Any) -> dict[str, Any]:
        extensions = {"group": "g", "group_override": text == "few", "use_group_scoring": True, **more}
        secondary = {"secondary_keys": ["old", "ada"], "selective": True} if text == "more" else {}
        return {"keys": keys, "content": text, **secondary, "extensions": extensions}

    few, many, more = entry("few", ["castle"]), entry("many", ["castle", "forest"]), entry("more", ["castle"])
    assert used(few, many) == ["many"]
    assert used(few, many, more) == ["more"], "secondary keys count"
    assert used(entry("few", ["castle"], use_group_scoring=None), many) == ["few"], "each entry has its own choice"
    more["extensions"]["selectiveLogic"] = 2
    more["secondary_keys"] = ["sea"]
    assert used(few, many, more) == ["many"], "secondary keys that must be missing do not"


def test_patterns_without_end_are_stopped_and_named() -> None:
    chat = ScannedChat(("a" * 5000 + "!",))
    entries = [{"keys": [f"/^(a+)+{n}$/"], "content": "x"} for n in range(40)]
    begun = time.monotonic()
    found = run(book(*entries, {"keys": ["/a+!/"], "content": "y"}), chat=chat)
    assert time.monotonic() - begun < 10
    assert any("took too long" in note for note in found.notes)


@pytest.mark.parametrize(
    "value",
    [
        {"entries": []},
        {"entries": 5},
        {"entries": "castle"},
        {"entries": None, "name": None, "scan_depth": None, "token_budget": None, "recursive_scanning": None},
        {"entries": [1, None, "x", {}, {"keys": 7, "content": 8}]},
        {"entries": {"0": {"keys": ["castle"]}}},
        {"entries": [{"keys": ["castle"], "content": "x", "insertion_order": float("nan"), "extensions": [1]}]},
    ],
)
def test_odd_books_are_no_error(value: dict[str, Any]) -> None:
    assert isinstance(run(read_book(value, "B")), ScanResult)


def test_entries_with_the_same_id_or_none_are_all_used() -> None:
    entries = [{"id": id, "keys": ["castle"], "content": f"text {n}"} for n, id in enumerate((None, None, 7, 7, "7/3"))]
    assert used(*entries) == [f"text {n}" for n in range(5)]


def test_numbers_and_texts_change_places_without_harm() -> None:
    chat = ScannedChat(("Kim: It was in 1984.",))
    assert used({"keys": [1984], "content": "a"}, {"keys": "1984, other", "content": "b"}, chat=chat) == ["a", "b"]
    for chance, expected in (("0", []), ("0%", []), ("100", ["c"]), ("often", ["c"]), (None, ["c"])):
        more = {"extensions": {"probability": chance}}
        assert used({"keys": ["castle"], "content": "c", **more}) == expected, chance


def test_nothing_is_counted_once_the_budget_is_used_up() -> None:
    counted: list[str] = []

    def count(text: str) -> int:
        counted.append(text)
        return 1

    many = book(*({"keys": ["castle"], "content": f"text {n}"} for n in range(500)))
    found = scan([many], CHAT, count, str, 20)
    assert (len(found.used), len(counted)) == (20, 20)
    assert "480 lorebook entries were left out" in found.notes[0]


def test_keys_that_are_parts_of_many_words_are_found_alone() -> None:
    long = "ab" * 3000
    for text, key, found in (
        (f"{long} b.", "b", True),
        (f"{long} ab", "b", False),
        ("xb " * 40 + "b", "b", True),
        ("xb " * 40 + "bx", "b", False),
        ("xb " * 40 + "b語", "b", True),
        ("语b " * 40, "b", True),
        ("xa.b " * 40 + "a.b", "a.b", True),
    ):
        assert contains(text, key, words=True) is found, (text[-12:], key)


def test_a_key_of_very_many_entries_is_looked_for_once() -> None:
    begun = time.monotonic()
    many = [{"keys": ["a"], "content": "x"} for _ in range(5000)]
    assert used(*many, {"keys": ["b"], "content": "y"}, chat=ScannedChat(("a" * 5000 + " b",))) == ["y"]
    assert time.monotonic() - begun < 10
