"""The functions of the facade, called as scripts call them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from modules.compat.facade.state import interface_state
from modules.plugins.consent import ConsentNeeded
from modules.plugins.extension_overview import extension_statuses
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from tests.compat.conftest import Stage
from tests.conftest import ROOMY
from tests.plugins.conftest import OPTIONS, write_extension
from tests.plugins.test_install import committed
from tests.support.models import write_safetensors

NAMES = """
import modules.shared as shared
from modules import chat, utils, presets, models, extensions
from modules.chat import generate_chat_prompt, get_stopping_strings
from modules.extensions import apply_extensions
from modules.html_generator import convert_to_markdown, fix_newlines, generate_basic_html
from modules.text_generation import (
    decode, encode, generate_reply, generate_reply_HF, generate_reply_wrapper, get_encoded_length,
    get_max_prompt_length, stop_everything_event,
)
"""


@pytest.fixture
def script(stage: Stage) -> Any:
    """Return a script with the usual imports."""
    return stage.script("user", NAMES)


@pytest.fixture
def state(stage: Stage, script: Any) -> dict[str, Any]:
    """Return a state as an event of the page gets it."""
    return interface_state(stage.app, stage.app.chats.create().id)


def test_encode_and_decode_are_inverse(script: Any) -> None:
    ids = script.encode("one two three")
    assert ids.shape == (1, 3) and len(ids[0]) == 3
    assert script.decode(ids[0]) == "one two three" == script.shared.tokenizer.decode(ids)
    assert script.shared.tokenizer.encode("one two") == ids[0][:2].tolist()
    assert script.encode("one two three", truncation_length=2).shape == (1, 2)
    assert script.get_encoded_length("one two") == 2


def test_a_reply_streams_as_the_text_so_far(script: Any, state: dict[str, Any]) -> None:
    replies = list(script.generate_reply("one two three", state))
    assert replies[-1] == "one two three" and all(replies[-1].startswith(reply) for reply in replies)


def test_older_signatures_of_the_generators_work(script: Any, state: dict[str, Any]) -> None:
    assert list(script.generate_reply_HF("one two", "one two", state, None, is_chat=True))[-1] == "one two"
    assert list(script.generate_reply_HF("one two", "one two", -1, state, None))[-1] == "one two"
    assert list(script.generate_reply_HF("one", "one", state=state, stopping_strings=[]))[-1] == "one"


def test_stopping_strings_and_sampling_come_from_the_state(script: Any, state: dict[str, Any]) -> None:
    assert list(script.generate_reply("one two three", state, stopping_strings=[" three"]))[-1] == "one two"
    assert list(script.generate_reply("one two three", {**state, "custom_stopping_strings": '" two"'}))[-1] == "one"
    assert list(script.generate_reply("one two three", {**state, "max_new_tokens": 1}))[-1] == "one"
    # Unusable values stay neutral.
    assert list(script.generate_reply("one", {**state, "temperature": -7}))[-1] == "one"


def test_hooks_take_part_outside_of_a_chat(stage: Stage, script: Any, state: dict[str, Any]) -> None:
    stage.script(
        "hooks",
        """
        def input_modifier(string, state, is_chat=False):
            return string + f" {is_chat}"

        def output_modifier(string):
            return string.upper()
        """,
    )
    assert list(script.generate_reply("one", state))[-1] == "ONE FALSE"
    assert list(script.generate_reply("one", state, is_chat=True))[-1] == "one"


def test_a_script_that_replaces_the_model_may_call_it(stage: Stage, script: Any) -> None:
    stage.script(
        "deputy",
        """
        from modules.text_generation import generate_reply_custom

        def custom_generate_reply(question, original_question, seed, state, stopping_strings, is_chat=False):
            for reply in generate_reply_custom(question, original_question, state, stopping_strings, is_chat=is_chat):
                yield reply + "!"
        """,
    )
    assert stage.ask("one two")[-1].text == "one two!"


def test_stop_everything_ends_a_scripts_reply_and_those_in_the_chats(
    stage: Stage, script: Any, state: dict[str, Any]
) -> None:
    stage.app.models.load("tiny", "echo", {**ROOMY, "slots": 2})
    chat = stage.app.chats.create().id
    stage.app.chats.send(chat, "!long", SamplingParams(max_new_tokens=1_000_000), OPTIONS)
    stage.until(chat, lambda: stage.app.chats.live_reply(chat) is not None)
    replies = script.generate_reply("!long", {**state, "max_new_tokens": 1_000_000})
    assert next(replies)
    script.stop_everything_event()
    *_, last = replies
    assert last.startswith("!long") and script.shared.stop_everything
    assert stage.settle(chat)[-1].meta["reason"] == "cancelled"


def test_dropping_the_generator_stops_the_model(stage: Stage, script: Any, state: dict[str, Any]) -> None:
    stage.app.models.load("tiny", "echo", ROOMY)
    replies = script.generate_reply("!long", {**state, "max_new_tokens": 1_000_000})
    next(replies)
    replies.close()
    # The echo loader runs one generation at a time, so otherwise this would wait forever.
    assert stage.ask("hello")[-1].text == "hello"


def test_a_chat_prompt_is_built_by_the_host(script: Any, state: dict[str, Any]) -> None:
    history = {"internal": [["hi", "hello"]], "visible": [["hi", "hello"]]}
    prompt = script.generate_chat_prompt("and now?", {**state, "custom_system_message": "Be brief."}, history=history)
    assert prompt.index("Be brief.") < prompt.index("hello") < prompt.index("and now?")
    assert prompt.endswith("<|im_start|>assistant\n")
    going_on = script.generate_chat_prompt("hi", state, history=history, _continue=True)
    assert going_on.endswith("hello") and "and now?" not in going_on
    prompt, rows = script.generate_chat_prompt("x", state, history=history, also_return_rows=True)
    assert rows == ["hi", "hello", "x"]
    assert script.generate_chat_prompt("I am", state, history=history, impersonate=True).endswith("user\nI am")


def test_a_prompt_that_is_too_long_loses_its_oldest_turns(script: Any, state: dict[str, Any]) -> None:
    rows = [[f"question {number}", f"answer {number}"] for number in range(50)]
    short = {**state, "truncation_length": 100, "max_new_tokens": 20}
    prompt = script.generate_chat_prompt("last", short, history={"internal": rows, "visible": rows})
    assert "question 0 " not in prompt and "answer 49" in prompt and script.get_encoded_length(prompt) <= 80


def test_stopping_strings_and_turns_come_from_the_template(script: Any, state: dict[str, Any]) -> None:
    assert script.get_stopping_strings(state) == ["<|im_end|>"]
    assert script.get_stopping_strings({**state, "stopping_strings": ["\nYou:"]}) == ["<|im_end|>", "\nYou:"]
    turns = script.chat.get_turn_substrings(state, instruct=True)
    assert turns["user_turn_stripped"] == "<|im_start|>user\n" and turns["bot_turn"].endswith("<|bot-message|>\n")
    template = script.chat.jinja_env.from_string("{% if not enable_thinking %}<no>{% endif %}")
    assert script.chat.get_thinking_suppression_string(template) == "<no>"


def test_a_whole_chat_turn_of_a_script_is_not_stored(stage: Stage, script: Any, state: dict[str, Any]) -> None:
    histories = list(script.chat.generate_chat_reply("one two", state))
    assert histories[0]["visible"] == [["one two", "*Is typing...*"]]
    assert histories[-1]["internal"] == histories[-1]["visible"] == [["one two", "one two"]]
    state["history"] = histories[-1]
    assert list(script.chat.generate_chat_reply("", state, regenerate=True))[-1]["internal"] == [["one two", "one two"]]
    assert stage.app.chats.messages(state["unique_id"]) == []


def test_a_chat_turn_of_a_script_hides_what_scripts_put_in_front(
    stage: Stage, script: Any, state: dict[str, Any]
) -> None:
    stage.script("happy", "def bot_prefix_modifier(string, state):\n    return string + ' *happily*'")
    prompts = stage.prompts()
    history = list(script.chat.generate_chat_reply("one two", state))[-1]
    # The echo loader repeats the last line of its prompt.
    assert prompts[0].endswith(" *happily*") and history["internal"] == [["one two", "*happily*"]]


def test_a_history_can_be_stored_and_what_was_shown_is_kept(stage: Stage, script: Any) -> None:
    chat = stage.app.chats.create().id
    stage.ask("first", chat)
    stage.ask("second", chat)
    history = script.chat.load_history(chat, "None", "instruct")
    assert history["internal"] == [["first", "first"], ["second", "second"]]
    history["visible"][1][1], history["internal"][1][1] = "other", "inner"
    script.chat.save_history(history, chat, "None", "instruct")
    shown = stage.app.chats.messages(chat)
    assert [message.text for message in shown] == ["first", "first", "second", "other"]
    assert shown[-1].meta["internal"] == "inner" and shown[-1].versions == 2
    last, history = script.chat.remove_last_message(history)
    script.chat.save_history(history, chat, "None", "instruct")
    assert last == "second" and [message.text for message in stage.app.chats.messages(chat)] == ["first", "first"]
    tree = stage.app.chats.store.tree(chat)
    assert {part["text"] for entry in tree for part in entry["parts"]} == {"first", "second", "other"}


def test_chats_are_found_made_and_named(stage: Stage, script: Any, state: dict[str, Any]) -> None:
    chat = state["unique_id"]
    assert script.chat.find_all_histories(state) == [chat]
    assert script.chat.load_latest_history(state) == (script.chat.load_history(chat, "", ""), chat)
    script.chat.start_new_chat(state)
    assert len(script.chat.find_all_histories(state)) == 2
    assert script.chat.load_history("no such chat", "", "")["internal"] == []
    assert script.chat.send_dummy_message("hi", state)["visible"] == [["hi", ""]]
    assert script.chat.send_dummy_reply("hello", state)["internal"] == [["hi", "hello"]]
    assert "hello" in script.chat.redraw_html(state["history"], "You", "AI", "chat", "cai-chat", "None")


def test_a_character_is_loaded_by_its_file(stage: Stage, script: Any) -> None:
    script.chat.save_character("Ada", "Good day.", "{{char}} counts.", None, "ada")
    assert script.chat.load_character("ada", "You", "AI") == ("You", "Ada", None, "Good day.", "{{char}} counts.")
    assert script.utils.get_available_characters() == ["ada", "Assistant"]
    assert script.chat.replace_character_names("{{user}} and <BOT>", "You", "Ada") == "You and Ada"


def test_shared_has_the_loaded_model_and_is_writable(stage: Stage, script: Any) -> None:
    shared = script.shared
    assert (shared.model_name, shared.model.__class__.__name__, shared.args.loader) == ("tiny", "LlamaServer", "echo")
    assert shared.model.config.vocab_size == 16 and shared.tokenizer.vocab_size == 16
    assert getattr(shared.model, "active_adapter", "None") == "None"
    shared.processing_message = "…"
    shared.args.cpu = True
    assert shared.processing_message == "…" and stage.facade("modules.shared").args.cpu
    assert shared.args.extensions == ["user"] and shared.args.listen is False
    with pytest.raises(AttributeError, match="no flag"):
        print(shared.args.no_such_flag)
    assert shared.settings["name1"] == "You" and shared.is_chat()
    assert shared.user_data_dir == stage.app.paths.user_data


def test_a_model_is_unloaded_and_loaded_again(stage: Stage, script: Any) -> None:
    shared = script.shared
    script.models.unload_model(keep_model_name=True)
    assert shared.model is None and shared.tokenizer is None and shared.model_name == "tiny"
    shared.model, shared.tokenizer = script.models.load_model(shared.model_name)
    assert shared.model is not None and stage.ask("hello")[-1].text == "hello"
    script.models.reload_model()
    script.models.unload_model()
    assert shared.model_name == "None" and script.utils.check_model_loaded()[0] is False
    assert list(script.generate_reply_HF("x", "x", {})) == [""]
    with pytest.raises(PaddockError, match="No model"):
        script.models.reload_model()


def test_adapters_are_applied_by_name(stage: Stage) -> None:
    folder = stage.app.paths.models / "style"
    folder.mkdir()
    config = {"peft_type": "LORA", "r": 1, "lora_alpha": 1, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    module = "base_model.model.model.layers.0.self_attn.q_proj"
    shapes = {f"{module}.lora_A.weight": [1, 8], f"{module}.lora_B.weight": [8, 1]}
    write_safetensors(folder / "adapter_model.safetensors", shapes)
    lora, shared = stage.facade("modules.LoRA"), stage.facade("modules.shared")
    assert stage.facade("modules.utils").get_available_loras() == ["None", "style"]
    lora.add_lora_to_model(["style"])
    assert shared.lora_names == ["style"] and stage.ask("hello")[-1].text == "[style 1] hello"
    lora.add_lora_exllamav2(["None"])
    assert shared.lora_names == [] and stage.ask("hello")[-1].text == "hello"
    with pytest.raises(PaddockError, match="no LoRA adapter named 'other'"):
        lora.add_lora_to_model("other")


def test_presets_are_paddocks(script: Any, state: dict[str, Any]) -> None:
    assert script.presets.load_preset("None") == script.presets.default_preset()
    assert list(script.presets.load_preset("Precise")) == script.presets.presets_params()
    updated, *values = script.presets.load_preset_for_ui("Precise", state)
    assert updated["temperature"] == values[script.presets.presets_params().index("temperature")]
    assert script.presets.generate_preset_yaml({"temperature": 0.5, "max_new_tokens": 9}) == "temperature: 0.5\n"


def test_files_are_written_and_deleted_only_below_the_users_data(stage: Stage, script: Any) -> None:
    outside = stage.app.paths.user_data.parent / "outside.txt"
    outside.write_text("mine")
    script.utils.delete_file(str(outside))
    script.utils.save_file(str(outside), "theirs")
    assert outside.read_text() == "mine"
    inside = stage.app.paths.user_data / "notes" / "a.txt"
    script.utils.save_file(str(inside), "theirs")
    assert inside.read_text() == "theirs"
    script.utils.delete_file(str(inside))
    assert not inside.exists()
    assert sorted(["a10", "a2"], key=script.utils.natural_keys) == ["a2", "a10"]


def test_extensions_are_listed_and_their_hooks_called(stage: Stage, script: Any, state: dict[str, Any]) -> None:
    stage.script("loud", "def bot_prefix_modifier(string, state):\n    return string + 'Hm'")
    assert script.apply_extensions("bot_prefix", "", state) == "Hm"
    assert script.apply_extensions("tokenizer", state, "p", "ids", None) == ("p", "ids", None)
    assert script.apply_extensions("custom_generate_reply") is None
    assert {"loud", "user"} <= set(script.extensions.available_extensions)
    assert [name for _, name in script.extensions.iterator()] == ["user", "loud"]
    with pytest.raises(ValueError, match="kind"):
        script.apply_extensions("nonsense")


def test_what_a_script_logs_is_kept_with_what_it_prints(stage: Stage) -> None:
    stage.script(
        "teller",
        """
        from modules.logging_colors import logger
        def input_modifier(string):
            print("printed")
            logger.info("rolled %s", 7)
            return string
        """,
    )
    stage.ask("hello")
    status = next(status for status in extension_statuses(stage.manager) if status.name == "teller")
    assert status.output == "printed\nINFO: rolled 7\n"


def test_text_becomes_html_without_letting_html_through(script: Any) -> None:
    assert script.convert_to_markdown("**b** <script>") == "<p><strong>b</strong> &lt;script&gt;</p>\n"
    assert "<strong>b</strong>" in script.generate_basic_html("**b**")
    assert script.fix_newlines("a\nb") == "a\n\nb"


def test_chats_are_rendered_with_the_tokenizers_template(script: Any) -> None:
    tokenizer, chat = (
        script.shared.tokenizer,
        [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}],
    )
    assert tokenizer.chat_template is None
    whole = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nho<|im_end|>\n"
    assert tokenizer.apply_chat_template(chat, tokenize=False) == whole
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True)
    assert tokenizer.decode(ids) == whole + "<|im_start|>assistant\n"
    assert tokenizer.apply_chat_template(chat, return_tensors="np").shape == (1, len(tokenizer.encode(whole)))
    assert tokenizer.apply_chat_template(chat, return_dict=True)["input_ids"] == tokenizer.encode(whole)
    # Scripts set another template and restore the first one.
    script.shared.tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ after }}\n{% endfor %}"
    )
    render = script.shared.tokenizer.apply_chat_template
    assert render(chat, tokenize=False, after="!") == "user: hi!\nassistant: ho!\n"
    assert render(chat, tokenize=False, continue_final_message=True) == "user: hi\nassistant: ho"
    assert render(chat, chat_template="{{ messages | length }}", tokenize=False) == "2"
    with pytest.raises(PaddockError, match="syntax error"):
        render(chat, chat_template="{% for %}")
    script.models.load_model("tiny", "echo")
    assert script.shared.tokenizer.chat_template is None and script.shared.tokenizer is not tokenizer


def test_the_model_has_the_tokens_of_the_last_reply(stage: Stage, script: Any, state: dict[str, Any]) -> None:
    model = script.shared.model
    assert (model.tokens_evaluated, model.tokens_predicted) == (0, 0)
    list(script.generate_reply("one two three", state))
    assert (model.tokens_evaluated, model.tokens_predicted) == (3, 3)
    meta = stage.ask("good day to you")[-1].meta
    assert (model.tokens_evaluated, model.tokens_predicted) == (meta["prompt_tokens"], 4)
    assert not hasattr(model, "cache")
    stage.app.supervisor.state_store.set(dataclasses.replace(stage.app.supervisor.state, loader="exllamav2"))
    assert script.shared.model.cache.current_seq_len == meta["prompt_tokens"] + 4


def test_extensions_come_from_git_and_wait_for_consent(stage: Stage, tmp_path: Path) -> None:
    module = stage.script("updater", "from modules.github import clone_or_pull_repository, new_extensions")
    source = committed(write_extension(tmp_path, "dice.git", "X = 1"))
    *_, said = module.clone_or_pull_repository(f"file://{source}")
    assert "switch it on" in said and module.new_extensions == {"dice"}
    stage.manager.enable("dice", stage.manager.find("dice").sha256)
    (stage.folder("dice") / "own.txt").write_text("mine")
    committed(write_extension(tmp_path, "dice.git", "X = 2"))
    *_, said = module.clone_or_pull_repository(f"file://{source}")
    assert (stage.folder("dice") / "extension.py").read_text() == "X = 2" and "agree" in said
    assert (stage.folder("dice") / "own.txt").read_text() == "mine"
    stage.manager.disable("dice")
    with pytest.raises(ConsentNeeded):
        stage.manager.enable("dice")
    for address, words in (
        ("ext::sh://x", "not an address"),
        ("file:///no/dice", "could not"),
        ("https://x/updater", "Git"),
    ):
        assert words in list(module.clone_or_pull_repository(address))[-1]
