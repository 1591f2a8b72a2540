"""The shipped extensions work, and the docs page contains every hook and setting."""

from __future__ import annotations

import ast
import http.server
import importlib
import json
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from modules.plugins.folders import discover
from modules.plugins.hook_reference import page
from modules.plugins.hook_signatures import declared
from modules.plugins.hooks import WORKER_HOOKS
from modules.plugins.manifest import Manifest
from modules.plugins.shipped import SHIPPED, hashes
from modules.protocol.errors import PaddockError
from modules.protocol.schema import describe
from modules.system.public_web import AddressRefused, PublicPage
from tests.conftest import ROOT
from tests.plugins.conftest import Place, Talk
from tests.support.documents import write_pdf

EXTENSIONS = ROOT / "extensions"


@pytest.fixture
def shipped(place: Place) -> Place:
    """Return a manager with a copy of the shipped extensions."""
    shutil.rmtree(place.root)
    shutil.copytree(EXTENSIONS, place.root, ignore=shutil.ignore_patterns("__pycache__"))
    return place


def part(name: str, module: str) -> ModuleType:
    """Return a module of a running extension."""
    return importlib.import_module(f"paddock_extensions.{name}.{module}")


def test_the_list_of_shipped_extensions_matches_the_folders() -> None:
    written = json.loads((EXTENSIONS / "shipped.json").read_text())
    assert written == hashes(EXTENSIONS), "run python3 -m modules.plugins.shipped"
    assert sorted(discover([EXTENSIONS])) == sorted(SHIPPED)


def test_the_extensions_page_is_up_to_date() -> None:
    text = (ROOT / "docs" / "extensions.md").read_text(encoding="utf-8")
    assert page(text) == text, "run python3 -m modules.plugins.hook_reference"
    for hook in declared():
        assert f"\n### {hook}\n" in text
    for entry in discover([EXTENSIONS]).values():
        assert f"`extensions/{entry.name}`" in text
        for setting in describe(entry.manifest.settings) if entry.manifest.settings else ():
            assert f"  - `{setting.name}`:" in text
    for key in ("title", "requirements", "settings", "wants", "seconds"):
        assert hasattr(Manifest(), key) and f"`{key}`" in text


def test_the_first_extension_of_the_docs_works_as_it_stands(place: Place) -> None:
    text = (ROOT / "docs" / "extensions.md").read_text(encoding="utf-8")
    code = text.split("```python\n", 1)[1].split("```", 1)[0]
    place.add("dice", code)
    from modules.plugins.pipeline import Pipeline

    visible, inner = Pipeline(place.manager).modify_message("I roll 2d6", {})
    assert visible == "I roll 2d6" and 2 <= int(inner.removeprefix("I roll ")) <= 12


def test_the_example_has_every_hook(shipped: Place) -> None:
    shipped.manager.enable("example")
    status = shipped.status("example")
    assert status.state == "on" and status.shipped and not status.notes
    assert set(status.hooks) == set(declared()) - {"params"}
    assert set(WORKER_HOOKS) <= set(status.hooks)


@pytest.mark.parametrize("name", [name for name in SHIPPED if name not in ("tts", "dictation", "piper", "mermaid")])
def test_each_switches_on_without_asking_and_off(shipped: Place, name: str) -> None:
    shipped.manager.enable(name)
    assert shipped.status(name).state == "on"
    shipped.manager.disable(name)
    assert shipped.status(name).state == "off"


def test_a_changed_shipped_extension_asks(shipped: Place) -> None:
    with (shipped.root / "example" / "extension.py").open("a") as file:
        file.write("\nX = 1\n")
    assert shipped.status("example").state == "consent"


def test_replies_begin_with_the_bias(talk: Talk) -> None:
    talk.manager.enable("character_bias")
    talk.manager.configure("character_bias", {"beginning": "Aye! "})
    assert talk.ask("hello")[-1].text.startswith("Aye! ")


