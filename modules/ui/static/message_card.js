// Draws one message of a chat, from the card that the host sends (`card` in chat_feed.py).

import { drawLore, drawSpeaker, messageNames } from "./characters/speaker.js";
import { $, $$, h, iconButton, textButton } from "./dom.js";
import { drawSources, linkCitations } from "./knowledge/citations.js";
import { openMenu } from "./menu.js";
import { drawPart } from "./message_parts.js";
import { ratingButtons } from "./order/rating.js";
import { offerCollapse } from "./replies/long_replies.js";
import { removeToast } from "./toasts.js";
import { readingButton } from "./voice/reading.js";

const STATISTICS = "paddock.statistics";

/** Return the element of a message. `actions` are those of the Transcript. The `living` message is being written. */
export function drawMessage(card, living, actions) {
  const isUser = card.role === "user";
  const body = h("div", { class: "message-body", dir: "auto" });
  // The parts of a living message come later, as they grow.
  body.append(...(card.parts ?? []).map(drawPart));
  if (card.passages) linkCitations(body, card.passages);
  const attributes = { ...messageNames(card), "data-id": card.id, "data-row": card.id };
  if (living) attributes.class += " living";
  const message = h(
    "article",
    attributes,
    drawSpeaker(card),
    body,
    card.cut ? h("p", { class: "message-note" }, `${card.cut} `, drawShowCut(actions)) : null,
    card.passages ? drawSources(card.passages) : null,
    (card.notes || []).map((note) => h("p", { class: "message-note" }, note)),
    drawLore(card),
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
  if (!living && !isUser) offerCollapse(message, card.id);
  return message;
}

const drawShowCut = (actions) =>
  h("button", { type: "button", class: "show-cut", onclick: actions.showCut }, "Show where");

function drawTools(card, isUser, actions) {
  const tools = [
    iconButton("copy", "Copy", () => actions.copy(card)),
    iconButton("edit", "Edit", () => actions.edit(card)),
    isUser || card.narrator ? null : iconButton("again", "Regenerate", () => actions.regenerate(card)),
    isUser || card.narrator ? null : readingButton(card),
    card.statistics ? seldom(iconButton("gauge", "Statistics", () => showStatistics(!statisticsShown()))) : null,
    iconButton("forward", isUser || card.narrator ? "Get a reply" : "Continue this reply", () => actions.resume(card), {
      class: "icon-button only-newest",
    }),
    seldom(iconButton("insert", "Put in a message below", () => actions.insert(card))),
    ...(isUser ? [] : ratingButtons(card, actions).map(seldom)),
    seldom(iconButton("branch", "Branch from here", () => actions.branch(card))),
    iconButton("trash", "Delete this and everything after it", () => actions.remove(card)),
    drawMore(),
  ];
  return h("div", { class: "tools" }, card.versions > 1 ? drawVersions(card, actions) : null, tools);
}

/** Mark a button that small screens show in a menu. */
const seldom = (button) => (button.classList.add("seldom"), button);

/** Return the button of small screens, whose menu presses the seldom buttons beside it. */
function drawMore() {
  const more = iconButton(
    "more",
    "More for this message",
    () => openMenu(more, "More for this message", $$(".seldom", more.parentElement).map(menuItem)),
    { class: "icon-button more-tools", "aria-haspopup": "menu" },
  );
  return more;
}

const menuItem = (button) => ({
  label: button.getAttribute("aria-label"),
  checked: button.getAttribute("aria-pressed") === "true",
  run: () => button.click(),
});

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
