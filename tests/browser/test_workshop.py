"""The Workshop in the browser, with the real demo model: from a recommendation to a chat with the quantized model."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import ROOT, Served
from tests.browser.driver import ask, ready, started

pytestmark = pytest.mark.browser
DEMO = "demo.Q8_0.gguf"
# Milliseconds that a job may take where other tests use the processor too.
PATIENCE = 300_000
QUESTION, ANSWER = "What is the name of my cat?", "Your cat is called Minka."
QUESTIONS = (
    '{"question": "What is GGUF?", "choices": ["A graphics card.", "The file format of llama.cpp."], "answer": 1}\n'
    '{"question": "Say the word banana.", "answer": "banana banana"}\n'
)
# Label of a setting -> value: enough to learn one answer by heart.
TRAINING = {
    "Base": "16bit",
    "Rank": "8",
    "Alpha": "16",
    "Epochs": "8",
    "Learning rate": "0.003",
    "Sample prompt": QUESTION,
}


@pytest.fixture(scope="module")
def workshop(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Start a Paddock with the demo model, in full precision and as GGUF."""
    folder = tmp_path_factory.mktemp("workshop")
    (folder / "models").mkdir()
    (folder / "models" / "demo").symlink_to(ROOT / "models" / "demo")
    shutil.copy(ROOT / "models" / DEMO, folder / "models")
    served = Served(folder, "--model", DEMO)
    served.wait()
    yield served
    served.close()
    assert not any("Traceback" in line for line in served.lines), served.lines


def _open(page: Any) -> None:
    page.click("[data-view=workshop]")
    page.wait_for_selector("#recommend-model option", state="attached")


def _finished(page: Any, title: str) -> Any:
    """Wait until the newest job has this title and is finished; return it."""
    page.wait_for_selector(f".job:first-child[data-status=finished] >> text={title}", timeout=PATIENCE)
    return page.locator(".job").first


def _fits(page: Any) -> None:
    """Assert that nothing makes the view wider than the page."""
    widths = page.evaluate("(e => [e.scrollWidth, e.clientWidth])(document.querySelector('#workshop'))")
    assert widths[0] == widths[1]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def _quantize(page: Any) -> str:
    """Make a Q4_K_M of the demo by the recommendation, and return its name."""
    page.click("#recommend-start")
    page.wait_for_selector("#recommendation [data-method=gguf]")
    assert "on disk" in page.locator("[data-method=gguf] .facts").inner_text()
    assert page.locator("#recommendation .impossible li").count() > 0
    page.locator("[data-method=gguf] button").click()
    page.locator("#quantize-settings select").select_option("Q4_K_M")
    page.click("#quantize-plan")
    page.wait_for_selector("#quantize-estimate >> text=on disk")
    page.click("#quantize-start")
    made = _finished(page, "Quantizing demo with gguf").locator(".made > p").first.inner_text()
    return str(made.split(":")[0])


def _data(folder: Path) -> Path:
    """Write the rows of the guide's example to a file, and return its path."""
    guide = (ROOT / "docs" / "fine-tuning.md").read_text(encoding="utf-8")
    file = folder / "cat.jsonl"
    file.write_text(guide.split("```jsonl\n")[1].split("```")[0], encoding="utf-8")
    return file


