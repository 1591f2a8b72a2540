"""The hooks, each declared once: an empty function whose docstring says when it runs and what it may return.

An extension writes functions of these names and takes, by name, those of the arguments that it needs. Every hook may
also take `settings` (the extension's own settings) and `host` (`modules.plugins.extension_host.Host`).
`docs/extensions.md` is generated from this file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from modules.plugins.extension_host import Host

PROJECT = "paddock"
_spec = pluggy.HookspecMarker(PROJECT)


@_spec
def setup(settings: Any, host: Host) -> None:
    """Runs once, when the extension is switched on and before anything else of it.

    Returns nothing. For work that must not happen at import: open files, start a service.

        def setup(host):
            host.data.mkdir(exist_ok=True)
    """


@_spec
def ui(settings: Any, host: Host) -> None:
    """Runs when the page is built; the components made here appear below the chat, or, with
    `params = {"is_tab": True}`, on a tab of their own.

    Returns nothing. Plain Gradio; the components may call functions of the extension.

        def ui():
            gr.Markdown("Hello from an extension.")
    """


@_spec
def custom_css(settings: Any, host: Host) -> str | None:
    """Runs when the page is built. Returns CSS, which comes after the page's own.

    def custom_css():
        return ".message-body { font-family: serif }"
    """


@_spec
def custom_js(settings: Any, host: Host) -> str | None:
    """Runs when the page is built. Returns JavaScript, which runs once the page has loaded and what `ui` draws is
    there, apart from that of others: a fault in it stops no other script, and the extension's card names it.

        def custom_js():
            return "console.log('Paddock has an extension')"
    """


@_spec
def params() -> dict[str, Any] | None:
    """Not a function but a dictionary of the module, read when the extension is switched on.

    `display_name`: the title on the page. `is_tab`: `ui` gets a tab of its own.

        params = {"display_name": "Dice", "is_tab": False}
    """


@_spec
def history_modifier(history: dict[str, Any], settings: Any, host: Host) -> dict[str, Any] | None:
    """Runs first in each turn, on a copy of the chat as the prompt will hold it; the stored chat is never changed.

    `history` is {"internal": [[user, reply], …], "visible": [[user, reply], …]}; a reply without a question has "" for
    the user's half. With Regenerate and Continue, its last pair is the turn itself: the message that is answered and
    the reply that it has; a message that is just sent is not in it yet. Returns the history, or None after changing it
    in place. What it makes of the turn's own pair counts for the prompt; a turn that it leaves out is answered as it
    was.

        def history_modifier(history):
            history["internal"] = history["internal"][-3:]
            return history
    """


@_spec
def state_modifier(state: dict[str, Any], settings: Any, host: Host) -> dict[str, Any] | None:
    """Runs once a turn, after `history_modifier`. `state` holds the sampling parameters by name, `name1`, `name2`,
    `context` (the character's, or the user's system message in a chat without a character), `custom_system_message`
    (the user's), `character_menu` ("None" without a character), `history` (as `history_modifier` left it), `unique_id`
    (the chat; "" in the Notebook and for API clients), `truncation_length`, `stream`, `mode` and more.

    Returns the state, or None after changing it in place. Sampling parameters, names, context and template take effect.

        def state_modifier(state):
            state["temperature"] = 0.2
            return state
    """


@_spec
def chat_input_modifier(
    text: str, visible_text: str, state: dict[str, Any], settings: Any, host: Host
) -> tuple[str, str] | None:
    """Runs on a message that was just sent, or edited and sent again, before `input_modifier`.

    Returns (text for the prompt, text that the page shows), or None to change nothing.

        def chat_input_modifier(text, visible_text):
            return text.replace(":)", "(the user smiles)"), visible_text
    """


@_spec
def input_modifier(string: str, state: dict[str, Any], is_chat: bool, settings: Any, host: Host) -> str | None:
    """Runs on a message that was just sent, or edited and sent again; in the Notebook and for API clients that continue
    a text, on that text, with `is_chat` False. Returns the text for the prompt; the page still shows what was typed.

        def input_modifier(string):
            return string + " Answer in one sentence."
    """


@_spec
def custom_generate_chat_prompt(
    user_input: str, state: dict[str, Any], history: dict[str, Any], is_continue: bool, settings: Any, host: Host
) -> str | None:
    """Runs in place of the chat template. `history` holds the turns before `user_input`; with `is_continue` its last
    reply is to go on.

    Returns the whole prompt, or None to let the host build it. The first extension that returns a text wins.

        def custom_generate_chat_prompt(user_input, state):
            return f"{state['context']}\\nQ: {user_input}\\nA:"
    """


@_spec
def bot_prefix_modifier(string: str, state: dict[str, Any], settings: Any, host: Host) -> str | None:
    """Runs on the beginning that the model's reply is given, which is "" at first. Returns that beginning; the model
    goes on from it, and the page shows it as part of the reply.

        def bot_prefix_modifier(string):
            return string + "Sure:"
    """


@_spec
def custom_tokenized_length(prompt: str, settings: Any, host: Host) -> int | None:
    """Runs when the host asks how long a prompt is, to fit it into the context. Returns its length in tokens, or None.
    The first extension that returns a number wins. For prompts that hold more than text, such as pictures.

        def custom_tokenized_length(prompt):
            return len(prompt) // 4
    """


@_spec
def custom_generate_reply(
    question: str,
    original_question: str,
    state: dict[str, Any],
    stopping_strings: list[str],
    is_chat: bool,
    settings: Any,
    host: Host,
) -> Iterator[str] | str | None:
    """Runs in place of the model. `question` is the prompt.

    Returns the reply, or yields the reply so far again and again, or returns None to let the model answer. The first
    extension that answers wins.

        def custom_generate_reply(question):
            yield "I am"
            yield "I am no model."
    """


@_spec
def stream_modifier(
    text: str, shown: str, final: bool, state: dict[str, Any], settings: Any, host: Host
) -> str | tuple[str, str] | None:
    """Runs each time text arrives from the model. `text` is what is new, after what was kept back the last time;
    `shown` all that was let through before; `final`: nothing more will come.

    Returns what to let through, or a pair: what to let through, and what to keep back and see again in front of the
    next arrival. None lets `text` through as it is.

        def stream_modifier(text, final):
            end = len(text) if final else text.rfind(" ") + 1  # a word may be half there
            return text[:end].replace("colour", "color"), text[end:]
    """


@_spec
def output_modifier(string: str, state: dict[str, Any], is_chat: bool, settings: Any, host: Host) -> str | None:
    """Runs once on the whole reply, when it has ended. Returns the text that is shown, kept in the Notebook, or given
    to an API client; later prompts of a chat hold what the model wrote. While an extension with this hook is on, an API
    client's stream brings its text at the end: what was sent cannot be taken back.

        def output_modifier(string):
            return string.upper()
    """


@_spec
def tools(settings: Any, host: Host) -> list[dict[str, Any]] | None:
    """Runs when the host asks which tools there are. Returns a list of {"name", "description", "parameters" (a JSON
    schema), "call" (a function that takes those parameters by name and returns a text)}. The model's chat template is
    told of them, and a client may call them at `/extensions/<name>/tools/<tool>`.

        def tools():
            return [{"name": "now", "description": "The time", "parameters": {}, "call": lambda: time.ctime()}]
    """


@_spec
def api_routes(settings: Any, host: Host) -> dict[str, Callable[..., Any]] | None:
    """Runs when the extension is switched on. Returns functions by method and path, which answer at
    `/extensions/<name>/<path>`. A function takes one `ApiRequest` and returns a value for JSON, a text, or bytes.

        def api_routes():
            return {"GET hello": lambda request: {"hello": request.query.get("who", "world")}}
    """


@_spec
def teardown(settings: Any, host: Host) -> None:
    """Runs when the extension is switched off, and when Paddock ends. Returns nothing. For what `setup` opened.

    def teardown():
        connection.close()
    """


@_spec
def tokenizer_modifier(
    state: dict[str, Any], prompt: str, input_ids: Any, input_embeds: Any, settings: Any, host: Any
) -> tuple[str, Any, Any] | None:
    """In the worker, in the file `worker.py`: runs on each prompt after it became tokens.

    `input_ids` has the shape [1, tokens] (a torch tensor with Transformers, a numpy array with llama.cpp);
    `input_embeds` is None. Returns (prompt, input_ids, input_embeds); None changes nothing.

        def tokenizer_modifier(prompt, input_ids, input_embeds):
            return prompt, input_ids[:, -512:], input_embeds
    """


@_spec
def logits_processor_modifier(processor_list: list[Any], input_ids: Any, settings: Any, host: Any) -> None:
    """In the worker, in the file `worker.py`: runs once a reply, before its first token. Append to `processor_list`
    functions of (input_ids [1, tokens], scores [1, vocabulary]) that return the scores, as Transformers has them.

    Returns nothing.

        def logits_processor_modifier(processor_list, input_ids):
            processor_list.append(lambda input_ids, scores: scores / 2)
    """


@_spec
def logits_modifier(
    tokens: list[int], logits: Any, prompt_length: int, ends: list[int], settings: Any, host: Any
) -> Any:
    """In the worker, in the file `worker.py`: runs before each token is chosen, ahead of all samplers.

    `tokens`: the prompt and the reply so far; `prompt_length`: how many of them are the prompt's; `ends`: tokens that
    end a reply; `logits`: [vocabulary], a torch tensor with Transformers, a numpy array with llama.cpp. Returns logits
    of the same shape, or None after changing them in place.

        def logits_modifier(tokens, logits):
            logits[tokens[-1]] -= 5.0  # never the same token twice
    """


# Those that run in the worker's process, from the file worker.py.
WORKER_HOOKS = ("tokenizer_modifier", "logits_processor_modifier", "logits_modifier")
# Not a function.
ATTRIBUTES = ("params",)
