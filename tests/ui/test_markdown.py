"""Markdown: nothing dangerous passes, and a growing text renders like the whole text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

import pytest

from modules.ui.code_colours import CodeColours
from modules.ui.markdown import LivingMarkdown, Markdown
from modules.ui.mathml import to_mathml

TEXTS = {
    "paragraphs": "One **bold** paragraph here.\n\nAnother one with `code` that is longer.\n\nThe end of it all.",
    "lists": "Before the list.\n\n- one\n- two\n\n  goes on\n\n- three\n\nAfter the list, in peace.\n\n1. x\n2. y\n",
    "fence": "Look at this:\n\n```python\nx = 1\n\n\ny = '<b>'\n```\n\nAnd so it went, for ever.\n",
    "tilde fence": "~~~\n```\n\nnot the end\n~~~\n\nBut this is the end of it.",
    "open fence": "Text first, then code.\n\n```\nnever closed\n\nstill code",
    "table": "A table follows here.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nThat was the table.",
    "emoji": "🐎🐎 horses run **fast** 🏇 and far.\n\n🐴 more of them, many more.",
    "no fence": "```inline``` is no fence.\n\n```python\nx = 1\n\ny = 2\n```\n\nAfter the code, more text.\n\nThe end.",
    "fence in a list": "Steps:\n\n- ```\n  a\n\n  b\n  ```\n- two\n\nThen the end.\n\n```\nx\n\ny\n```\n\nAll of it.",
    "deep fence": "10. item\n\n    ```\n    code\n\n    more\n    ```\n\nAfter.\n\n    indented\n\n    code\n\nEnd.",
    "fence in a quote": "> ```\n> a\n>\n> b\n> ```\n\nNot quoted any more.\n\n```\nc\n\nd\n```\nThe end.",
    "long fence": "````\n```\n\nx\n```\n````\n\nText after it, and more.\n\n~~~ a`b\n\n~~~\nEnd.",
    "named addresses": "See [one] and [two].\n\n[one]: https://a.example\n\nText between.\n\nAgain [one] here.",
    "formulas": "Take $a_1 * b_2 * c$ and\n\n$$\nx = y\n- 1\n$$\n\nor \\(a*b*c\\), which\n\n\\[\nq\n\\]\n\nends.",
    "carriage returns": "One line here.\r\n\r\nAnother line here.\r\n\r\n```\r\ncode\r\n\r\ncode\r\n```\r\nEnd.",
    "headings": "# Title of the text\n\nSome words below it.\n\n## Another title\n\n> quoted words here",
}


class Reader:
    """Apply the updates as the page's script does. JavaScript counts UTF-16 units."""

    def __init__(self) -> None:
        self.settled = ""
        self.tail = ""

    def take(self, update: dict[str, object]) -> None:
        units = self.tail.encode("utf-16-le")[: int(str(update["cut"])) * 2]
        self.settled += str(update["add"])
        self.tail = units.decode("utf-16-le") + str(update["tail"])


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("step", [1, 3, 17])
def test_a_growing_text_renders_like_the_whole_text(name: str, step: int) -> None:
    markdown, reader, text = Markdown(), Reader(), TEXTS[name]
    living = LivingMarkdown(markdown)
    for end in [*range(step, len(text), step), len(text)]:
        if text[end - 1] != "\r":  # an engine's pieces do not end between the two
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


def test_links_open_in_a_new_tab_without_a_referrer() -> None:
    html = Markdown().render("[x](https://a.example)")
    assert 'target="_blank"' in html
    assert "noopener noreferrer" in html


def test_blank_lines_in_a_fence_settle_nothing() -> None:
    living = LivingMarkdown(Markdown())
    update = living.update("Begin here, please.\n\n```\na\n\nb\n\nno end yet")
    assert update["add"] == "<p>Begin here, please.</p>\n"
    assert living.update("Begin here, please.\n\n```\na\n\nb\n\nno end yet\n\nnor here")["add"] == ""


def test_rendered_text_is_cached_up_to_a_limit() -> None:
    markdown = Markdown()
    first = markdown.render("the same")
    assert markdown.render("the same") is first
    for number in range(30):
        markdown.render(f"{number} " + "long " * 50_000)
    assert markdown.render("the same") is not first


@pytest.mark.parametrize(
    ("text", "shown", "blocks"),
    [
        (r"Take \(a\) and \(b_1 * c\) now.", "Take a and b1*c now.", 0),
        (r"\[ x_1 = \frac{1}{2} * y * z \]", "x1=12*y*z", 1),
        ("\\[\nx = y\n- 1\n= 2\n\\]", "x=y−1=2", 1),
        ("$$\na_1 \\\\ b_2\n+ c * d * e\n$$", "a1b2+c*d*e", 1),
        ("Both $a_1 * b$ and $$x * y$$ here.", "Both a1*b and x*y here.", 1),
        (r"- in a list: \(a * b * c\)", "in a list: a*b*c", 0),
        ("\\begin{aligned}\na_1 &= b_1 * c \\\\\n- d &= *e*\n\\end{aligned}", "a1=b1*c−d=*e*", 1),
    ],
)
def test_a_formula_is_shown_as_mathml(text: str, shown: str, blocks: int) -> None:
    html = Markdown().render(text)
    assert "<em>" not in html and "<li>- 1" not in html and "<h" not in html
    assert unescape(re.sub(r"<[^>]+>", "", html)).strip() == shown
    assert html.count('display="block"') == blocks


