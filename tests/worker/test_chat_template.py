"""Chat templates are strangers' programs: they render in a sandbox, within limits, and fail with a sentence."""

from __future__ import annotations

import pytest

from modules.protocol.errors import PromptError
from modules.worker.chat_template import CHATML, render

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]


def _render(template: str, **changes: object) -> str:
    arguments = {"continue_last": False, "bos": "<s>", "eos": "</s>", "variables": {}, **changes}
    return render(template, arguments.pop("messages", MESSAGES), **arguments)  # type: ignore[arg-type]


def test_the_fallback_ends_where_the_reply_begins() -> None:
    assert _render(CHATML) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_reply_that_goes_on_is_left_open() -> None:
    messages = [*MESSAGES, {"role": "assistant", "content": "Well, "}]
    assert _render(CHATML, messages=messages, continue_last=True).endswith("<|im_start|>assistant\nWell, ")


def test_a_template_that_trims_still_leaves_the_reply_open() -> None:
    template = "{% for m in messages %}[{{ m.content | trim }}]{% endfor %}"
    messages = [{"role": "user", "content": " a "}, {"role": "assistant", "content": "b "}]
    assert _render(template, messages=messages, continue_last=True) == "[a][b "


def test_what_templates_commonly_use_is_there() -> None:
    template = (
        "{{ bos_token }}{% generation %}{{ messages | length }}{% endgeneration %}{{ strftime_now('%Y')[:2] }}"
        "{{ {'a': 'ü'} | tojson }}{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m.role }}"
        "{% endfor %}{{ custom }}{{ '%s!' % eos_token }}"
    )
    assert _render(template, variables={"custom": "x"}) == '<s>220{"a": "ü"}userx</s>!'


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "ran longer"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "RecursionError"),
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{% if %}", "syntax error in line 1"),
        ("{{ ''.__class__.__mro__ }}", "not allowed"),
        ("{{ messages.append(1) }}", "not allowed"),
        ("{{ 'a' * 10000000000 }}", "repetition that large"),
        ("{{ 9 ** 9999999 }}", "power that large"),
        ("{{ '%9999999999d' % 1 }}", "format that wide"),
        ("{% for i in range(999) %}{{ 'x' * 100000 }}{% endfor %}", "more than"),
        ("{% include '/etc/passwd' %}", "fails with"),
    ],
)
def test_a_bad_template_is_a_sentence_with_a_next_step(template: str, words: str) -> None:
    with pytest.raises(PromptError) as caught:
        _render(template)
    assert words in caught.value.message
    assert "Choose another template" in caught.value.message
    assert ".." not in caught.value.message


def test_a_template_that_leaves_the_reply_out_cannot_continue_it() -> None:
    with pytest.raises(PromptError, match="cannot be continued"):
        _render(
            "{{ messages[0].content }}", messages=[*MESSAGES, {"role": "assistant", "content": "x"}], continue_last=True
        )
