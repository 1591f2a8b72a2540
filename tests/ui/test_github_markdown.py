"""GitHub's Markdown in replies: task lists, alerts, bare links, footnotes, tables and the head of code."""

from __future__ import annotations

import re
import time

import pytest

from modules.ui.github_markdown import ALERT_TITLES
from modules.ui.markdown import LivingMarkdown, Markdown

LINK = 'target="_blank" rel="noopener noreferrer nofollow"'


def inner(text: str) -> str:
    """Return the HTML of a text that is one paragraph."""
    found = re.fullmatch(r"<p>(.*)</p>\n", Markdown().render(text), re.DOTALL)
    assert found
    return found[1]


def test_a_task_list_shows_boxes_that_cannot_be_ticked() -> None:
    html = Markdown().render("- [ ] buy <b>hay</b>\n- [x] feed\n- [y] not a task\n")
    boxes = re.findall(r"<input[^>]*>", html)
    assert len(boxes) == 2 and all("disabled" in box for box in boxes)
    assert "checked" in boxes[1] and "checked" not in boxes[0]
    assert "&lt;b&gt;hay" in html and "[y] not a task" in html


@pytest.mark.parametrize("kind", ["NOTE", "TIP", "IMPORTANT", "WARNING", "caution"])
def test_an_alert_has_its_kind_as_a_title(kind: str) -> None:
    html = Markdown().render(f"> [!{kind}]\n> Mind the *gap*.\n")
    assert f'class="markdown-alert markdown-alert-{kind.lower()}"' in html
    title = next(one for one in ALERT_TITLES if one.upper() == kind.upper())
    assert f'<p class="markdown-alert-title"><bdi translate="yes">{title}</bdi></p>' in html
    assert "<em>gap</em>" in html
    assert "<blockquote>" in Markdown().render("> [!OTHER]\n> x\n")


def test_bare_addresses_become_links_and_other_schemes_do_not() -> None:
    assert inner("(see https://a.example/x?y=z).") == (
        f'(see <a href="https://a.example/x?y=z" {LINK}>https://a.example/x?y=z</a>).'
    )
    assert f'<a href="http://www.a.example" {LINK}>' in inner("at www.a.example, there")
    assert f'<a href="mailto:me@a.example" {LINK}>' in inner("write to me@a.example")
    for text in ("javascript:alert(1)", "xmpp:me@a.example", "ftp://a.example", "12:30", "a::b", "`https://a.example`"):
        assert "<a " not in inner(text), text


def test_a_footnote_and_its_mark_lead_to_each_other() -> None:
    html = Markdown().render("One[^a] and again[^a].\n\n[^a]: The *note*.\n")
    target = re.search(r'<a href="#(fn-\w+-1)"', html)
    assert target and f'<li id="{target[1]}"' in html and "<em>note</em>" in html
    assert re.findall(r">(\d+)</a></sup>", html) == ["1", "1"]
    assert (
        len(re.findall(r'href="#fnref-\w+-1(?::1)?" class="footnote-backref" translate="yes" aria-label=', html)) == 2
    )
    assert "[^missing]" in Markdown().render("No[^missing] note.")


def test_footnotes_of_two_texts_have_different_names() -> None:
    one, other = (re.findall(r'id="([^"]+)"', Markdown().render(f"{n}[^1]\n\n[^1]: x\n")) for n in "ab")
    assert len(one) == 2 and not set(one) & set(other)


def test_a_name_of_a_footnote_brings_no_html() -> None:
    html = Markdown().render('x[^"><img>] y\n\n[^"><img>]: <script>z</script>\n')
    assert "<img" not in html and "<script" not in html


def test_while_a_reply_grows_its_footnotes_stay_text() -> None:
    text = "One[^1] and more words here.\n\n[^1]: The note.\n\nThe end of it all.\n"
    living, html = LivingMarkdown(Markdown()), ""
    for end in range(1, len(text) + 1):
        html += str(living.update(text[:end])["add"])
    assert "<p>One[^1] and more words here.</p>" in html and "[^1]: The note." in html


def test_a_table_has_a_frame_that_scrolls() -> None:
    html = Markdown().render("| a | b |\n|---|--:|\n| 1 | 2 |\n\nEnd.")
    assert html.startswith('<div class="table"><table>') and "</table></div>\n<p>End.</p>" in html
    assert '<td style="text-align:right">2</td>' in html


def test_strikethrough_needs_marks_around_a_word() -> None:
    assert inner("~~old~~ and ~new~") == "<s>old</s> and <s>new</s>"
    assert inner("takes ~5 minutes, or ~10") == "takes ~5 minutes, or ~10"


def test_code_has_its_language_and_three_buttons() -> None:
    html = Markdown().render("```c++ title\nint x;\n```\n")
    assert "<span>c++</span>" in html
    assert re.findall(r'class="(\w+-code)"', html) == ["wrap-code", "download-code", "copy-code"]


@pytest.mark.parametrize(
    "text",
    ["a:" * 10_000, ":" * 20_000, "mailto: " * 2_500, "http://- " * 2_500, "a@" * 10_000, "[^1]" * 5_000, "w" * 20_000],
    ids=["colons", "only colons", "mail", "no host", "at", "marks", "letters"],
)
def test_a_text_of_20_000_characters_never_takes_long(text: str) -> None:
    begin = time.process_time()
    Markdown().fresh(text)
    assert time.process_time() - begin < 3