@pytest.mark.parametrize(
    "text",
    [r"\(\frac{a}{\)", "$" + "x" * 2_000 + "$", r"\(\def\a{\a\a}\a\)", r"\(" + "{" * 900 + r"\)", "\\[\nx = y\n"],
)
def test_a_formula_that_cannot_be_converted_stays_as_it_is(text: str) -> None:
    html = Markdown().render(text)
    assert "<math" not in html
    assert unescape(re.sub(r"<[^>]+>", "", html)).split() == text.split()


@pytest.mark.parametrize(
    "latex",
    [
        r"\text{<img src=x onerror=alert(1)>}",
        r"\text{&lt;img src=x&gt;}",
        r"\href{javascript:alert(1)}{x}",
        r"\style{position:fixed}{x}",
        r"\class{composer}{x}",
        r"\mathcolor{red;x:y}{z}",
        r"\hspace{9999em}",
        r"\unicode{x3c}script>",
        r'x" onclick="y',
    ],
)
def test_a_formula_brings_only_mathml(latex: str) -> None:
    html = to_mathml(latex, False)
    for tag, attributes in re.findall(r"<(\w+)([^>]*)>", html):
        assert tag.startswith("m"), html
        names = set(re.findall(r'([\w-]+)="[^"]*"', attributes))
        assert not names & {"href", "style", "class", "onclick", "onerror", "id"}, html
    assert "<img" not in html and "9999" not in html.replace(r"\hspace{9999em}", "")


def test_a_formula_in_a_growing_text_is_converted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str] = []

    def convert(latex: str, block: bool) -> str:
        found.append(latex)
        return "<math></math>"

    monkeypatch.setattr("modules.ui.formulas.to_mathml", convert)
    living = LivingMarkdown(Markdown())
    text = "The $a+b$ is"
    for word in (" one", " two", " three"):
        living.update(text := text + word)
    assert found == ["a+b"]


def test_prices_code_and_single_marks_are_not_formulas() -> None:
    html = Markdown().render("It costs $5 or *$10*, `\\(a\\)` is code, \\(open and \\*no emphasis\\*.")
    assert "<em>$10</em>" in html
    assert "<code>\\(a\\)</code>" in html
    assert "*no emphasis*" in html


def test_a_formula_does_not_let_html_through() -> None:
    for text in ("$<script>$", "\\(<img src=x onerror=alert(1)>\\)", "$$\n<script>\n$$"):
        html = Markdown().render(text)
        assert "<script" not in html and "<img" not in html


@pytest.fixture
def colours() -> Iterator[CodeColours]:
    found = CodeColours()
    yield found
    found.close()


def test_code_is_coloured_and_an_unknown_language_is_plain(colours: CodeColours) -> None:
    html = Markdown(colours).render("```python\nx = '<b>'\n```\n\n```nosuch\ny\n```\n")
    assert '<span class="n">x</span>' in html and "&lt;b&gt;" in html
    assert "<pre><code>y\n</code></pre>" in html


def test_code_that_is_slow_to_colour_stays_plain_and_what_follows_is_coloured(colours: CodeColours) -> None:
    assert colours.colour("a" * 9_000, "devicetree") is None
    html = Markdown(colours).render(f"```devicetree\n{'a' * 9_000}\n```\n")
    assert f"<pre><code>{'a' * 9_000}\n</code></pre>" in html
    assert "<span" in str(colours.colour("x = 1", "python"))


def test_after_some_slow_blocks_all_code_stays_plain_for_a_while() -> None:
    now = [0.0]
    colours = CodeColours(clock=lambda: now[0])
    try:
        for _ in range(3):
            assert colours.colour("a" * 9_000, "devicetree") is None
        assert colours.colour("x = 1", "python") is None
        now[0] = 61.0
        assert "<span" in str(colours.colour("x = 1", "python"))
    finally:
        colours.close()


def test_a_slow_block_is_coloured_once_while_a_reply_grows() -> None:
    class Slow(CodeColours):
        asked = 0

        def colour(self, code: str, language: str) -> str | None:
            self.asked += 1
            return None

    slow = Slow()
    living = LivingMarkdown(Markdown(slow))
    text = "```rst\n"
    for _ in range(20):
        text += "line\n"
        living.update(text)
    living.update(text + "```\n\nMore text after it.\n\n```rst\nx\n```\n")
    assert slow.asked == 1


@pytest.mark.parametrize(
    ("text", "quick"),
    [
        ("Some plain words.\n\nAnd **more** of them with `code`.", True),
        ("Words.\n\n```python\nx = 1", False),
        ("Words.\n\n~~~python\nx = 1", False),
        ("long " * 1000, False),
        ("[" * 100, False),
        ("- one\n" * 100, False),
    ],
)
def test_only_short_text_without_code_is_rendered_on_the_event_loop(text: str, quick: bool) -> None:
    assert LivingMarkdown(Markdown()).is_quick(text) == quick


def test_settled_blocks_do_not_count_as_long() -> None:
    living, text = LivingMarkdown(Markdown()), "A paragraph of some length.\n\n" * 200
    assert not living.is_quick(text)
    living.update(text)
    assert living.is_quick(text)
