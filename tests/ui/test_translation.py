"""The page's texts in other languages: their extraction, the shipped catalogs, and the choice of a language."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from modules.ui.language import NAMES, choose_language, direction, languages
from modules.ui.translation.__main__ import LOCALES, SERVED, read_catalog, served, texts
from modules.ui.translation.markup_texts import markup_texts
from modules.ui.translation.python_texts import python_texts
from modules.ui.translation.script_texts import script_texts

CATALOGS = sorted(path.stem for path in LOCALES.glob("*.po"))
# So many texts of the page may be without a translation: each one that is missing is shown in English.
MOST_GONE = 20
MOST_MISSING = {"ar": 40, "de": 40}


def _placeholders(text: str) -> list[str]:
    return sorted(re.findall(r"\{\d+\}", text))


@pytest.mark.parametrize("language", CATALOGS)
def test_a_catalog_keeps_the_values_of_each_text(language: str) -> None:
    known = served(read_catalog(LOCALES / f"{language}.po"))
    assert [text for text, found in known.items() if _placeholders(text) != _placeholders(found)] == []


@pytest.mark.parametrize("language", CATALOGS)
def test_the_browser_gets_what_the_catalog_has(language: str) -> None:
    sent = json.loads((SERVED / f"{language}.json").read_text(encoding="utf-8"))
    assert sent == served(read_catalog(LOCALES / f"{language}.po")), "run python3 -m modules.ui.translation"


@pytest.mark.parametrize("language", CATALOGS)
def test_no_more_texts_are_missing_than_noted(language: str) -> None:
    known = served(read_catalog(LOCALES / f"{language}.po"))
    missing = {text for _, _, text in texts()} - set(known)
    assert len(missing) <= MOST_MISSING[language], f"{len(missing)} texts have no translation"


@pytest.mark.parametrize("language", CATALOGS)
def test_few_translations_are_of_texts_that_are_gone(language: str) -> None:
    gone = set(served(read_catalog(LOCALES / f"{language}.po"))) - {text for _, _, text in texts()}
    assert len(gone) <= MOST_GONE, f"run python3 -m modules.ui.translation: {sorted(gone)}"


def test_texts_are_taken_from_python(tmp_path: Path) -> None:
    path = tmp_path / "tab.py"
    path.write_text(
        '_CHOICES = [("Label one", "value"), ("Label two", "other")]\n'
        'GROUP = "A group"\nKEY = "no_text"\n'
        "def draw(name):\n"
        '    """Not shown."""\n'
        '    gr.Button("Press me", elem_id="no-text")\n'
        '    gr.Textbox(label="Name" if name else "No name", placeholder=f"of {name}")\n'
        '    raise PaddockError(f"{name} is gone. " "Make it " + f"again in {1}.")\n'
    )
    expected = ["Label one", "Label two", "A group", "Press me", "Name", "No name", "of {0}"]
    assert {text for _, text in python_texts(path)} == {*expected, "{0} is gone. Make it again in {1}."}


def test_texts_are_taken_from_markup_titles_and_counts_in_python(tmp_path: Path) -> None:
    path = tmp_path / "part.py"
    path.write_text(
        '_BUTTON = \'<button title="A tip"><span>Wrap</span>\' "</button>"\n'
        'TITLES = ("Note", "Tip")\n'
        "def draw(count):\n"
        "    notes.append(f\"It leaves out {plural(count, 'old message')}.\")\n"
        '    return f"<p>{count} of</p><script>Not(shown)</script>"\n'
    )
    expected = {"A tip", "Wrap", "Note", "Tip", "It leaves out {0}.", "1 old message", "{0} old messages"}
    assert {text for _, text in python_texts(path)} == expected


def test_texts_are_taken_from_scripts_and_markup(tmp_path: Path) -> None:
    script, markup = tmp_path / "a.js", tmp_path / "a.html"
    script.write_text(
        '// Not shown.\nimport { x } from "./x.js";\n'
        'h("p", { class: "some-class", "aria-label": "For readers" }, `${a.b(1)} of ${b} files`);\n'
        'toast("It is " + "done. Look at " + `${name}.`);\nif (key === "Escape" || key === "ArrowDown") x();\n'
    )
    expected = ["For readers", "{0} of {1} files", "It is done. Look at {0}."]
    assert [text for _, text in script_texts(script)] == expected
    markup.write_text('<p class="x" title="A tip">Version {{version}}</p><i data-icon="up"></i>')
    assert [text for _, text in markup_texts(markup)] == ["A tip", "Version {0}"]


@pytest.mark.parametrize(
    ("choice", "accepted", "expected"),
    [
        ("", "", "en"),
        ("", "de-CH,de;q=0.9,en;q=0.8", "de"),
        ("", "en-GB,de;q=0.9", "en"),
        ("", "fr,ar;q=0.3,de;q=0.5", "de"),
        ("", "ar-EG", "ar"),
        ("", "de;q=0,ar;q=0.1", "ar"),
        ("", "<script>,;;q=x,de;q=1..2", "en"),
        ("de", "ar", "de"),
        ("en", "de", "en"),
        ("xx", "ar", "ar"),
    ],
)
def test_the_language_is_the_choice_else_the_browsers(choice: str, accepted: str, expected: str) -> None:
    assert choose_language(choice, accepted) == expected


def test_a_right_to_left_language_ships() -> None:
    assert {direction(language) for language in languages()} == {"ltr", "rtl"}
    assert set(languages()) == set(NAMES)