def _save_plots(page: Any, job: Any) -> None:
    """Save the first plot as SVG and as PNG."""
    for ending, start in (("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        with page.expect_download() as download:
            job.locator(".plots").get_by_role("button", name=f"as {ending}").first.click()
        assert download.value.path().read_bytes().startswith(start)


def _judge(page: Any, job: Any) -> None:
    """Judge the answers of a comparison without names, with a reload before the last vote."""
    job.get_by_role("button", name="Judge without names").click()
    job.locator(".votes").first.wait_for()
    count = job.locator(".votes").count()
    assert set(job.locator(".answer strong").all_inner_texts()) == {"A", "B"}
    for place in range(count):
        if place == count - 1:
            page.reload()
            started(page)
            job = page.locator(".job").first
            job.locator(".votes").first.wait_for()
            assert job.locator(".votes [aria-pressed=true]").count() == count - 1
        job.locator(".votes").nth(place).get_by_role("button", name="Equal").click()
        if place < count - 1:
            job.locator(".votes").nth(place).locator("[aria-pressed=true]").wait_for()
    job.locator(f".tally >> text=equal {count}").wait_for()
    assert job.locator(".answer .quiet").all_inner_texts() == ["Your vote: Equal"] * count
    job.get_by_role("button", name="All answers with names").click()
    job.get_by_role("button", name="Judge without names").wait_for()


def _ask_questions(page: Any, folder: Path) -> None:
    """Send the host a file with questions, which the next measurement asks."""
    file = folder / "questions.jsonl"
    file.write_text(QUESTIONS, encoding="utf-8")
    page.set_input_files("[aria-label='Questions (file)']", file)
    page.wait_for_function("document.querySelector('#measure-tasks').value.endsWith('questions.jsonl')")


def _discard_and_restore(page: Any, name: str) -> None:
    """Discard a model in its job's row, undo that, discard it in the list of models, and take it out of the trash."""
    made = page.locator(f".job:has(.made p:text-matches('^{name}: '))").first
    made.get_by_role("button", name="Discard").click()
    made.get_by_role("button", name="Move to the trash").click()
    page.wait_for_selector("#trash")
    assert "no longer in models/" in made.locator(".made").inner_text()
    page.locator("#toasts").get_by_role("button", name="Undo").click()
    page.wait_for_selector("#trash", state="hidden")
    row = page.locator(f".model-list [data-model='{name}']")
    row.get_by_role("button", name="Discard").click()
    row.get_by_role("button", name="Move to the trash").click()
    page.locator("#trash summary").click()
    page.locator("#trash").get_by_role("button", name="Restore").click()
    page.wait_for_selector("#trash", state="hidden")
    row.wait_for()


def _rename(page: Any, old: str, new: str) -> str:
    """Rename a GGUF file in the list of models; return its new name."""
    row = page.locator(f".model-list [data-model='{old}']")
    row.get_by_role("button", name="Rename").click()
    row.locator("input").fill(new)
    row.get_by_role("button", name="Save").click()
    page.wait_for_selector(f".model-list [data-model='{new}.gguf']")
    page.wait_for_selector(f".job .made p >> text={new}.gguf")
    return f"{new}.gguf"


@pytest.mark.parametrize(("width", "original"), [(1280, "demo"), (390, DEMO)])
def test_from_a_recommendation_to_a_chat_with_the_result(
    workshop: Served, visit: Any, tmp_path: Path, width: int, original: str
) -> None:
    page = visit(workshop.address, width=width, height=844)
    ready(page)
    _open(page)
    name = _quantize(page)
    assert name.startswith("demo-Q4_K_M")
    page.fill("input[value='8192']", "512")
    page.select_option("#measure-original", "")
    page.check(f".models input[value='{name}']")
    page.click("#evaluate-start")
    job = _finished(page, f"Evaluating {name}")
    job.locator(".results table").wait_for()
    assert job.locator("tbody tr").count() == 1
    _fits(page)
    page.select_option("#measure-original", original)
    _ask_questions(page, tmp_path)
    page.click("#compare-start")
    page.reload()
    started(page)
    job = _finished(page, f"Comparing {original}, {name}")
    job.locator(".results table").wait_for()
    assert job.locator("tbody th").all_inner_texts() == [original, name]
    tasks = job.locator("thead th").all_inner_texts().index("Right answers") + 1
    assert set(job.locator(f"tbody tr > :nth-child({tasks})").all_inner_texts()) == {"50.0 %"}
    assert job.locator(".plots svg .dot-mark").count() == 4
    assert job.locator(".answer").first.locator("strong").all_inner_texts() == [original, name]
    with page.expect_download() as download:
        job.get_by_role("link", name="CSV").click()
    assert download.value.path().read_text().startswith("model,")
    _save_plots(page, job)
    _judge(page, job)
    _fits(page)
    made = page.locator(".job:has(.made)").first
    name = _rename(page, name, f"small-{width}")
    assert made.locator(".made > p").first.inner_text().startswith(f"{name}: ")
    _discard_and_restore(page, name)
    _fits(page)
    made.get_by_role("button", name="Open in chat").click()
    ready(page, name)
    assert "llama.cpp" in ask(page, "What is GGUF?")


def test_a_recommendation_for_other_hardware_and_for_fine_tuning(workshop: Served, visit: Any) -> None:
    page = visit(workshop.address)
    _open(page)
    page.select_option("#recommend-model", "demo")
    memory = page.locator("label:has(> span:text-is('Memory of the hardware (GiB)')) input")
    assert not memory.is_visible()
    page.select_option("#recommend-hardware", "cuda")
    memory.fill("24")
    page.click("#recommend-start")
    page.wait_for_selector("#recommendation li[data-method]")
    assert page.locator("#recommendation li[data-method]").first.get_attribute("data-method") == "awq"
    page.check("#recommend-fine-tune")
    page.wait_for_selector("#recommendation li[data-method]", state="detached")
    page.click("#recommend-start")
    page.wait_for_selector("#recommendation li[data-method]")
    assert page.locator("#recommendation li[data-method]").first.get_attribute("data-method") == "nf4"


def test_an_error_names_fields_of_the_page(workshop: Served, visit: Any) -> None:
    page = visit(workshop.address)
    _open(page)
    page.select_option("#quantize-model", "demo")
    page.select_option("#quantize-method", "gguf")
    page.locator("#quantize-settings select").first.select_option("IQ2_XS")
    page.click("#quantize-start")
    page.wait_for_selector("#toasts >> text=set Importance matrix to auto")


def test_the_form_shows_only_what_a_quantization_uses(workshop: Served, visit: Any) -> None:
    page = visit(workshop.address)
    _open(page)
    page.select_option("#quantize-model", "demo")
    page.select_option("#quantize-method", "gguf")
    samples = page.locator("#quantize-settings label:has(> span:text-is('Samples'))")
    assert not page.is_visible("#quantize-text-choice")
    assert not samples.is_visible()
    page.locator("#quantize-settings label:has(> span:text-is('Importance matrix')) input").fill("auto")
    page.wait_for_selector("#quantize-text-choice")
    assert samples.is_visible()
    page.select_option("#quantize-method", "gptq")
    assert page.is_visible("#quantize-text-choice")
    assert not page.is_visible("#quantize-again")
    page.select_option("#quantize-model", DEMO)
    assert page.locator("#quantize-method option").all_inner_texts() == ["GGUF"]
    assert "quantized already" in page.inner_text("#quantize-again")
    page.select_option("#quantize-settings select", "Q4_0")
    page.click("#quantize-start")
    job = _finished(page, f"Quantizing {DEMO} with gguf")
    assert job.locator(".made > p").first.inner_text().startswith("demo.Q8_0-Q4_0")


def test_an_adapter_is_trained_applied_and_changes_the_answer(workshop: Served, visit: Any, tmp_path: Path) -> None:
    page = visit(workshop.address)
    ready(page)
    _open(page)
    page.select_option("#train-model", "demo")
    page.set_input_files("[aria-label='Data (file)']", _data(tmp_path))
    page.wait_for_function("document.querySelector('#train-data').value.endsWith('cat.jsonl')")
    for name, value in TRAINING.items():
        field = page.locator(f"#train-settings label:has(> span:text-is('{name}'))").locator("input, select")
        field.select_option(value) if name == "Base" else field.fill(value)
    page.click("#train-start")
    job = page.locator(".job").first
    page.wait_for_selector(".job:first-child[data-status=running]")
    job.get_by_role("button", name="Cancel").click()
    page.wait_for_selector(".job:first-child[data-status=cancelled]")
    job.get_by_role("button", name="Resume").click()
    page.wait_for_selector(".job:first-child[data-status=running] .loss-line", timeout=PATIENCE)
    job = _finished(page, "Training an adapter for demo")
    assert ANSWER in job.locator(".samples li").first.inner_text()
    assert job.locator("polyline.loss-line").get_attribute("points").count(",") >= 10
    _fits(page)
    job.get_by_role("button", name="Apply and open in chat").click()
    ready(page, "demo")
    assert ANSWER in ask(page, QUESTION)
    page.click("[data-view=workshop]")
    job.get_by_role("button", name="Convert to GGUF").click()
    made = _finished(page, "Converting demo-lora").locator(".made > p").first.inner_text()
    assert made.startswith("demo-lora.gguf: ")
    converted = page.locator(".job").first
    converted.get_by_role("button", name="Discard").click()
    converted.get_by_role("button", name="Move to the trash").click()
    page.locator("#toasts >> text=demo-lora.gguf is in the trash.").wait_for()
    page.wait_for_selector("[data-model='demo-lora.gguf']", state="detached")


def test_a_job_is_cancelled_and_tried_again_while_the_chat_goes_on(workshop: Served, visit: Any) -> None:
    page = visit(workshop.address)
    ready(page)
    _open(page)
    page.select_option("#measure-original", "")
    page.check(".models input[value=demo]")
    page.click("#evaluate-start")
    page.wait_for_selector(".job:first-child[data-status=running]")
    page.click("[data-view=chat]")
    assert ask(page, "What is GGUF?")
    _open(page)
    job = page.locator(".job").first
    job.get_by_role("button", name="Cancel").click()
    page.wait_for_selector(".job:first-child[data-status=cancelled]")
    job.get_by_role("button", name="Try again").click()
    page.wait_for_selector(".job:first-child[data-status=running]")
    job.locator(".log summary").click()
    page.wait_for_function("document.querySelector('.job .log pre').textContent.includes('Evaluating demo')")
    job.get_by_role("button", name="Cancel").click()
    page.wait_for_selector(".job:first-child[data-status=cancelled]")


def test_the_end_of_a_job_is_shown_beside_the_chat(workshop: Served, visit: Any) -> None:
    page = visit(workshop.address)
    ready(page)
    _open(page)
    page.fill("input[value='8192']", "256")
    page.select_option("#measure-original", "")
    page.check(f".models input[value='{DEMO}']")
    page.click("#evaluate-start")
    page.wait_for_selector(".job:first-child:is([data-status=running], [data-status=waiting])")
    page.click("[data-view=chat]")
    page.wait_for_selector(f"#toasts >> text=Evaluating {DEMO} has finished.", timeout=PATIENCE)
    page.locator("#toasts").get_by_role("button", name="Open Workshop").click()
    _finished(page, f"Evaluating {DEMO}")
