// Numbers that are typed beside a slider.

const TYPED = "#drawer .setting .tab-like-container input[type=number]";

/**
 * A number that cannot be is told as it was typed, and stays as it is until the host's word. Left alone, Gradio's slider
 * puts the end of its range in its place, which nobody wanted and a load would take.
 */
export function leaveTypedNumbers() {
  const leave = (event) => {
    const field = event.target;
    if (!field.matches?.(TYPED)) return;
    const { rangeUnderflow, rangeOverflow } = field.validity;
    if (field.value && !rangeUnderflow && !rangeOverflow) return;
    event.stopImmediatePropagation();
    // To Gradio's slider, the end of a change like that of pulling it.
    field.dispatchEvent(new PointerEvent("pointerup", { bubbles: true }));
  };
  addEventListener("blur", leave, { capture: true });
}

/** The button on the Parameters tab that shows what the loaded model's loader does not honour, or folds it away. */
export function foldUnheard() {
  addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-show-unheard]");
    if (!button) return;
    const shown = document.body.classList.toggle("show-unheard");
    button.setAttribute("aria-pressed", String(shown));
    button.textContent = button.textContent.replace(shown ? /^Show/ : /^Hide/, shown ? "Hide" : "Show");
  });
}
