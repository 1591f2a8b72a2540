"""Markdown: nothing dangerous passes, and a growing text comes out as the whole text would."""

from __future__ import annotations

import re

import pytest

from modules.ui.markdown import LivingMarkdown, Markdown, settled_until

TEXTS = {
    "paragraphs": "One **bold** paragraph here.\n\nAnother one with `code` that is longer.\n\nThe end of it all.",
    "lists": "Before the list.\n\n- one\n- two\n\n  goes on\n\n- three\n\nAfter the list, in peace.\n\n1. x\n2. y\n",
    "fence": "Look at this:\n\n```python\nx = 1\n\n\ny = '<b>'\n```\n\nAnd so it went, for ever.\n",
    "tilde fence": "~~~\n```\n\nnot the end\n~~~\n\nBut this is the end of it.",
    "open fence": "Text first, then code.\n\n```\nnever closed\n\nstill code",
    "table": "A table follows here.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nThat was the table.",
    "emoji": "🐎🐎 horses run **fast** 🏇 and far.\n\n🐴 more of them, many more.",
    "thoughts": "<think>\nHm, well.\n\nStill thinking.\n</think>\nThe answer is here.\n\nAnd goes on for a while.",
    "headings": "# Title of the text\n\nSome words below it.\n\n## Another title\n\n> quoted words here",
}


class Reader:
    """What the page's script does with the updates; JavaScript counts UTF-16 units."""

    def __init__(self) -> None:
        self.settled = ""
        self.tail = ""

    def take(self, update: dict[str, object]) -> None:
        units = self.tail.encode("utf-16-le")[: int(str(update["cut"])) * 2]
        self.settled += str(update["add"])
        self.tail = units.decode("utf-16-le") + str(update["tail"])


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("step", [1, 3, 17])
def test_a_growing_text_ends_as_the_whole_text(name: str, step: int) -> None:
    markdown, reader, text = Markdown(), Reader(), TEXTS[name]
    living = LivingMarkdown(markdown)
    for end in [*range(step, len(text), step), len(text)]:
        reader.take(living.update(text[:end]))
    whole = re.sub(r"\s+", "", markdown.render(text))
    assert re.sub(r"\s+", "", reader.settled + reader.tail) == whole


def test_what_is_sent_for_a_token_does_not_grow_with_the_reply() -> None:
    living = LivingMarkdown(Markdown())
    paragraph = "Some **words** that a model might write, again and again, as models do.\n\n"
    text, sizes = "", []
    for word in re.findall(r"\S+\s*", paragraph * 60):
        text += word
        update = living.update(text)
        sizes.append(len(update["add"]) + len(update["tail"]))
    half = len(sizes) // 2
    assert sum(sizes[half:]) < 1.1 * sum(sizes[:half])


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](data:text/html,hello)",
        "[x](/paddock/chats)",
        '[x](https://a.example/"onmouseover="alert(1))',
        "![x](https://a.example/x.png)",
        '```"><script>alert(1)</script>\nx\n```',
        "<javascript:alert(1)>",
        "<think><script>alert(1)</script></think>",
    ],
)
def test_nothing_dangerous_passes(text: str) -> None:
    html = Markdown().render(text)
    assert "<script" not in html
    assert "<img" not in html
    for tag in re.findall(r"<[^>]*>", html):
        assert not re.search(r"\son\w+\s*=", tag), tag
    for address in re.findall(r'href="([^"]*)"', html):
        assert address.startswith(("https://", "http://", "mailto:")), address


def test_links_open_apart_and_tell_nobody_where_they_were_clicked() -> None:
    html = Markdown().render("[x](https://a.example)")
    assert 'target="_blank"' in html
    assert "noopener noreferrer" in html


def test_a_fence_s_blank_lines_settle_nothing() -> None:
    text = "Begin here, please.\n\n```\na\n\nb\n\nno end yet"
    assert text[: settled_until(text, 0)] == "Begin here, please.\n\n"


def test_what_was_rendered_is_remembered_up_to_a_limit() -> None:
    markdown = Markdown()
    first = markdown.render("the same")
    assert markdown.render("the same") is first
    for number in range(30):
        markdown.render(f"{number} " + "long " * 50_000)
    assert markdown.render("the same") is not first