def test_documents_are_found_kept_and_removed(shipped: Place, tmp_path: Path) -> None:
    shipped.manager.enable("rag")
    index = part("rag", "extension")._state["index"]
    (tmp_path / "horses.txt").write_text("A paddock is a field where horses are kept. " * 5)
    (tmp_path / "stars.html").write_text("<p>A star is a ball of plasma.</p><script>horses</script>")
    index.add_file(str(tmp_path / "horses.txt"))
    index.add_file(str(tmp_path / "stars.html"))
    index.add_file(str(write_pdf(tmp_path / "herons.pdf", ["A heron waits for fish."])))
    assert index.search("heron", 5)[0][0] == "herons.pdf"
    index.remove("herons.pdf")
    assert index.search("Where are horses kept?", 1)[0][0] == "horses.txt"
    assert [entry[0] for entry in index.search("plasma", 5)] == ["stars.html"]
    assert index.search("quantization", 3) == []
    again = part("rag", "index").Index(shipped.folder / "data" / "rag" / "documents.json")
    assert [name for name, _ in again.documents()] == ["horses.txt", "stars.html"]
    again.remove("stars.html")
    assert again.search("plasma", 5) == []
    (tmp_path / "bad.bin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is no text file"):
        again.add_file(str(tmp_path / "bad.bin"))


def test_the_search_reads_no_address_of_the_local_network(shipped: Place, service: str) -> None:
    shipped.manager.enable("web_search")
    fetch = part("web_search", "fetch")
    with pytest.raises(AddressRefused, match="Only ports"):
        fetch.fetch_text(f"{service}/page")
    with pytest.raises(AddressRefused, match="not on the public internet"):
        fetch.fetch_text("http://127.0.0.1/page")
    assert fetch.page_text("<head>no</head><script>no</script><p>Words to   read</p><nav>no</nav>") == "Words to read"


