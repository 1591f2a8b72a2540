"""Chat templates are untrusted programs: they render in a separate process, within limits, and fail with a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psutil
import pytest

from modules.protocol.errors import PromptError
from modules.worker.chat_template import CHATML
from modules.worker.template_process import TemplateProcess

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]

# Each makes a text or list that doubles or is huge at once.
_DOUBLED = "{{% set ns = namespace(x={start}) %}}{{% for i in range(60) %}}{{% set ns.x = {step} %}}{{% endfor %}}{end}"
GREEDY = [
    "{{ 'x'.ljust(10**10) }}",
    "{{ 'x'.rjust(999999) * 10**6 }}",
    "{{ 'x'.center(10**10) }}",
    "{{ 'x' | center(10**10) }}",
    "{{ '1'.zfill(10**10) }}",
    "{{ '\t'.expandtabs(10**10) }}",
    "{{ 'x' | indent(10**10, true) }}",
    "{{ [1] | batch(10**10, 'x') | list }}",
    "{{ [1] | slice(10**10) | list }}",
    "{{ lipsum(10**9) }}",
    "{{ (1).to_bytes(10**10, 'big') }}",
    "{{ '{:10000000000}'.format(1) }}",
    "{{ '{0:{1}}'.format(1, 10**10) }}",
    "{{ '%s' % ('x' * 10**10) }}",
    "{{ {'a': 1} | tojson(indent=10**10) }}",
    "{{ range(10**10) | list }}",
    "{{ ('a' * 999999).replace('a', 'b' * 999999) | length }}",
    "{{ ('a' * 999999) | replace('a', 'b' * 999999) | length }}",
    "{{ ('b' * 999999).join(['a'] * 999999) | length }}",
    "{{ (['a'] * 999999) | join('b' * 999999) | length }}",
    "{{ ('{0}' * 99999).format('a' * 999999) | length }}",
    "{{ ('%(a)s' * 99999) % {'a': 'b' * 999999} | length }}",
    "{{ strftime_now('%Y' * 300000) | length }}" * 40,
    "{{ ([['x' * 999999] * 999999] * 999) | tojson | length }}",
    _DOUBLED.format(start="'x'", step="ns.x ~ ns.x", end="{{ ns.x | length }}"),
    _DOUBLED.format(start="'x'", step="ns.x + ns.x", end="{{ ns.x | length }}"),
    _DOUBLED.format(start="[1]", step="ns.x + ns.x", end="{{ ns.x | length }}"),
    _DOUBLED.format(start="[1]", step="[ns.x, ns.x]", end="{{ ns.x | string | length }}"),
    _DOUBLED.format(start="[1]", step="[ns.x, ns.x]", end="{{ ns.x | tojson | length }}"),
    _DOUBLED.format(start="[1]", step="[ns.x, ns.x]", end="{{ ns.x | pprint | length }}"),
    _DOUBLED.format(start="(1, 2)", step="(ns.x, ns.x)", end="{{ {ns.x: 1} | length }}"),
    _DOUBLED.format(start="9", step="ns.x * ns.x", end="{{ ns.x % 7 }}"),
    (
        "{% macro m(n) %}{{ 'x' * 99999 }}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}"
        "{% set s = m(30) %}{{ s | length }}"
    ),
]


@pytest.fixture(scope="module")
def templates() -> Iterator[TemplateProcess]:
    """Return the process that renders, with a shorter timeout than in a worker."""
    process = TemplateProcess(seconds=1.0)
    yield process
    process.close()


@pytest.fixture
def rendered(templates: TemplateProcess) -> Callable[..., str]:
    """Return a function that renders a template in that process."""

    def render(template: str, **changes: object) -> str:
        arguments = {"continue_last": False, "bos": "<s>", "eos": "</s>", "variables": {}, **changes}
        return templates.render(template, arguments.pop("messages", MESSAGES), **arguments)  # type: ignore[arg-type]

    return render


def test_the_fallback_ends_where_the_reply_begins(rendered: Callable[..., str]) -> None:
    assert rendered(CHATML) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_continued_reply_is_not_closed(rendered: Callable[..., str]) -> None:
    messages = [*MESSAGES, {"role": "assistant", "content": "Well, "}]
    assert rendered(CHATML, messages=messages, continue_last=True).endswith("<|im_start|>assistant\nWell, ")


def test_a_continued_reply_is_not_closed_by_a_template_that_trims(rendered: Callable[..., str]) -> None:
    template = "{% for m in messages %}[{{ m.content | trim }}]{% endfor %}"
    messages = [{"role": "user", "content": " a "}, {"role": "assistant", "content": "b "}]
    assert rendered(template, messages=messages, continue_last=True) == "[a][b "


def test_common_template_functions_are_available(rendered: Callable[..., str]) -> None:
    template = (
        "{{ bos_token }}{% generation %}{{ messages | length }}{% endgeneration %}{{ strftime_now('%Y')[:2] }}"
        "{{ {'a': 'ü'} | tojson }}{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m.role }}"
        "{% endfor %}{{ custom }}{{ '%s!' % eos_token }}{{ 'a' | indent(4, true) }}{{ 'b'.ljust(3) }}"
        "{{ [1, 2, 3] | batch(2) | list | length }}{{ 2.345 | round(1) }}{{ {'a': 1} | tojson(indent=2) }}"
        "{{ ('ab' * 3).replace('a', 'c') }}{{ ['x', 'y'] | join(', ') }}"
    )
    assert rendered(template, variables={"custom": "x"}) == (
        '<s>220{"a": "ü"}userx</s>!    ab  22.3{\n  "a": 1\n}cbcbcbx, y'
    )


def test_any_text_is_rendered_unchanged(rendered: Callable[..., str]) -> None:
    text = 'é \U0001f600 \u2028 \x00 \ud83d\n\\n "quoted"'
    assert rendered("{{ messages[0].content }}", messages=[{"role": "user", "content": text}]) == text


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "ran longer"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "RecursionError"),
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ raise_exception('x' * 999999) }}", "xxx…"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{% if %}", "syntax error in line 1"),
        ("{{ ''.__class__.__mro__ }}", "not allowed"),
        ("{{ messages.append(1) }}", "not allowed"),
        ("{{ 'a' * 10000000000 }}", "repetition that large"),
        ("{{ 'a'.ljust(10000000000) }}", "number that large"),
        ("{{ 9 ** 9999999 }}", "power that large"),
        ("{{ '%9999999999d' % 1 }}", "format that wide"),
        ("{% for i in range(999) %}{{ 'x' * 100000 }}{% endfor %}", "more than"),
        ("{% include '/etc/passwd' %}", "fails with"),
    ],
)
def test_a_bad_template_is_a_sentence_with_a_next_step(rendered: Callable[..., str], template: str, words: str) -> None:
    with pytest.raises(PromptError) as caught:
        rendered(template)
    assert words in caught.value.message
    assert "Choose another template" in caught.value.message
    assert ".." not in caught.value.message
    assert len(caught.value.message) < 2000


@pytest.mark.parametrize("template", GREEDY)
def test_a_template_that_needs_too_much_memory_is_an_error_and_the_next_one_renders(
    rendered: Callable[..., str], template: str
) -> None:
    before = psutil.Process().memory_info().rss
    with pytest.raises(PromptError, match="Choose another template"):
        # A large text within the limits is complete.
        rendered(template + "{{ raise_exception('it is within the limits') }}")
    assert psutil.Process().memory_info().rss - before < 100_000_000
    assert rendered("{{ messages | length }}") == "2"


@pytest.mark.skipif(not psutil.LINUX, reason="Only Linux holds a process to its address space.")
def test_the_template_process_cannot_exceed_its_memory_limit(templates: TemplateProcess) -> None:
    templates.render("", MESSAGES, continue_last=False, bos="", eos="", variables={})
    (child,) = [child for child in psutil.Process().children() if "template_process" in " ".join(child.cmdline())]
    assert child.rlimit(psutil.RLIMIT_AS) == (1 << 30, 1 << 30)


def test_a_template_without_the_last_reply_cannot_continue_it(rendered: Callable[..., str]) -> None:
    with pytest.raises(PromptError, match="cannot be continued"):
        rendered(
            "{{ messages[0].content }}", messages=[*MESSAGES, {"role": "assistant", "content": "x"}], continue_last=True
        )
