"""Parameters of llama.cpp's server that are given as text."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from loaders.xllamacpp.more_parameters import set_more_parameters
from modules.protocol.errors import SettingError


@dataclass
class Params:
    """Stands for CommonParams, which only the loader's environment has."""

    swa_full: bool = False
    n_ctx_checkpoints: int = 0
    slot_prompt_similarity: float = 0.1
    mmproj_device: str = ""
    port: int = 8080
    api_keys: str = ""


def test_values_take_the_type_of_their_default() -> None:
    params = Params()
    set_more_parameters(params, "swa_full = true,n-ctx-checkpoints=-1, --slot_prompt_similarity=0.5,mmproj_device=CPU,")
    assert params == Params(True, -1, 0.5, "CPU")
    set_more_parameters(params, "")
    assert params.n_ctx_checkpoints == -1


@pytest.mark.parametrize(
    "text, words",
    [
        (
            "nonsense=1",
            r"cannot have 'nonsense=1'.*mmproj_device, n_ctx_checkpoints, slot_prompt_similarity, swa_full\.",
        ),
        ("swa_full", "cannot have 'swa_full'"),
        ("port=80", "cannot have 'port=80'"),
        ("api_keys=x", "cannot have 'api_keys=x'"),
        ("__class__=1", "cannot have '__class__=1'"),
        ("swa_full=maybe", "swa_full of llama.cpp's server cannot be 'maybe'. It takes true or false"),
        ("n_ctx_checkpoints=1.5", "It takes a whole number"),
        ("slot_prompt_similarity=x", "It takes a number"),
    ],
)
def test_a_wrong_name_or_value_is_named_with_what_is_there(text: str, words: str) -> None:
    params = Params()
    with pytest.raises(SettingError, match=words):
        set_more_parameters(params, text)
    assert params == Params()
