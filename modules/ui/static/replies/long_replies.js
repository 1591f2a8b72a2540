// Long replies can be collapsed: each by its button, or all older ones by a setting of the Session tab.

import { $, $$, textButton } from "../dom.js";

// A reply with so many characters is about as high as a window.
const LONG = 2400;

let collapsedByDefault = false;
// What the person chose, by the message's id.
const chosen = new Map();

/** Add a button to a reply if it is long. `refreshLongReplies` then decides whether it is collapsed. */
export function offerCollapse(message, id) {
  const body = $(".message-body", message);
  if (body.textContent.length < LONG) return;
  message.classList.add("long");
  const choose = (collapsed) => {
    chosen.set(id, collapsed);
    show(message, collapsed);
    if (collapsed) message.scrollIntoView({ block: "nearest" });
  };
  const button = textButton("", () => choose(!message.classList.contains("collapsed")), { kind: "fold-reply" });
  body.after(button);
  // What is hidden may get the focus from the keyboard.
  body.addEventListener("focusin", () => message.classList.contains("collapsed") && choose(false));
}

function show(message, collapsed) {
  message.classList.toggle("collapsed", collapsed);
  const button = $(".fold-reply", message);
  button.textContent = collapsed ? "Show the whole reply" : "Collapse this reply";
  button.setAttribute("aria-expanded", String(!collapsed));
}

/** Collapse the long replies that are to be. The newest one is not, unless the person chose so. */
export function refreshLongReplies(root) {
  for (const message of $$(".message.long", root)) {
    const isOld = !message.classList.contains("newest");
    show(message, chosen.get(message.dataset.id) ?? (collapsedByDefault && isOld));
  }
}

/** The setting of the Session tab has this value now. */
export function collapseByDefault(on, root) {
  if (on === collapsedByDefault) return;
  collapsedByDefault = on;
  chosen.clear();
  refreshLongReplies(root);
}
