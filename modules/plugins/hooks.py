"""The hooks, each declared once: an empty function whose docstring says when it runs and what it may return.

An extension defines functions with these names. Each takes, by name, only the arguments that it needs. Every hook may
also take `settings` (the extension's own settings) and `host` (`modules.plugins.extension_host.Host`).
`docs/extensions.md` is generated from this file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modules.plugins.extension_host import Host


def setup(settings: Any, host: Host) -> None:
    """Runs once, when the extension is switched on, before any other hook.

    Returns nothing. Use it for work that must not happen at import, such as opening files or starting a service.

        def setup(host):
            host.data.mkdir(exist_ok=True)
    """


def ui(settings: Any, host: Host) -> None:
    """Runs when the page is built. The components made here appear below the chat. With `params = {"is_tab": True}`
    they get their own tab.

    Returns nothing. Plain Gradio; the components may call functions of the extension.

        def ui():
            gr.Markdown("Hello from an extension.")
    """


def custom_css(settings: Any, host: Host) -> str | None:
    """Runs when the page is built. Returns CSS, which is added after the page's own.

    def custom_css():
        return ".message-body { font-family: serif }"
    """


def custom_js(settings: Any, host: Host) -> str | None:
    """Runs when the page is built. Returns JavaScript, which runs once the page has loaded and the components of `ui`
    are in it. Each extension's script runs separately: an error in it stops no other script and is shown on the
    extension's card.

        def custom_js():
            return "console.log('Paddock has an extension')"
    """


def params() -> dict[str, Any] | None:
    """A dictionary of the module, not a function. It is read when the extension is switched on.

    `display_name`: the title on the page. `is_tab`: give `ui` its own tab.

        params = {"display_name": "Dice", "is_tab": False}
    """


def history_modifier(history: dict[str, Any], settings: Any, host: Host) -> dict[str, Any] | None:
    """Runs first in each turn, on a copy of the chat as the prompt will contain it. The stored chat never changes.

    `history` is {"internal": [[user, reply], …], "visible": [[user, reply], …]}. A reply without a question has "" for
    the user's half. For Regenerate and Continue, the last pair is the current turn: the message to answer and the reply
    so far. A message that was just sent is not in it yet.

    Returns the history, or None after changing it in place. Changes to the current turn's pair apply to the prompt. If
    the hook removes that pair, the turn is answered unchanged.

        def history_modifier(history):
            history["internal"] = history["internal"][-3:]
            return history
    """


def state_modifier(state: dict[str, Any], settings: Any, host: Host) -> dict[str, Any] | None:
    """Runs once in each turn, after `history_modifier`. `state` holds the sampling parameters by name, `name1`,
    `name2`, `context` (the character's, or the user's system message in a chat without a character),
    `custom_system_message` (the user's), `character_menu` ("None" without a character), `history` (as
    `history_modifier` left it), `unique_id` (the chat; "" in the Notebook and for API clients), `truncation_length`,
    `stream`, `mode` and more.

    Returns the state, or None after changing it in place. Sampling parameters, names, context and template take effect.

        def state_modifier(state):
            state["temperature"] = 0.2
            return state
    """


def chat_input_modifier(
    text: str, visible_text: str, state: dict[str, Any], settings: Any, host: Host
) -> tuple[str, str] | None:
    """Runs on a message that was just sent, or edited and sent again, before `input_modifier`.

    Returns (text for the prompt, text shown on the page), or None to change nothing.

        def chat_input_modifier(text, visible_text):
            return text.replace(":)", "(the user smiles)"), visible_text
    """


def input_modifier(string: str, state: dict[str, Any], is_chat: bool, settings: Any, host: Host) -> str | None:
    """Runs on a message that was just sent, or edited and sent again. In the Notebook and for API clients that complete
    a text, it runs on that text, with `is_chat` False. Returns the text for the prompt; the page still shows the
    original message.

        def input_modifier(string):
            return string + " Answer in one sentence."
    """


def custom_generate_chat_prompt(
    user_input: str, state: dict[str, Any], history: dict[str, Any], is_continue: bool, settings: Any, host: Host
) -> str | None:
    """Runs instead of the chat template. `history` holds the turns before `user_input`. With `is_continue`, the model
    continues the last reply in it.

    Returns the whole prompt, or None to let Paddock build it. The first extension that returns a text is used.

        def custom_generate_chat_prompt(user_input, state):
            return f"{state['context']}\\nQ: {user_input}\\nA:"
    """


def bot_prefix_modifier(string: str, state: dict[str, Any], settings: Any, host: Host) -> str | None:
    """Runs on the text that the model's reply starts with, which is "" at first. Returns the new start. The model
    continues from it, and the page shows it as part of the reply.

        def bot_prefix_modifier(string):
            return string + "Sure:"
    """


def custom_tokenized_length(prompt: str, settings: Any, host: Host) -> int | None:
    """Runs when Paddock needs the length of a prompt, to fit it into the context. Use it for prompts that hold more
    than text, such as pictures.

    Returns the length in tokens, or None. The first extension that returns a number is used.

        def custom_tokenized_length(prompt):
            return len(prompt) // 4
    """


def custom_generate_reply(
    question: str,
    original_question: str,
    state: dict[str, Any],
    stopping_strings: list[str],
    is_chat: bool,
    settings: Any,
    host: Host,
) -> Iterator[str] | str | None:
    """Runs instead of the model. `question` is the prompt.

    Returns the reply, yields the reply so far repeatedly, or returns None to let the model answer. The first extension
    that answers is used.

        def custom_generate_reply(question):
            yield "I am"
            yield "I am no model."
    """


def stream_modifier(
    text: str, shown: str, final: bool, state: dict[str, Any], settings: Any, host: Host
) -> str | tuple[str, str] | None:
    """Runs each time text arrives from the model. `text` is the new text, preceded by text held back last time.
    `shown` is all text shown so far. `final` is True if no more text will come.

    Returns the text to show, or a pair: the text to show, and the text to hold back and receive again before the next
    new text. None shows `text` unchanged.

        def stream_modifier(text, final):
            end = len(text) if final else text.rfind(" ") + 1  # the last word may be incomplete
            return text[:end].replace("colour", "color"), text[end:]
    """


def output_modifier(string: str, state: dict[str, Any], is_chat: bool, settings: Any, host: Host) -> str | None:
    """Runs once on the whole reply, after it has ended. Returns the text that is shown, stored in the Notebook, or
    sent to an API client. Later prompts of a chat use the text that the model wrote. While an extension with this hook
    is on, a streaming API client receives the text at the end, because sent text cannot be changed.

        def output_modifier(string):
            return string.upper()
    """


def tools(settings: Any, host: Host) -> list[dict[str, Any]] | None:
    """Runs when Paddock needs the list of tools. Returns a list of {"name", "description", "parameters" (a JSON
    schema), "call" (a function that takes those parameters by name and returns a text)}. The user switches them on for
    a chat, and allows each call. A client may call one at `/extensions/<name>/tools/<tool>`.

        def tools():
            return [{"name": "now", "description": "The time", "parameters": {}, "call": lambda: time.ctime()}]
    """


def api_routes(settings: Any, host: Host) -> dict[str, Callable[..., Any]] | None:
    """Runs when the extension is switched on. Returns functions by method and path. They answer at
    `/extensions/<name>/<path>`. A function takes one `ApiRequest` and returns a JSON value, a text, bytes, or a
    Starlette response.

    A path that begins with `/v1/audio/`, `/v1/images/` or is `/v1/moderations` answers there, as OpenAI's API would.
    Such a route is open to every client of the API, also with the API key.

        def api_routes():
            return {"GET hello": lambda request: {"hello": request.query.get("who", "world")}}
    """


def teardown(settings: Any, host: Host) -> None:
    """Runs when the extension is switched off, and when Paddock ends. Returns nothing. Close here what `setup` opened.

    def teardown():
        connection.close()
    """


def tokenizer_modifier(
    state: dict[str, Any], prompt: str, input_ids: Any, input_embeds: Any, settings: Any, host: Any
) -> tuple[str, Any, Any] | None:
    """Runs in the worker, from the file `worker.py`, on each prompt after tokenization.

    `input_ids` has the shape [1, tokens] (a torch tensor with Transformers, a numpy array with llama.cpp).
    `input_embeds` is None. A prompt with images or sounds is left out. Returns (prompt, input_ids, input_embeds); None
    changes nothing.

        def tokenizer_modifier(prompt, input_ids, input_embeds):
            return prompt, input_ids[:, -512:], input_embeds
    """


def logits_processor_modifier(processor_list: list[Any], input_ids: Any, settings: Any, host: Any) -> None:
    """Runs in the worker, from the file `worker.py`, once for each reply, before its first token. Append functions to
    `processor_list`. Each takes (input_ids [1, tokens], scores [1, vocabulary]) and returns the scores, as in
    Transformers.

    Returns nothing.

        def logits_processor_modifier(processor_list, input_ids):
            processor_list.append(lambda input_ids, scores: scores / 2)
    """


def logits_modifier(
    tokens: list[int], logits: Any, prompt_length: int, ends: list[int], settings: Any, host: Any
) -> Any:
    """Runs in the worker, from the file `worker.py`, before each token is chosen and before all samplers.

    `tokens`: the prompt and the reply so far. `prompt_length`: the number of prompt tokens in it. `ends`: the tokens
    that end a reply. `logits`: shape [vocabulary], a torch tensor with Transformers, a numpy array with llama.cpp.
    Returns logits of the same shape, or None after changing them in place.

        def logits_modifier(tokens, logits):
            logits[tokens[-1]] -= 5.0  # never the same token twice
    """


# These run in the worker's process, from the file worker.py.
WORKER_HOOKS = ("tokenizer_modifier", "logits_processor_modifier", "logits_modifier")
# These are not functions.
ATTRIBUTES = ("params",)
