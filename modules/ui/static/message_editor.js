// Edits a message in place.

import { $, h, onceAtATime, textButton } from "./dom.js";
import { saveDraft } from "./drafts.js";
import { EditedFiles } from "./edited_files.js";
import { toast } from "./toasts.js";

const DRAFT = "paddock.edit.";

/** Return true if this message was being edited when the page was left. */
export const hasDraft = (card) => localStorage.getItem(DRAFT + card.id) !== null;

/**
 * Put a text field in place of a message's body, with the files of a person's message. `save(text, resend, files)` is
 * called when the person is done; `files` are null where they did not change. It resolves to false if the text was not
 * saved, and the field comes back with it. `find()` returns the message's present element.
 */
export function editMessage(find, card, text, save, focus = true) {
  const message = find();
  if (!message || message.classList.contains("editing")) return;
  const isUser = card.role === "user";
  const area = h("textarea", { class: "edit-area", dir: "auto", "aria-label": "Edit this message" });
  const key = DRAFT + card.id;
  area.value = localStorage.getItem(key) ?? text;
  let closed = false;
  const close = () => {
    closed = true;
    const hadFocus = form.contains(document.activeElement);
    message.classList.remove("editing");
    form.remove();
    saveDraft(key, null);
    if (hadFocus) $('.tools [aria-label="Edit"]', message)?.focus({ preventScroll: true });
  };
  const files = isUser ? new EditedFiles((card.parts ?? []).filter((part) => part.hash)) : null;
  // The host may still read a file: a second click, on whichever button, must not save, and send, twice.
  const finish = onceAtATime(async (resend) => {
    const kept = (await files?.take()) ?? [];
    // The person has cancelled in the time between.
    if (closed) return;
    if (isUser && !area.value.trim() && !kept.length)
      return toast("An empty message cannot be sent. Write something first.", { error: true });
    close();
    if ((await save(area.value, resend, files?.changed ? kept : null)) !== false) return;
    saveDraft(key, area.value);
    editMessage(find, card, text, save);
  });
  const buttons = [
    h("button", { type: "submit", class: "button primary" }, isUser ? "Save and send" : "Save"),
    isUser ? textButton("Save only", () => finish(false)) : null,
    textButton("Cancel", close),
  ];
  const onsubmit = () => finish(isUser);
  const row = h("div", { class: "row" }, buttons);
  const form = h("form", { class: "edit-form", onsubmit }, area, files?.element ?? "", row);
  const fitHeight = () => ((area.style.height = "auto"), (area.style.height = `${area.scrollHeight + 2}px`));
  area.addEventListener("input", () => (fitHeight(), saveDraft(key, area.value === text ? null : area.value)));
  area.addEventListener("keydown", (event) => {
    if (event.key === "Escape") (event.stopPropagation(), close());
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) finish(isUser);
  });
  message.classList.add("editing");
  $(".message-body", message).after(form);
  fitHeight();
  if (focus) area.focus();
}
