"""Opens the knowledge of an account."""

from __future__ import annotations

from collections.abc import Callable

from modules.chat.knowledge.definitions import Definitions
from modules.chat.knowledge.index_database import IndexDatabase
from modules.chat.knowledge.knowledge import Knowledge
from modules.chat.knowledge.vectors import Embed, Vectors
from modules.files.paths import Paths
from modules.settings.preferences import Preferences
from modules.settings.user_settings import YamlStore


def open_knowledge(
    paths: Paths, settings: Preferences, embed: Embed, may_choose_folders: Callable[[], bool] = lambda: True
) -> Knowledge:
    """Return the knowledge of these paths. The arguments are those of Vectors and Knowledge."""
    folder = paths.knowledge
    return Knowledge(
        Definitions(YamlStore(paths.knowledge_list), folder / "files"),
        IndexDatabase(folder / "index.sqlite3"),
        Vectors(folder / "vectors", paths.knowledge_packages, embed),
        settings,
        may_choose_folders,
    )
