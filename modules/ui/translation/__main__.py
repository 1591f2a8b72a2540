"""`python3 -m modules.ui.translation`: take the texts of the page from its sources, and renew the catalogs.

It writes modules/ui/locales/page.pot, merges it into each .po file beside it, and writes each of them as JSON into
modules/ui/static/locales/ for the browser. It needs Babel (requirements/dev.txt). To begin a language:
`python3 -m modules.ui.translation fr`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from modules.files.paths import write_atomically
from modules.ui.translation.markup_texts import markup_texts
from modules.ui.translation.python_texts import python_texts
from modules.ui.translation.script_texts import script_texts

ROOT = Path(__file__).resolve().parents[3]
LOCALES = ROOT / "modules" / "ui" / "locales"
SERVED = ROOT / "modules" / "ui" / "static" / "locales"
TEMPLATE = LOCALES / "page.pot"
# What draws the page, and what declares the settings that it shows.
_PYTHON = (
    "modules/ui/**/*.py",
    "modules/protocol/sampling*.py",
    "modules/protocol/token_choice.py",
    "modules/families/**/*.py",
    "loaders/*/spec.py",
)
# Their errors are for those who change the page.
_NOT_SHOWN = ("joined_scripts.py",)
_UNUSED = tuple(
    f'"{name}: '
    for name in ("Project-Id-Version", "Report-Msgid-Bugs-To", "POT-Creation-Date", "PO-Revision-Date")
    + ("Last-Translator", "Language-Team", "Generated-By")
)
_HEADER = """\
# Texts of Paddock's page. `python3 -m modules.ui.translation` writes this file."""


def texts() -> Iterator[tuple[str, int, str]]:
    """Yield (file, line, text) of every text of the page, in the order of the files' names."""
    found = [(path, python_texts) for pattern in _PYTHON for path in ROOT.glob(pattern)]
    found += [(path, script_texts) for path in (ROOT / "modules" / "ui" / "static").rglob("*.js")]
    found += [(path, markup_texts) for path in (ROOT / "modules" / "ui" / "fragments").glob("*.html")]
    for path, read in sorted(found):
        if "translation" in path.parts or path.name in _NOT_SHOWN:
            continue
        for line, text in read(path):
            if text.strip():
                yield path.relative_to(ROOT).as_posix(), line, text.strip()


def template() -> Catalog:
    """Return the texts as a catalog without translations."""
    made = Catalog(project="Paddock", header_comment=_HEADER, charset="utf-8")
    for file, _, text in texts():
        # Without lines, because every change of a file would change them.
        made.add(text, locations=[(file, None)])  # type: ignore[list-item]
    return made


def read_catalog(path: Path) -> Catalog:
    """Return the catalog in a .po file. Its name is the language."""
    with path.open("rb") as file:
        return read_po(file, locale=path.stem)


def served(catalog: Catalog) -> dict[str, str]:
    """Return the texts that the browser needs: those that are translated."""
    return {
        str(message.id): str(message.string)
        for message in catalog
        if message.id and message.string and not message.fuzzy
    }


def write(catalog: Catalog, path: Path, header: bool = True) -> None:
    """Write a catalog as a .po file."""
    file = BytesIO()
    write_po(file, catalog, width=100, omit_header=not header, sort_output=False, ignore_obsolete=True)
    lines = file.getvalue().decode("utf-8").splitlines(keepends=True)
    # Dates and names that no one filled in.
    write_atomically(path, "".join(line for line in lines if not line.startswith(_UNUSED) and line != "#, fuzzy\n"))


def write_served(catalog: Catalog, language: str) -> None:
    """Write the JSON file of a language."""
    text = json.dumps(served(catalog), ensure_ascii=False, indent=0, sort_keys=True)
    write_atomically(SERVED / f"{language}.json", text + "\n")


def main() -> None:
    """Renew all catalogs, and make those of the languages that the command line names."""
    write(template(), TEMPLATE, header=False)
    paths = {path.stem: path for path in LOCALES.glob("*.po")}
    paths |= {language: LOCALES / f"{language}.po" for language in sys.argv[1:]}
    for language, path in sorted(paths.items()):
        catalog = read_catalog(path) if path.exists() else Catalog(locale=language, charset="utf-8")
        # Both share the messages from then on, so each language gets a separate template.
        catalog.update(template(), no_fuzzy_matching=True)
        write(catalog, path)
        write_served(catalog, language)
        missing = sum(1 for message in catalog if message.id and not message.string)
        print(f"{language}: {len(catalog) - missing} of {len(catalog)} texts are translated.")


if __name__ == "__main__":
    main()
