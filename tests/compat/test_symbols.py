"""The table of names, the facade and the docs agree."""

from __future__ import annotations

import pytest

from modules.compat.facade.symbols import ABSENT, FULL, PARTIAL, SYMBOLS
from modules.compat.name_reference import PAGE, with_table
from tests.compat.conftest import Stage


def test_the_facade_has_what_the_table_says_and_nothing_else_of_it(stage: Stage) -> None:
    facade = stage.app.scripts.facade
    wrong = [name for name, (there, _) in SYMBOLS.items() if facade.has(name) != (there != ABSENT)]
    assert not wrong


def test_incomplete_names_have_a_remark() -> None:
    assert {there for there, _ in SYMBOLS.values()} == {FULL, PARTIAL, ABSENT}
    assert all(remark for there, remark in SYMBOLS.values() if there != FULL)


def test_the_docs_contain_the_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_table(page) == page, "run python3 -m modules.compat.name_reference"


@pytest.mark.parametrize("name", ["modules.chat.nothing", "modules.nothing", "modules.shared.args.nothing"])
def test_a_name_outside_of_the_table_is_not_there(stage: Stage, name: str) -> None:
    assert not stage.app.scripts.facade.has(name)
