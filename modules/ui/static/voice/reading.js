// Reads replies aloud, with the voice of an extension. One reply at a time.

import { $, $$, iconButton } from "../dom.js";
import { attempt, postForFile } from "../requests.js";

// Not read: code, what tools answered, thinking, and the buttons in a reply.
const SILENT = "pre, .code, details, .tool-call, button, .formula-source, [aria-hidden=true]";
const LABELS = { idle: "Read aloud", busy: "Stop reading" };

let player = null;
let current = "";
// Counts the starts and stops. The sound of an earlier start may come after a later one, of the same message too.
let turn = 0;

/** Return the button that reads the message of a card, or stops it. */
export const readingButton = (card) =>
  iconButton("speaker", current === card.id ? LABELS.busy : LABELS.idle, () => toggleReading(card.id), {
    class: "icon-button read-aloud",
    "data-read": card.id,
    "aria-pressed": String(current === card.id),
  });

/** Read a message aloud, or stop if it is being read. */
export async function toggleReading(id) {
  const wasReading = current === id;
  stopReading();
  if (wasReading) return;
  const body = $(`.message[data-id="${CSS.escape(id)}"] .message-body`);
  const text = body ? spokenText(body) : "";
  if (!text) return;
  current = id;
  const own = ++turn;
  mark();
  const sound = await attempt(() => postForFile("/voice/speech", { text }));
  if (turn !== own) return;
  if (!sound) return stopReading();
  const address = URL.createObjectURL(sound);
  player = new Audio(address);
  const end = () => turn === own && stopReading();
  player.addEventListener("ended", end);
  player.addEventListener("error", end);
  player.play().catch(end);
}

/** Stop reading. */
export function stopReading() {
  turn += 1;
  player?.pause();
  if (player) URL.revokeObjectURL(player.src);
  player = null;
  current = "";
  mark();
}

/** Return true while a message is being read. */
export const isReading = () => Boolean(current);

/** Return what is read of a message: its text without code, thinking and answers of tools. */
export function spokenText(body) {
  const copy = body.cloneNode(true);
  for (const part of copy.querySelectorAll(SILENT)) part.remove();
  for (const block of copy.querySelectorAll("p, li, h1, h2, h3, h4, h5, h6, tr, blockquote, br")) block.append("\n");
  return copy.textContent.replace(/[ \t]+/g, " ").replace(/\s*\n\s*/g, "\n").trim();
}

function mark() {
  for (const button of $$(".read-aloud")) {
    const reading = button.dataset.read === current;
    button.setAttribute("aria-pressed", String(reading));
    button.setAttribute("aria-label", reading ? LABELS.busy : LABELS.idle);
    button.title = reading ? LABELS.busy : LABELS.idle;
  }
}
