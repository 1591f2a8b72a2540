"""modules.shared: the global state of text-generation-webui."""

from __future__ import annotations

import contextlib
import logging
import threading
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.compat.facade.base import FacadeModule
from modules.compat.facade.model import model_of
from modules.compat.facade.state import interface_state
from modules.compat.facade.tokenizer import Tokenizer
from modules.plugins.request_model import hook_model

if TYPE_CHECKING:
    from modules.compat.facade import Facade

# Flags of text-generation-webui that scripts read, with their defaults.
_FLAGS: dict[str, Any] = {
    "api": True,
    "api_port": None,
    "api_streaming_port": None,
    "auto_devices": False,
    "bf16": False,
    "chat": True,
    "chat_buttons": False,
    "cpu": False,
    "deepspeed": False,
    "flexgen": False,
    "gradio_auth": None,
    "load_in_4bit": False,
    "load_in_8bit": False,
    "lora": None,
    "monkey_patch": False,
    "multi_user": False,
    "no_stream": False,
    "nowebui": False,
    "public_api": False,
    "public_api_id": None,
    "share": False,
    "trust_remote_code": False,
    "verbose": False,
}


class Shared(FacadeModule):
    """Reading returns Paddock's current values. `gradio`: the page's components by name; `args`, `settings`,
    `processing_message` and attributes of scripts can be written, which changes nothing in Paddock itself."""

    is_multimodal = False
    is_seq2seq = False
    model_dirty_from_training = False
    need_restart = False
    session_is_loading = False
    steered_model = None

    def __init__(self, name: str, facade: Facade) -> None:
        super().__init__(name, facade)
        self._stops: list[Callable[[], None]] = []
        self._stopped = False
        self._wanted = "None"
        self._tokenizer: Tokenizer | None = None
        self.gradio = facade.widgets
        self.args = _Args(facade)
        self.settings = _settings(facade)
        self.default_settings = dict(self.settings)
        self.logger: logging.Logger = facade.module("modules.logging_colors").logger
        self.generation_lock = threading.RLock()
        self.processing_message = "*Is typing...*"
        self.persistent_interface_state: dict[str, Any] = {}

    @property
    def model_name(self) -> str:
        """The loaded model's name; without one, the value that a script set, or "None"."""
        state = hook_model(self._app).state
        return state.model if state.phase == "ready" else self._wanted

    @model_name.setter
    def model_name(self, name: str) -> None:
        self._wanted = str(name)

    @property
    def model(self) -> object:
        """The loaded model as far as it is accessible, None without one. See facade/model.py."""
        return model_of(self._facade)

    @model.setter
    def model(self, model: object) -> None:
        """Accept the result of `load_model`, or None. Loading or unloading has already been done."""

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The loaded model's tokenizer, None without a model: the same object while the model is loaded."""
        state = hook_model(self._app).state
        if state.phase != "ready":
            return None
        if self._tokenizer is None or self._tokenizer.info is not state.info:
            self._tokenizer = Tokenizer(self._app)
        return self._tokenizer

    @tokenizer.setter
    def tokenizer(self, tokenizer: object) -> None:
        """Accept a value, like `model`."""

    @property
    def lora_names(self) -> list[str]:
        """The applied adapters."""
        return list(hook_model(self._app).state.adapters)

    @lora_names.setter
    def lora_names(self, names: object) -> None:
        """Ignore the value: `add_lora_to_model` and the Model tab apply adapters."""

    @property
    def bos_token(self) -> str:
        """The text of the model's first token, or ""."""
        info = hook_model(self._app).state.info
        return info.bos if info else ""

    @property
    def eos_token(self) -> str:
        """The text of the model's last token, or ""."""
        info = hook_model(self._app).state.info
        return info.eos if info else ""

    @property
    def character(self) -> str:
        """The character of new chats, "None" without one."""
        return str(self._app.settings.get("character", "") or "None")

    @property
    def user_data_dir(self) -> Path:
        """The folder of the user's files."""
        return self._app.paths.user_data

    @property
    def reload_inputs(self) -> list[Any]:
        """The components whose values `redraw_html` takes, of the page that is being built."""
        page = self._facade.module("modules.ui_chat")
        return [self.gradio[name] for name in page.reload_arr]

    @property
    def input_elements(self) -> list[str]:
        """The names of the components whose values make up the state."""
        page = self._facade.module("modules.ui")
        return list(page.list_interface_input_elements())

    @property
    def stop_everything(self) -> bool:
        """Set it to True to stop all generations: of scripts, and in the chats."""
        return self._stopped

    @stop_everything.setter
    def stop_everything(self, stop: bool) -> None:
        self._stopped = bool(stop)
        if stop:
            for cancel in list(self._stops):
                cancel()
            for head in self._app.chats.chats():
                self._app.chats.stop(head.id)

    def is_chat(self) -> bool:
        """True: Paddock's page is a chat."""
        return True

    @contextlib.contextmanager
    def stopping(self, cancel: Callable[[], None]) -> Iterator[None]:
        """Within the block, call `cancel` when `stop_everything` is set."""
        self._stops.append(cancel)
        try:
            yield
        finally:
            self._stops.remove(cancel)


class _Args(Namespace):
    """text-generation-webui's flags. Flags that Paddock has too have its values until a script writes them."""

    def __init__(self, facade: Facade) -> None:
        super().__init__(**_FLAGS)
        self.__dict__["_facade"] = facade

    def __getattr__(self, name: str) -> object:
        app = self.__dict__["_facade"].app
        state = hook_model(app).state
        context = state.info.context if state.info else 0
        known: dict[str, Callable[[], Any]] = {
            "extensions": lambda: [running.name for running in app.extensions.running.in_order()],
            "listen": lambda: app.config.listen,
            "listen_host": lambda: app.config.host,
            "listen_port": lambda: app.config.port,
            "model": lambda: state.model or None,
            "loader": lambda: state.loader or None,
            "model_dir": lambda: str(app.paths.models),
            "lora_dir": lambda: str(app.paths.models),
            "user_data_dir": lambda: str(app.paths.user_data),
            "disk_cache_dir": lambda: str(app.paths.user_data / "cache"),
            "ctx_size": lambda: context,
            "n_ctx": lambda: context,
            "max_seq_len": lambda: context,
        }
        if name not in known:
            raise AttributeError(f"Paddock has no flag that corresponds to shared.args.{name}")
        return known[name]()


def _settings(facade: Facade) -> dict[str, object]:
    """The settings in text-generation-webui's format: the page's initial values, and `<extension>-<param>`."""
    app = facade.app
    more = {
        "character": str(app.settings.get("character", "") or "None"),
        "preset": app.sampling.preset_name(),
        "max_new_tokens_min": 1,
        "max_new_tokens_max": 4096,
        "dark_theme": True,
        "chat_prompt_size": 2048,
        "prompt-notebook": "",
        "default_extensions": [],
    }
    state = {name: value for name, value in interface_state(app).items() if name not in ("history", "unique_id")}
    return {**state, **more, **app.settings.items()}
