"""Summaries of what a prompt leaves out: for which messages they count, and how they are made."""

from __future__ import annotations

import pytest

from modules.chat.messages import ChatOptions, Message
from modules.chat.parts import plain
from modules.chat.summaries import Summary, add_summary, find_summary, hash_messages, with_summary, without_summaries
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from tests.chat.conftest import Room

OPTIONS = ChatOptions(overflow="summarize")
PARAMS = SamplingParams(max_new_tokens=20)


def chat(*texts: str) -> list[Message]:
    """Return alternating messages."""
    return [Message(str(n), None, ("user", "assistant")[n % 2], plain(text), 0.0) for n, text in enumerate(texts)]


def covering(path: list[Message], text: str = "Sum.", edited: bool = False) -> Summary:
    return Summary(text, len(path), hash_messages(path), edited)


def test_a_summary_counts_for_every_path_that_begins_with_its_messages() -> None:
    path = chat("one", "two", "three", "four", "five")
    stored = add_summary(None, covering(path[:2]))
    assert find_summary(stored, path) == covering(path[:2])
    copied = [Message(f"other-{one.id}", None, one.role, one.parts, 1.0) for one in path]
    assert find_summary(stored, copied) == covering(path[:2])
    assert find_summary(stored, chat("one", "changed", "three")) is None
    assert find_summary(stored, path[:2]) is None, "the last message is never replaced"


def test_the_summary_of_most_messages_counts_and_those_of_other_branches_stay() -> None:
    path, other = chat("one", "two", "three", "four", "five"), chat("one", "2", "three", "four", "five")
    stored: object = None
    for summary in (covering(path[:2]), covering(other[:4], "Other."), covering(path[:4], "Long.")):
        stored = add_summary(stored, summary)
    found, of_other = find_summary(stored, path), find_summary(stored, other)
    assert found and of_other and (found.text, of_other.text) == ("Long.", "Other.")


def test_a_summary_that_a_person_wrote_outlives_the_others() -> None:
    stored: object = add_summary(None, covering(chat("a", "b"), "Mine.", edited=True))
    for number in range(20):
        stored = add_summary(stored, covering(chat(f"{number}", "b")))
    assert isinstance(stored, list) and len(stored) == 8
    assert find_summary(stored, chat("a", "b", "c")) == covering(chat("a", "b"), "Mine.", edited=True)


def test_an_empty_text_removes_the_summary() -> None:
    stored = add_summary(None, covering(chat("a", "b")))
    assert add_summary(stored, covering(chat("a", "b"), " ")) == []


def test_a_removed_summary_does_not_uncover_an_earlier_one_of_the_chat() -> None:
    path, other = chat("a", "b", "c", "d", "e"), chat("a", "2", "c")
    stored: object = None
    for summary in (covering(path[:2]), covering(other[:2], "Other."), covering(path[:4], "Long.")):
        stored = add_summary(stored, summary)
    kept = without_summaries(stored, path[:4])
    assert find_summary(kept, path) is None and find_summary(kept, other) == covering(other[:2], "Other.")


@pytest.mark.parametrize(
    "stored", [None, 3, "x", [3, {}, {"text": "x", "upto": -1, "of": ""}, {"text": 1}], {"text": 1}]
)
def test_a_stored_value_of_another_form_is_no_summary(stored: object) -> None:
    assert find_summary(stored, chat("a", "b", "c")) is None


def test_the_summary_follows_the_system_message() -> None:
    assert with_summary("be kind", None) == "be kind"
    assert with_summary("", covering(chat("a"))).endswith("left out here:\nSum.")


def test_what_no_longer_fits_is_summarized_after_the_reply_and_stands_in_the_next_prompt(empty: Room) -> None:
    empty.load(context=400)
    chat_id = empty.service.create().id
    summarizer = empty.service.summarizer
    for number in range(20):
        empty.service.send(chat_id, f"turn {number} has ten words so that it fills up", PARAMS, OPTIONS)
        empty.settle(chat_id)
        empty.until(chat_id, lambda: not summarizer.runs(chat_id))
        path = empty.service.messages(chat_id)
        if found := summarizer.summaries.find(chat_id, path):
            break
    assert found and 0 < found.upto < len(path) and found.text and not found.edited
    assert not summarizer.problems
    empty.service.send(chat_id, "what was said", PARAMS, OPTIONS)
    reply = empty.settle(chat_id)[-1]
    assert reply.meta["left_out"] == found.upto and reply.meta["cut_tokens"] == 0

    summarizer.edit(chat_id, empty.service.messages(chat_id), "They counted turns.")
    edited = summarizer.summaries.find(chat_id, empty.service.messages(chat_id))
    assert edited and edited.edited and edited.upto == found.upto
    summarizer.edit(chat_id, empty.service.messages(chat_id), "")
    assert summarizer.summaries.find(chat_id, empty.service.messages(chat_id)) is None


def test_a_chat_that_fits_has_nothing_to_summarize(room: Room) -> None:
    chat_id = room.service.create().id
    room.ask(chat_id, "hello")
    path = room.service.messages(chat_id)
    with pytest.raises(PaddockError, match="nothing to summarize"):
        room.service.summarizer.request_for(chat_id, path)
    with pytest.raises(PaddockError, match="Reload the page"):
        room.service.summarizer.edit(chat_id, path, "x")
