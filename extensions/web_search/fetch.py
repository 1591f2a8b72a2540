"""The text of a public web page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from urllib.parse import parse_qs, urljoin, urlsplit

from paddock import PaddockError, fetch_public


def fetch_text(url: str) -> str:
    """Return the text of the page at `url`, never of this machine or its networks. Raises AddressRefused."""
    return page_text(fetch_public(url).text)


def fetch_results(url: str) -> str:
    """Return the results of a search engine with their addresses. Raises AddressRefused.

    An engine answers with a page, or with JSON as SearXNG does for `format=json`.
    """
    page = fetch_public(url)
    return json_results(page.text) if page.type == "application/json" else page_text(page.text, page.url)


def json_results(text: str) -> str:
    """Return the results in SearXNG's JSON, each with a number, its title, its address and its lines."""
    try:
        found = json.loads(text)
        results = found["results"] if isinstance(found, dict) else []
    except (ValueError, LookupError, RecursionError):
        raise PaddockError("The search engine answered with JSON that has no results. Check its address.") from None
    blocks: list[str] = []
    for result in results if isinstance(results, list) else []:
        if _is_result(result):
            title, lines = result.get("title") or result["url"], result.get("content") or ""
            blocks.append(f"[{len(blocks) + 1}] {title} <{result['url']}>\n{lines}".strip())
    return "\n\n".join(blocks) or "No results."


def _is_result(value: object) -> bool:
    """Return True for a result with an address of the web, and texts beside it."""
    if not isinstance(value, dict):
        return False
    texts = all(isinstance(value.get(key) or "", str) for key in ("title", "url", "content"))
    return texts and str(value.get("url") or "").startswith(("http://", "https://"))


def page_text(markup: str, base: str = "") -> str:
    """Return the text of an HTML page, without scripts, styles and navigation. `base`: its address, to name links."""
    reader = _Words(base)
    reader.feed(markup)
    return re.sub(r"\n\s*\n+", "\n", re.sub(r"[ \t]+", " ", "".join(reader.words))).strip()


class _Words(HTMLParser):
    """Collects the readable text of a page."""

    _SILENT = frozenset({"script", "style", "head", "nav", "svg", "noscript", "form"})
    _BREAKS = frozenset({"p", "div", "br", "li", "tr", "h1", "h2", "h3", "h4"})

    def __init__(self, base: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self._silent = 0
        self._base = base
        self._link = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in self._SILENT
        if tag in self._BREAKS:
            self.words.append("\n")
        if tag == "a":
            self._link = _target(urljoin(self._base, dict(attrs).get("href") or ""), self._base) if self._base else ""

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in self._SILENT and self._silent > 0
        if tag == "a" and self._link and not self._silent:
            self.words.append(f" <{self._link}> ")
            self._link = ""

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.words.append(data)


def _target(link: str, base: str) -> str:
    """Return the page that a link of a search engine leads to; "" for the engine's own pages and other schemes."""
    parts = urlsplit(link)
    for values in parse_qs(parts.query).values():
        # Engines count clicks: the address is in a parameter of the link.
        if values[0].startswith(("http://", "https://")):
            return values[0]
    own = parts.netloc == urlsplit(base).netloc
    return "" if own or parts.scheme not in ("http", "https") else link
