"""Loads scripts of text-generation-webui: one facade and one import redirection per App."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.chat.characters import Character
from modules.compat import working_directory as workdir
from modules.compat.bridge import Bridge
from modules.compat.facade import Facade
from modules.compat.facade.state import State
from modules.compat.folder_aliases import own_names
from modules.compat.import_redirect import Redirect
from modules.compat.script_hooks import ScriptPlugin
from modules.compat.widgets import Widgets
from modules.plugins.extension_host import Host
from modules.plugins.folders import ExtensionFolder

if TYPE_CHECKING:
    from modules.app import App


class Scripts:
    """Loads scripts for one App. `close` ends the redirection of imports. `skipped_hooks`: hooks that are ignored in
    scripts."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.skipped_hooks: tuple[str, ...] = ()
        self.bridge = Bridge()
        self.widgets = Widgets(app, self.bridge, self._draw, lambda file: self._module("utils").delete_file(file))
        self.facade = Facade(app, self.widgets)
        self.redirect = Redirect(self.facade.module, lambda: self.bridge, self._folder_of)
        if not app.paths.characters.is_dir():
            # Scripts use the first character without checking that there is one: text-generation-webui ships some.
            app.characters.save("Assistant", Character("Assistant", greeting="Hello! How can I help?"))
        self.folder = workdir.prepare(app.paths)
        app.extensions.loader.set_working_directory(self.folder)

    def read(self, found: ExtensionFolder, host: Host) -> object:
        """Import a script and return a plugin. Raises what its code raises."""
        names = (found.name, *own_names(found.path, self._app.extensions.available()))
        workdir.add(self.folder, names, found.path)
        middlewares = self.facade.module("extensions.openai.script").app.around
        middlewares[found.name] = []
        module = self.redirect.load(found.name, found.path)
        prefix = f"{found.name}-"
        settings = self._app.settings.items()
        overrides = {key.removeprefix(prefix): value for key, value in settings.items() if key.startswith(prefix)}
        plugin = ScriptPlugin(module, overrides, host.values)
        for hook in self.skipped_hooks:
            vars(plugin).pop(hook, None)
        plugin.names = names
        plugin.http_middlewares = middlewares[found.name]
        plugin.notes = lambda: self.bridge.notes.of(found.name)
        return plugin

    def close(self) -> None:
        """Stop redirecting imports."""
        self.redirect.close()

    def _module(self, name: str) -> Any:
        return self.facade.module(f"modules.{name}")

    def _draw(self, state: State) -> str:
        chat = self._module("chat")
        return str(chat.redraw_html(*(state[key] for key in self._module("ui_chat").reload_arr)))

    def _folder_of(self, name: str) -> Path | None:
        found = self._app.extensions.available().get(name)
        if found and (found.problem or not self._app.extensions.consent.is_given(found)):
            raise ImportError(f"the extension {name} is not allowed to run yet: switch it on first")
        if found:
            self._app.extensions.loader.allow_imports(found)
        return found.path if found else None