def test_the_search_reads_the_json_of_searxng(shipped: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped.manager.enable("web_search")
    fetch = part("web_search", "fetch")
    good = {"title": "<b>Herons</b>", "url": "https://birds.example/h", "content": "They wade."}
    bad = [{"title": "x", "url": "javascript:alert(1)"}, {"url": 5}, "text", {"url": "https://a.example", "title": [1]}]
    bare = {"url": "http://bare.example/"}
    text = json.dumps({"query": "herons", "results": [good, *bad, bare]})
    page = PublicPage("https://search.example/?format=json", "application/json", text.encode())
    monkeypatch.setattr(fetch, "fetch_public", lambda url: page)
    expected = (
        "[1] <b>Herons</b> <https://birds.example/h>\nThey wade.\n\n[2] http://bare.example/ <http://bare.example/>"
    )
    assert fetch.fetch_results("https://search.example/?q=herons&format=json") == expected
    assert fetch.json_results('{"results": []}') == "No results."
    with pytest.raises(PaddockError, match="JSON that has no results"):
        fetch.json_results('{"error": "rate limit"}')


def test_the_search_reads_the_page_of_duckduckgo(shipped: Place) -> None:
    shipped.manager.enable("web_search")
    fetch = part("web_search", "fetch")
    markup = (
        '<form><input name="q"></form><div class="result"><h2><a class="result__a" href="//duckduckgo.com/l/?uddg='
        'https%3A%2F%2Fbirds.example%2Fherons%3Fa%3D1&amp;rut=9">Herons</a></h2>'
        '<a class="result__snippet" href="//duckduckgo.com/l/?uddg=https%3A%2F%2Fbirds.example%2Fherons">They '
        '<b>wade</b>.</a></div><a href="/html/?q=next">Next</a><script>alert(1)</script>'
    )
    text = fetch.page_text(markup, "https://html.duckduckgo.com/html/?q=herons")
    assert "Herons <https://birds.example/herons?a=1>" in text
    assert "They wade. <https://birds.example/herons>" in text
    assert "alert" not in text and "<https://html.duckduckgo" not in text


class _Service(http.server.BaseHTTPRequestHandler):
    """A translation service that reverses texts, and a site with a redirect and a page."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(json.dumps({"translatedText": f"{asked['target']}:{asked['q'][::-1]}"}))

    def do_GET(self) -> None:
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1/secret")
            self.end_headers()
        else:
            self._answer("<head>no</head><script>no</script><p>Words to   read</p><nav>no</nav>")

    def _answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *given: Any) -> None:
        """Write nothing to stderr."""


@pytest.fixture
def service() -> Iterator[str]:
    """Return the address of that service."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Service)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_chat_is_translated_both_ways(talk: Talk, service: str) -> None:
    talk.manager.enable("translate")
    talk.manager.configure("translate", {"service": service})
    asked, reply = talk.ask("abc")
    assert (asked.text, asked.meta["internal"]) == ("abc", "en:cba")
    assert reply.text == "de:abc:ne"


def test_a_missing_translation_service_is_shown_and_the_chat_continues(talk: Talk) -> None:
    talk.manager.enable("translate")
    talk.manager.configure("translate", {"service": "http://127.0.0.1:9"})
    asked, reply = talk.ask("abc")
    assert asked.text == "abc" and "Translate could not do its part (input_modifier)" in reply.meta["error"]
    assert talk.manager.running.get("translate") is not None


def test_a_picture_goes_with_one_message_as_words(talk: Talk) -> None:
    from PIL import Image

    talk.manager.enable("send_pictures")
    module = part("send_pictures", "extension")
    module._waiting.append(module.describe(Image.new("RGB", (40, 30), (250, 20, 20))))
    asked, _ = talk.ask("what is this")
    assert "[I show you a picture: 40 by 30 pixels, bright, mostly red]" in asked.text
    assert talk.ask("and this")[0].text == "and this"


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_a_reply_is_read_aloud(talk: Talk) -> None:
    talk.manager.enable("tts")
    talk.ask("hello there; echo `id`")
    module = part("tts", "extension")
    rate, samples = module.speak(module._last["text"], module._last["settings"])
    assert rate > 8000 and len(samples) > rate // 4


def test_without_a_voice_reading_aloud_says_so(shipped: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from modules.protocol.errors import PaddockError

    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PaddockError, match="espeak-ng is not installed"):
        shipped.manager.enable("tts")


def test_colors_follow_the_probabilities(shipped: Place) -> None:
    shipped.manager.enable("perplexity_colors")
    module = part("perplexity_colors", "extension")

    class Model:
        """A model with two letters per token. "ab" is likely. Other tokens are not reported."""

        def tokenize(self, text: str) -> list[str]:
            return [text[at : at + 2] for at in range(0, len(text), 2)]

        def detokenize(self, tokens: list[str]) -> str:
            return "".join(tokens)

        def probabilities(self, prompt: str, top: int) -> list[dict[str, Any]]:
            return [{"token": "ab", "text": "ab", "probability": 0.5}]

    found = module.probabilities("say: ", "abcd", Model(), 10)
    assert found == [("ab", 0.5), ("cd", 0.0)]
    assert "hsl(60" in module.colored(found) and "Perplexity 2.00 over 1 tokens; 1 were not" in module.colored(found)


def test_each_example_of_the_reference_is_one_block_of_python() -> None:
    text = (ROOT / "docs" / "extensions.md").read_text(encoding="utf-8")
    inside: list[str] = []
    outside: list[str] = []
    for number, part in enumerate(re.split(r"^```(?:\w*)$", text, flags=re.M)):
        (inside if number % 2 else outside).append(part)
    assert not [part for part in outside if re.search(r"^(async )?def ", part, re.M)]
    generated = text.partition("<!-- generated: begin -->")[2]
    for part in re.findall(r"^```python\n(.*?)^```$", generated, re.M | re.S):
        ast.parse(part)
