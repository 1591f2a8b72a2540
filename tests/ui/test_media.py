"""Media of extensions in a message: which markup passes, and which does not."""

from __future__ import annotations

import re

import pytest

from modules.ui.markdown import Markdown
from modules.ui.media import file_address

MARKDOWN = Markdown()


@pytest.mark.parametrize(
    ("text", "html"),
    [
        (
            '<audio src="file/extensions/voice/out/1.wav" controls autoplay></audio>\n\nHello **you**',
            '<p><audio src="file/extensions/voice/out/1.wav" controls preload="metadata"></audio></p>\n<p>Hello <b>',
        ),
        (
            "<img src='/file/extensions/a/b.png' alt=\"A &amp; B\" style='color:red' onerror='x()'>",
            '<p><img src="file/extensions/a/b.png" alt="A &amp; B" loading="lazy"></p>\n',
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
    ("given", "address"),
    [
        ("file/extensions/a/b.png?17", "file/extensions/a/b.png?17"),
        ("/file/extensions/a/my picture.png", "file/extensions/a/my%20picture.png"),
        ("file/extensions/a/100%25.png", "file/extensions/a/100%25.png"),
        ("file/extensions/a/b%2ec.png", "file/extensions/a/b.c.png"),
        ("file//home/me/extensions/a/b.png", "file//home/me/extensions/a/b.png"),
        ("file/C:/extensions/a/b.png", "file/C%3A/extensions/a/b.png"),
        ("file/extensions/ä/…png", "file/extensions/%C3%A4/%E2%80%A6png"),
    ],
)
def test_an_address_is_rebuilt_from_its_parts(given: str, address: str) -> None:
    assert file_address(given) == address
    assert f' src="{address}"' in MARKDOWN.fresh(f'<img src="{given}">')


@pytest.mark.parametrize(
    "address",
    [
        "/v1/models",
        "/file/%2e%2e/v1/models?x=1",
        "/file/%2E./v1/models",
        "/file/.%2e/v1/models",
        "/file/%252e%252e/v1/models",
        "/file/%25252e%25252e/v1/models",
        "/file/" + "%25" * 1 + "25" * 9 + "2e./v1",
        "/file/..%2fv1/models",
        "/file/..%5cv1/models",
        "/file/..\\v1/models",
        "\\file/extensions/x.png",
        "/file/.\t./v1/models",
        "/file/.\n./v1/models",
        "/file/.&Tab;./v1/models",
        "/file/&period;&period;/v1/models",
        "/file/&#46;&#x2e;/v1/models",
        "/file/%09../v1/models",
        "/file/.%00./v1/models",
        "/file/extensions/../../v1/models",
        "/file/extensions/..",
        "/file/./x.png",
        "/file///evil.test/x.png",
        "/file/extensions//../x.png",
        "/%66ile/%2e%2e/v1/models",
        "//file/x.png",
        "/file:/x.png",
        "file",
        "/file/",
        "/filex/x.png",
        "/file/extensions/x.png#/../../v1",
        "/file/extensions/x.png?/../../../v1/models",
        "file/extensions/x.png?a=%2e%2e",
        "\x01/file/../v1/models",
        "blob:http://127.0.0.1/x",
        "data:image/png;base64,AAAA\t",
        " javascript:alert(1)",
    ],
)
@pytest.mark.parametrize("tag", ["img", "audio", "video"])
def test_no_reply_makes_the_page_load_another_address(tag: str, address: str) -> None:
    html = MARKDOWN.fresh(f'<{tag} src="{address}"></{tag}>') + MARKDOWN.fresh(f"<{tag} src='{address}'>")
    assert f"<{tag}" not in html


@pytest.mark.parametrize(
    "attribute",
    ["srcset", "poster", "background", "style", "ping", "href", "xlink:href", "data-src", "onload", "lowsrc"],
)
def test_no_other_attribute_passes(attribute: str) -> None:
    for text in (
        f'<img src="file/extensions/a.png" {attribute}="/v1/models">',
        f'<img {attribute}="/v1/models" src="file/extensions/a.png">',
        f'<video src="file/extensions/a.mp4" {attribute}="url(/v1/models)"></video>',
        f"<img src=\"file/extensions/a.png\" {attribute} = '/v1/models' {attribute}=/v1/models>",
    ):
        assert "v1" not in MARKDOWN.fresh(text)


@pytest.mark.parametrize(
    "text",
    [
        '<svg><image href="/v1/models"/></svg>',
        '<body background="/v1/models">',
        '<a href="/v1/models" ping="/v1/models">x</a>',
        '<picture><source srcset="/v1/models"></picture>',
        '<video><source src="/v1/models"></video>',
        '<object data="/v1/models"></object>',
        '<embed src="/v1/models">',
        '<link rel="stylesheet" href="/v1/models">',
        '<base href="/v1/">',
        '<meta http-equiv="refresh" content="0;/v1/models">',
        '<form action="/v1/models"></form>',
        '<div style="background:url(/v1/models)">x</div>',
        "<style>x{background:url(/v1/models)}</style>",
        '<track src="/v1/models">',
        '<input type="image" src="/v1/models">',
        '<math><a xlink:href="/v1/models">x</a></math>',
        "![x](/v1/models)",
        "![x](file/../v1/models)",
        "[x](/v1/models)",
        "[x]: /v1/models\n[x] ![x]",
        "<http:/v1/models>",
        "[x](//v1/models)",
        "[x](javascript:fetch('/v1/models'))",
    ],
)
def test_no_other_markup_passes_with_an_address_of_paddock(text: str) -> None:
    html = MARKDOWN.fresh(text) + MARKDOWN.fresh(f"> {text}") + MARKDOWN.fresh(f"<think>{text}</think>")
    assert not re.search(r"""<[^>]*[=(]["'(]?[^"'>]*/v1/""", html), html


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
