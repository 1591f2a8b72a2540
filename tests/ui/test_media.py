"""Media of extensions in a message: what passes, and all that does not."""

from __future__ import annotations

import pytest

from modules.ui.markdown import Markdown

MARKDOWN = Markdown()


@pytest.mark.parametrize(
    ("text", "html"),
    [
        (
            '<audio src="file/extensions/voice/out/1.wav" controls autoplay></audio>\n\nHello **you**',
            '<p><audio src="/file/extensions/voice/out/1.wav" controls preload="metadata"></audio></p>\n<p>Hello <b>',
        ),
        (
            "<img src='/file/extensions/a/b.png' alt=\"A &amp; B\" style='color:red' onerror='x()'>",
            '<p><img src="/file/extensions/a/b.png" alt="A &amp; B" loading="lazy"></p>\n',
        ),
        (
            '<IMG width="300" src="data:image/png;base64,AAAA">',
            '<p><img src="data:image/png;base64,AAAA" width="300" loading="lazy"></p>\n',
        ),
    ],
)
def test_media_of_extensions_are_shown(text: str, html: str) -> None:
    assert MARKDOWN.fresh(text).replace("strong>", "b>").startswith(html)


@pytest.mark.parametrize(
    "text",
    [
        '<img src="https://example.org/x.png">',
        '<img src="//example.org/x.png">',
        '<img src="file/../../secret">',
        '<img src="javascript:alert(1)">',
        '<img src="file/extensions/x.png" onerror="alert(1)"',
        '<audio src="data:text/html;base64,AAAA"></audio>',
        '<img src="data:image/svg+xml;base64,AAAA">',
        '<script src="file/extensions/x.js"></script>',
        '<iframe src="file/extensions/x.html"></iframe>',
    ],
)
def test_nothing_else_passes(text: str) -> None:
    html = MARKDOWN.fresh(text)
    assert "&lt;" in html and not any(f"<{tag}" in html for tag in ("img", "audio", "script", "iframe"))


def test_code_stays_code() -> None:
    tag = '<img src="file/extensions/a.png">'
    assert "<img" not in MARKDOWN.fresh(f"`{tag}`") + MARKDOWN.fresh(f"```\n{tag}\n```")


def test_no_attribute_breaks_out_of_its_quotes() -> None:
    html = MARKDOWN.fresh("<img src='file/a.png' alt='\"><script>'>")
    assert "<script>" not in html
    assert "<script>" not in MARKDOWN.fresh("<img src='file/a.png' alt='&quot;&gt;&lt;script&gt;'>")
