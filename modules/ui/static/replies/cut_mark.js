// The mark before the first message that the model still reads: what is above did not fit into the context. It has the
// summary that stands for it in prompts, which can be made and edited there.

import { $, h, textButton } from "../dom.js";

/**
 * Draw the mark where prompts are cut, or remove it. `cut`: {before, note, summary, runs, problem} of chat_feed.py, or
 * null. `actions.act(verb, body)` posts an action of the chat, and resolves to false if it failed.
 */
export function markCut(list, cut, actions) {
  const old = $(".cut-mark", list);
  const message = cut && $(`.message[data-id="${CSS.escape(cut.before)}"]`, list);
  if (!message) return old?.remove();
  const key = JSON.stringify(cut);
  // A summary that is being edited stays as it is.
  if (old && (old.dataset.key === key || $("form", old))) {
    if (old.nextElementSibling !== message) message.before(old);
    return;
  }
  const mark = h("div", { class: "cut-mark", tabIndex: -1, role: "note" }, h("p", { class: "cut-line" }, cut.note));
  mark.dataset.key = key;
  mark.append(...drawSummary(mark, cut, actions));
  const wasOpen = Boolean(old && $("details", old)?.open);
  if (wasOpen && $("details", mark)) $("details", mark).open = true;
  old?.remove();
  message.before(mark);
}

function drawSummary(mark, cut, actions) {
  if (cut.runs) return [h("p", { class: "cut-state", role: "status" }, "The model is summarizing them …")];
  const problem = cut.problem ? [h("p", { class: "cut-state problem", role: "status" }, cut.problem)] : [];
  if (!cut.summary) {
    const buttons = [
      textButton("Summarize them", () => actions.act("summarize")),
      textButton("Write a summary", () => editSummary(mark, "", actions)),
    ];
    return [...problem, h("div", { class: "cut-buttons" }, buttons)];
  }
  const buttons = [
    textButton("Edit", () => editSummary(mark, cut.summary, actions)),
    textButton("Summarize again", () => actions.act("summarize")),
    textButton("Remove", () => actions.act("summary", { text: "" })),
  ];
  const text = h("p", { class: "summary-text", dir: "auto" }, cut.summary);
  const label = h("summary", {}, "The model reads this summary instead");
  return [...problem, h("details", {}, label, text, h("div", { class: "cut-buttons" }, buttons))];
}

function editSummary(mark, text, actions) {
  if ($("form", mark)) return;
  const label = "Summary of the messages above";
  const area = h("textarea", { class: "edit-area", dir: "auto", rows: 6, "aria-label": label });
  area.value = text;
  const close = () => {
    form.remove();
    // The next change of the list draws it as it is then.
    mark.classList.remove("editing");
    $("button, summary", mark)?.focus({ preventScroll: true });
  };
  const save = async (event) => {
    event.preventDefault();
    const value = area.value;
    close();
    if ((await actions.act("summary", { text: value })) === false) editSummary(mark, value, actions);
  };
  const buttons = [
    h("button", { type: "submit", class: "button primary" }, "Save"),
    textButton("Cancel", close),
  ];
  const form = h("form", { class: "edit-form", onsubmit: save }, area, h("div", { class: "row" }, buttons));
  area.addEventListener("keydown", (event) => {
    if (event.key === "Escape") (event.stopPropagation(), close());
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  mark.classList.add("editing");
  mark.append(form);
  area.focus();
}

/** Scroll to the mark. */
export function showCut(list) {
  const mark = $(".cut-mark", list);
  mark?.scrollIntoView({ block: "center" });
  mark?.focus({ preventScroll: true });
}
