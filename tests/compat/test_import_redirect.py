"""Which imports are redirected, and to which modules."""

from __future__ import annotations

import importlib
import signal
import sys

import pytest

from modules.protocol.errors import PaddockError
from tests.compat.conftest import Stage
from tests.plugins.test_code_allowlist import forge


def test_every_way_to_import_a_host_module_leads_to_the_facade(stage: Stage) -> None:
    module = stage.script(
        "many",
        """
        import importlib
        import modules
        import modules.shared
        import modules.shared as shared
        from importlib import import_module
        from modules import chat, shared as again
        from modules.logging_colors import logger
        from modules.text_generation import *

        def found():
            import modules.utils as late
            both = import_module("modules.shared"), importlib.import_module("modules.shared")
            return [modules.shared, shared, again, *both]

        def executed():
            names = {}
            exec("import modules.shared as inner", names)
            return names["inner"]
        """,
    )
    facade = stage.facade("modules.shared")
    assert all(one is facade for one in [*module.found(), module.executed()])
    assert callable(module.generate_reply) and module.logger.name == "text-generation-webui"


def test_our_own_modules_and_others_imports_stay_as_they_are(stage: Stage) -> None:
    before = importlib.import_module("modules.chat")
    stage.script("any", "from modules import chat\nimport json, os.path")
    assert importlib.import_module("modules.chat") is before and "modules.shared" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("modules.shared")


def test_files_beside_the_script_are_redirected_too(stage: Stage) -> None:
    module = stage.script(
        "parts",
        """
        import os, sys
        from .helper import shared as one
        from extensions.parts.helper import shared as two
        sys.path.append(os.path.dirname(os.path.abspath(__file__)))
        import parts_by_path as by_path
        sys.path.pop()
        """,
        helper_py="import modules.shared as shared",
        parts_by_path_py="from modules import shared",
    )
    assert module.one is module.two is module.by_path.shared is stage.facade("modules.shared")


def test_scripts_import_themselves_and_each_other(stage: Stage) -> None:
    first = stage.script("first", "import extensions.first.words as words\nparams = {'n': 1}", words_py="TEXT = 'hi'")
    second = stage.script(
        "second",
        """
        import extensions.first.script as neighbour
        from extensions.first import words
        from user_data.extensions.first.script import params
        import user_data.extensions.first.words
        """,
    )
    assert second.neighbour is first and second.words is first.words and second.params is first.params


def test_a_script_in_a_folder_of_another_name_finds_itself(stage: Stage) -> None:
    module = stage.script(
        "repo-name",
        """
        import extensions.proper.words as words
        from extensions.proper import words as again
        from extensions.proper.words import shared
        """,
        words_py="from modules import shared",
    )
    assert module.words is module.again and module.shared is stage.facade("modules.shared")


def test_another_extension_is_not_taken_for_the_script_itself(stage: Stage) -> None:
    assert stage.script("webui-my-dice", "from extensions.my_dice import script").script is not None
    for code in ("from extensions.gallery import script", "import extensions.gallery.script"):
        with pytest.raises(PaddockError, match=r"extensions\.gallery"):
            stage.script("ducking", code)


def test_a_host_module_shipped_by_an_extension_is_only_its_own(stage: Stage) -> None:
    code = """
        from modules import shared, preprocessor
        import modules.preprocessor as again
        from modules.more import text
        """
    files = {"preprocessor_py": "KIND = 1", "modules/more.py": "text = 'more'"}
    module = stage.script("bringer", code, **files)
    assert module.preprocessor is module.again and module.text == "more"
    assert module.shared is stage.facade("modules.shared")
    with pytest.raises(PaddockError, match=r"modules\.preprocessor"):
        stage.script("other", "from modules import preprocessor")


def test_an_extension_without_consent_cannot_be_imported_by_another(stage: Stage) -> None:
    folder = stage.root / "secret"
    folder.mkdir(parents=True)
    (folder / "script.py").write_text("raise SystemExit")
    with pytest.raises(PaddockError, match="secret"):
        stage.script("nosy", "from extensions.secret import script")


def test_a_name_missing_in_the_facade_is_named(stage: Stage) -> None:
    with pytest.raises(PaddockError, match=r"modules\.no_such_room"):
        stage.script("lost", "import modules.no_such_room")
    with pytest.raises(PaddockError, match="no_such_name"):
        stage.script("lost2", "from modules.chat import no_such_name")
    module = stage.script("guarded", "try:\n    import modules.gone\nexcept ImportError:\n    without = True")
    assert module.without


def test_what_cannot_exist_here_can_be_imported_and_says_so_when_called(stage: Stage) -> None:
    module = stage.script(
        "deep",
        """
        import modules.training
        from modules.evaluate import calculate_perplexity
        from modules.llama_cpp_python_hijack import llama_cpp_lib
        """,
    )
    for function in (module.calculate_perplexity, module.llama_cpp_lib):
        with pytest.raises(PaddockError, match="cannot exist in Paddock"):
            function("x")


def test_disabling_and_enabling_reloads_the_files(stage: Stage) -> None:
    assert stage.script("twice", "VALUE = 1").VALUE == 1
    stage.manager.disable("twice")
    assert stage.script("twice", "VALUE = 2").VALUE == 2


def test_handlers_of_signals_stay_paddocks(stage: Stage) -> None:
    before = signal.getsignal(signal.SIGINT)
    module = stage.script("loud", "import signal\nwas = signal.signal(signal.SIGINT, print)")
    assert module.was is before is signal.getsignal(signal.SIGINT)


def test_no_cached_bytecode_of_a_script_is_read(stage: Stage) -> None:
    stage.script("mine", "from extensions.mine.words import WORD", words_py="WORD = 'honest'")
    stage.manager.disable("mine")
    for name in ("script.py", "words.py"):
        forge(stage.folder("mine") / name, "WORD = 'evil!!'")
    stage.manager.enable("mine")
    running = stage.manager.running.get("mine")
    assert running is not None and running.plugin.module.WORD == "honest"
    assert not list(stage.folder("mine").rglob("*.tmp")) and len(list(stage.folder("mine").rglob("*.pyc"))) == 2


def test_another_extension_is_imported_as_it_was_agreed_to(stage: Stage) -> None:
    stage.script("library", "WORD = 'honest'")
    stage.manager.disable("library")
    forge(stage.folder("library") / "script.py", "WORD = 'evil!!'")
    assert stage.script("user", "from extensions.library.script import WORD").WORD == "honest"
