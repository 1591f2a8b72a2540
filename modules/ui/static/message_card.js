// Draws one message of a chat, from the card that the host sends (`card` in chat_feed.py).

import { $, h, iconButton, textButton } from "./dom.js";
import { drawPart } from "./message_parts.js";
import { removeToast } from "./toasts.js";

const STATISTICS = "paddock.statistics";

/** Return the element of a message. `actions` are those of the Transcript. The `living` message is being written. */
export function drawMessage(card, living, actions) {
  const isUser = card.role === "user";
  const body = h("div", { class: "message-body", dir: "auto" });
  // The parts of a living message come later, as they grow.
  body.append(...(card.parts ?? []).map(drawPart));
  const attributes = {
    class: `message ${card.role}${living ? " living" : ""}`,
    "data-id": card.id,
    "aria-label": isUser ? "You" : "Reply",
  };
  return h(
    "article",
    attributes,
    body,
    (card.notes || []).map((note) => h("p", { class: "message-note" }, note)),
    card.receipt ? drawReceipt(card.receipt) : null,
    card.error ? drawError(card, actions) : null,
    h(
      "div",
      { class: "message-foot" },
      card.finish_reason ? h("span", { class: "finish-reason" }, card.finish_reason) : null,
      h("span", { class: "statistics", title: card.origin || false }, card.statistics || ""),
      living ? null : drawTools(card, isUser, actions),
    ),
  );
}

function drawTools(card, isUser, actions) {
  const tools = [
    iconButton("copy", "Copy", () => actions.copy(card)),
    iconButton("edit", "Edit", () => actions.edit(card)),
    isUser ? null : iconButton("again", "Regenerate", () => actions.regenerate(card)),
    card.statistics ? iconButton("gauge", "Statistics", () => showStatistics(!statisticsShown())) : null,
    iconButton("forward", isUser ? "Get a reply" : "Continue this reply", () => actions.resume(card), {
      class: "icon-button only-newest",
    }),
    iconButton("branch", "Branch from here", () => actions.branch(card)),
    iconButton("trash", "Delete this and everything after it", () => actions.remove(card)),
  ];
  return h("div", { class: "tools" }, card.versions > 1 ? drawVersions(card, actions) : null, tools);
}

function drawVersions(card, actions) {
  const { version, versions } = card;
  const to = (number) => () => actions.switchTo(card, number);
  return h(
    "span",
    { class: "versions" },
    iconButton("left", "Previous version", to(version - 1), { disabled: version <= 1 }),
    h("span", { "aria-label": `Version ${version} of ${versions}` }, `${version} / ${versions}`),
    iconButton("right", "Next version", to(version + 1), { disabled: version >= versions }),
  );
}

/** Draw what each extension changed, before and after. */
function drawReceipt(changes) {
  const parts = changes.map(({ extension, hook, before, after }) =>
    h(
      "div",
      {},
      h("p", {}, `${extension}: ${hook}`),
      h("pre", {}, h("del", {}, before)),
      h("pre", {}, h("ins", {}, after)),
    ),
  );
  return h("details", { class: "receipt" }, h("summary", {}, "What extensions changed"), ...parts);
}

function drawError(card, actions) {
  const { error, detail, lower } = card.error;
  // The model's state may show the same error as a toast.
  removeToast(error);
  const lowerButton = textButton("Lower and retry", () => actions.retry(card, "lower"), { kind: "primary" });
  const retryButton = textButton("Try again", () => actions.retry(card, "reload"));
  return h(
    "div",
    { class: "reply-error", role: "alert" },
    h("p", {}, error),
    h("div", { class: "row" }, lower.length ? lowerButton : null, retryButton),
    detail ? h("details", {}, h("summary", {}, "Details"), h("pre", {}, detail)) : null,
  );
}

const statisticsShown = () => document.body.classList.contains("show-statistics");

/** Show the statistics under all replies, or hide them. */
function showStatistics(shown) {
  document.body.classList.toggle("show-statistics", shown);
  localStorage.setItem(STATISTICS, shown ? "shown" : "hidden");
}

/** Show the statistics if they were shown on the last visit. */
export const restoreStatistics = () => showStatistics(localStorage.getItem(STATISTICS) === "shown");

/** Show how long the living reply is and how fast it grows. `speed` is in tokens per second, or 0. */
export function updateStatistics(message, tokens, speed) {
  $(".statistics", message).textContent = speed ? `${tokens} tokens · ${speed.toFixed(1)} tokens/s` : "";
}
