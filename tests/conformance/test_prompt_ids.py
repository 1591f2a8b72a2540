"""Every loader tokenizes a prompt to the same ids, which are those of the tokenizer in the model's folder.

The models differ in where their tokenizers add a space before a text (tests/support/prompt_maker.py).
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from modules.protocol.commands import Tokenize
from modules.protocol.loader_spec import LoaderSpec
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from tests.conftest import ROOT
from tests.contract.under_test import UnderTest
from tests.support.environments import installed, not_here

_LLAMA = {"tokenizer_class": "LlamaTokenizer"}
MODELS: dict[str, dict[str, Any]] = {
    "legacy-false": {"rule": "first", "config": {**_LLAMA, "legacy": False}},
    "legacy-true": {"rule": "always", "config": {**_LLAMA, "legacy": True}},
    # tokenizer.json of Llama 2: Transformers follows the flag.
    "flag-over-file": {"rule": "prepend", "config": {**_LLAMA, "legacy": False}},
    "with-bos": {"rule": "first", "config": {**_LLAMA, "legacy": False}, "bos": True},
    "no-prefix": {"rule": "never", "config": {**_LLAMA, "legacy": False, "add_prefix_space": False}, "flag": False},
    "no-prefix-untold": {"rule": "never", "config": {}},
    "prepended": {"rule": "prepend", "config": {}},
    "byte-level": {"rule": "bytes", "config": {}},
    # Converters write the flag if the model's settings have it.
    "byte-level-flagged": {"rule": "bytes", "config": {}, "flag": False},
}
# GGUF files in separate folders: name -> (model, model whose tokenizer files are beside it). Without its own tokenizer
# files, the default rule of Transformers applies.
ELSEWHERE = {
    "lone": ("legacy-false", ""),
    "accompanied": ("legacy-true", "legacy-true"),
    "beside-another": ("legacy-false", "byte-level"),
}
PROMPTS = (
    "hello user",
    " hello",
    "  hello",
    "",
    " ",
    "<s>hello",
    "<s> hello",
    "<s>  user",
    "hello<s>user",
    "hello <|user|> hello",
    "<|user|>user\nhello<|end|>\n<|user|>hi",
    "<|user|><|end|>user",
    "<s><|user|> user<|end|> <|user|>",
    "user <tool>hello",
    "<tool><|user|>hello <tool> user",
    "hello<unk>user",
    "<note>user hello <note> user<note><tool>hello",
    "<|user|>\u2581user \ufdd0 h\u00e9llo \U0001f600<|end|>user",
    "<|user|>\ufdd0user",
    "<|use|>user",
    "<|user|>\n\nhello\n",
)
LOADERS = ("llamacpp", "xllamacpp", "transformers")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, environments: Environments) -> Path:
    """Return a folder with the models, as folders and as GGUF."""
    maker = Registry(ROOT / "loaders").get("transformers")
    if reason := not_here(maker, environments):
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("prompts")
    (folder / "models.json").write_text(json.dumps(MODELS))
    command = [str(installed(maker, environments)), "-m", "tests.support.prompt_maker", str(folder)]
    subprocess.run([*command, str(folder / "models.json")], check=True, capture_output=True, cwd=ROOT)
    for name, (source, beside) in ELSEWHERE.items():
        (folder / name).mkdir()
        shutil.copyfile(folder / f"{source}.gguf", folder / name / "model.gguf")
        for file in ("tokenizer.json", "tokenizer_config.json") if beside else ():
            shutil.copyfile(folder / beside / file, folder / name / file)
    return folder


def _all_ids(name: str, paths: dict[str, Path], environments: Environments) -> dict[str, dict[str, list[int]]]:
    """Return model -> prompt -> token ids of the loader `name`. Skips the test if it is not installed."""
    spec: LoaderSpec = Registry(ROOT / "loaders").get(name)
    if reason := not_here(spec, environments):
        pytest.skip(reason)
    worker = UnderTest(spec, installed(spec, environments))
    found: dict[str, dict[str, list[int]]] = {}
    try:
        for model, path in paths.items():
            worker.load(path, context=256)
            found[model] = {text: worker.ask(Tokenize, text, True) for text in PROMPTS}
            # A generation reads the same tokens.
            for text in ("<|user|>user<|end|>hello", "hello"):
                _, end = worker.generate(text, max_new_tokens=1)
                assert end.prompt_tokens == len(worker.ask(Tokenize, text, True))
    finally:
        worker.client.stop()
    return found


@pytest.fixture(scope="module")
def expected(models: Path, environments: Environments) -> dict[str, dict[str, list[int]]]:
    """Return model -> prompt -> token ids of the folders' own tokenizers."""
    found = _all_ids("transformers", {name: models / name for name in MODELS}, environments)
    return {**found, **{name: found[source] for name, (source, _) in ELSEWHERE.items()}}


@pytest.fixture(scope="module", params=LOADERS)
def from_gguf(
    request: pytest.FixtureRequest, models: Path, environments: Environments
) -> dict[str, dict[str, list[int]]]:
    """Return the same for the GGUF files, with each loader that reads them."""
    paths = {name: models / f"{name}.gguf" for name in MODELS}
    paths.update({name: models / name / "model.gguf" for name in ELSEWHERE})
    return _all_ids(request.param, paths, environments)


@pytest.mark.parametrize("name", [*MODELS, *ELSEWHERE])
def test_a_gguf_file_gives_the_same_ids_as_its_folder(
    name: str, expected: dict[str, dict[str, list[int]]], from_gguf: dict[str, dict[str, list[int]]]
) -> None:
    different = {
        text: (ids, from_gguf[name][text]) for text, ids in expected[name].items() if from_gguf[name][text] != ids
    }
    assert not different


def test_the_models_tokenize_differently(expected: dict[str, dict[str, list[int]]]) -> None:
    """The comparison covers different rules."""
    rules = ("legacy-false", "legacy-true", "prepended", "no-prefix")
    assert len({tuple(map(tuple, expected[name].values())) for name in rules}) == len(rules)
