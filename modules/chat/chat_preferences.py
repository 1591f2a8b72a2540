"""Settings for prompts: those of the Session tab, the character and the chat template."""

from __future__ import annotations

from collections.abc import Callable

from modules.chat.characters import Characters, fill_in
from modules.chat.messages import ChatHead, ChatOptions
from modules.chat.service import ChatService
from modules.families.reasoning import EFFORT, THINKING_SWITCHES, find_markers, reads_variable
from modules.protocol.errors import PaddockError, SettingError
from modules.settings.preferences import Preferences

# The largest limit for reasoning, in tokens.
MOST_THINKING = 1_000_000
_THINKING = {"on": True, "off": False}


class ChatPreferences:
    """Settings for prompts, read on each call because their file may be edited by hand.

    `chats` opens the chats; `model` returns the name of the loaded model, or "".
    """

    def __init__(
        self,
        settings: Preferences,
        characters: Characters,
        chats: Callable[[], ChatService],
        model: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._characters = characters
        self._chats = chats
        self._model = model

    def options(self, chat_id: str = "") -> ChatOptions:
        """Return the options for prompts of this chat. A chat has its own character. Raises SettingError."""
        settings = self._settings
        overflow = settings.get("overflow", "cut")
        if overflow not in ("cut", "refuse"):
            raise SettingError(
                f"overflow cannot be {overflow!r}. It takes cut or refuse: choose one on the Session tab."
            )
        return ChatOptions(
            template=self.template(self._model()),
            system=str(settings.get("system", "")),
            overflow=overflow,
            name1=str(settings.get("name1", "") or "You"),
            name2=str(settings.get("name2", "") or "AI"),
            character=self._chats().head(chat_id).character if chat_id else str(settings.get("character", "")),
            thinking=_THINKING.get(str(settings.get("thinking", ""))),
            effort=str(settings.get("effort", "")),
            thinking_budget=self._budget(),
        )

    def _budget(self) -> int:
        budget = self._settings.get("thinking_budget", 0)
        if not isinstance(budget, int) or not 0 <= budget <= MOST_THINKING:
            raise SettingError(
                f"thinking_budget cannot be {budget!r}. It takes a whole number up to {MOST_THINKING:,}; 0 is no limit."
            )
        return budget

    def new_chat(self) -> ChatHead:
        """Create a chat with the character of the Session tab. Raises CharacterError, SettingError."""
        options = self.options()
        return self._chats().create(options.character, options.name1)

    def greeting(self) -> dict[str, str] | None:
        """Return {"name", "greeting"} of the character of a new chat, or None if there is none that can be read."""
        options = self.options()
        try:
            who = self._characters.load(options.character) if options.character else None
        except PaddockError:
            return None
        return {"name": who.name, "greeting": fill_in(who.greeting, options.name1, who.name).strip()} if who else None

    def template(self, model: str) -> str:
        """Return the chat template that the user chose for this model, or "" for the model's own."""
        return str(self._settings.get("templates", {}).get(model, ""))

    def set_template(self, model: str, template: str) -> None:
        """Use this chat template for the model from now on. "" restores its own."""
        templates = {**self._settings.get("templates", {}), model: template}
        self._settings.set("templates", {name: text for name, text in templates.items() if text} or None)

    def rename_model(self, old: str, new: str) -> None:
        """Move the chat template of a model to its new name."""
        if template := self.template(old):
            self.set_template(old, "")
            self.set_template(new, template)


def unknown_to_template(options: ChatOptions, template: str) -> list[str]:
    """Return what of the options for thinking a chat template does not know, such as "switch for thinking"."""
    wanted = {
        "switch for thinking": options.thinking is not None and not reads_variable(template, *THINKING_SWITCHES),
        "effort of thinking": bool(options.effort) and not reads_variable(template, EFFORT),
        "mark for the end of thinking": options.thinking_budget > 0 and not find_markers(template),
    }
    return [what for what, unknown in wanted.items() if unknown]
