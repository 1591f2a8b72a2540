"""Settings for prompts: those of the Session tab, the character and the chat template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from modules.chat.characters import Characters, fill_in
from modules.chat.chat_knowledge import ChatKnowledge
from modules.chat.messages import ChatHead, ChatOptions
from modules.chat.roleplay.scene_settings import scene_options
from modules.chat.service import ChatService
from modules.families.reasoning import EFFORT, THINKING_SWITCHES, find_markers, reads_variable
from modules.protocol import schema
from modules.protocol.errors import PaddockError, SettingError
from modules.protocol.sampling import SamplingParams
from modules.protocol.sampling_texts import TEXT_PARSERS
from modules.settings.preferences import Preferences
from modules.settings.sampling_preferences import SamplingPreferences

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
        sampling: SamplingPreferences,
    ) -> None:
        self._sampling = sampling
        self._settings = settings
        self._characters = characters
        self._chats = chats
        self._model = model

    def options(self, chat_id: str = "") -> ChatOptions:
        """Return the options for prompts of this chat. A chat has its own character. Raises SettingError.

        The system prompt is the chat's own, else that of its folder, else that of the Session tab.
        """
        settings = self._settings
        own = self._chats().settings.get(chat_id) if chat_id else {}
        overflow = own.get("overflow") or settings.get("overflow", "cut")
        if overflow not in ("cut", "summarize", "refuse"):
            raise SettingError(
                f"overflow cannot be {overflow!r}. It takes cut, summarize or refuse: choose one on the Session tab."
            )
        options = ChatOptions(
            template=self.template(str(own.get("model") or self._model())),
            system=str(own.get("system") or self.inherited_system(chat_id)),
            overflow=overflow,
            name1=str(settings.get("name1", "") or "You"),
            name2=str(settings.get("name2", "") or "AI"),
            character=self._chats().head(chat_id).character if chat_id else str(settings.get("character", "")),
            thinking=_THINKING.get(str(settings.get("thinking", ""))),
            effort=str(settings.get("effort", "")),
            thinking_budget=self._budget(),
            knowledge=self.knowledge.names(chat_id),
        )
        return scene_options(options, own, self._chats().personas)

    def inherited_system(self, chat_id: str = "") -> str:
        """Return the system prompt of a chat without one: that of its folder, else that of the Session tab."""
        folder = self._chats().folders.of_chat(chat_id) if chat_id else None
        return str((folder.settings.get("system") if folder else "") or self._settings.get("system", ""))

    def params(self, chat_id: str) -> SamplingParams:
        """Return the parameters for replies in this chat: its preset, else those of the page, with its own changes.

        Raises PaddockError for a preset that is missing, SettingError for a wrong value.
        """
        own = self._chats().settings.get(chat_id)
        preset, changes = own.get("preset"), own.get("parameters")
        try:
            params = self._sampling.preset(str(preset)) if preset else self._sampling.params()
            return check_parameters(params, changes) if isinstance(changes, Mapping) else params
        except PaddockError as error:
            raise PaddockError(f"{error.message} Change it under This chat.", detail=error.detail) from error

    @property
    def knowledge(self) -> ChatKnowledge:
        """Which knowledge chats use."""
        chats = self._chats()
        return ChatKnowledge(chats.settings, chats.folders, self._settings)

    def _budget(self) -> int:
        budget = self._settings.get("thinking_budget", 0)
        if not isinstance(budget, int) or not 0 <= budget <= MOST_THINKING:
            raise SettingError(
                f"thinking_budget cannot be {budget!r}. It takes a whole number up to {MOST_THINKING:,}; 0 is no limit."
            )
        return budget

    def new_chat(self, *, temporary: bool = False, folder: str = "") -> ChatHead:
        """Create a chat with the character of the Session tab. Raises CharacterError, SettingError.

        `temporary`: in memory only; `folder`: the id of the folder to put it into, or "".
        """
        options = self.options()
        head = self._chats().create(options.character, options.name1, temporary=temporary)
        if folder:
            self._chats().folders.move(head.id, folder)
        return self._chats().head(head.id)

    def greeting(self) -> dict[str, str] | None:
        """Return {"name", "greeting"} of the character of a new chat, or None if there is none that can be read."""
        options = self.options()
        try:
            who = self._characters.load(options.character) if options.character else None
        except PaddockError:
            return None
        if who is None:
            return None
        return {"name": who.name, "greeting": fill_in(who.greeting, options.name1, who.spoken_name).strip()}

    def user_name(self, character: str) -> str:
        """Return what a new chat with this character calls the user."""
        options = replace(self.options(), character=character)
        return scene_options(options, {}, self._chats().personas).name1

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


def check_parameters(params: SamplingParams, changes: Mapping[str, object]) -> SamplingParams:
    """Return the parameters with these changes. Raises SettingError for a wrong name or value."""
    changed = schema.build(SamplingParams, {**schema.changed_values(params), **changes})
    for read in TEXT_PARSERS.values():
        read(changed)
    return changed


def unknown_to_template(options: ChatOptions, template: str) -> list[str]:
    """Return what of the options for thinking a chat template does not know, such as "switch for thinking"."""
    wanted = {
        "switch for thinking": options.thinking is not None and not reads_variable(template, *THINKING_SWITCHES),
        "effort of thinking": bool(options.effort) and not reads_variable(template, EFFORT),
        "mark for the end of thinking": options.thinking_budget > 0 and not find_markers(template),
    }
    return [what for what, unknown in wanted.items() if unknown]
