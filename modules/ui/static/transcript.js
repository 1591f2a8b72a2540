// The messages of a chat. Settled messages are drawn once; the living one, which is being written, grows at its tail.

import { $, $$, h } from "./dom.js";
import { icon } from "./icons.js";
import { drawMessage, restoreStatistics, updateStatistics } from "./message_card.js";
import { editMessage, hasDraft } from "./message_editor.js";
import { keepFolds, LivingParts } from "./message_parts.js";
import { keepFocus } from "./redraw.js";
import { clickInReply, restoreWrap } from "./replies/code_blocks.js";
import { markCut, showCut } from "./replies/cut_mark.js";
import { collapseByDefault, refreshLongReplies } from "./replies/long_replies.js";

// Within so many pixels of the end, the chat scrolls along as it grows.
const NEAR_END = 90;
// Seconds that a speed is measured for at least.
const MIN_MEASURED = 0.4;

export class Transcript {
  /**
   * `actions`: copy, edit, remove, regenerate, resume, branch, switchTo, retry. Each takes the message's card.
   * `act(verb, body)` posts an action of the chat.
   * `answerCall(id, answer)` answers a call of a tool that asks.
   */
  constructor(root, actions) {
    this.root = root;
    this.actions = { ...actions, showCut: () => showCut(this.list) };
    this.list = h("div", { class: "transcript", role: "log", "aria-live": "off", "aria-label": "Messages" });
    this.blank = h("div", { class: "blank" });
    const onclick = () => this.scrollToEnd();
    const label = "Go to the newest text";
    this.jump = h("button", { type: "button", class: "jump", hidden: true, "aria-label": label, onclick }, icon("up"));
    root.replaceChildren(this.blank, this.list, this.jump);
    this.cards = [];
    this.livingId = null;
    // The living reply's body and what grows in it, and where the measurement of the speed began.
    this.body = null;
    this.growing = null;
    this.growingId = null;
    this.firstTime = 0;
    this.firstTokens = 0;
    this.atEnd = true;
    restoreStatistics();
    restoreWrap();
    root.addEventListener("click", clickInReply);
    root.addEventListener("scroll", () => this.#noteScroll(), { passive: true });
    new ResizeObserver(() => this.atEnd && this.scrollToEnd()).observe(this.list);
  }

  #noteScroll() {
    this.atEnd = this.root.scrollHeight - this.root.scrollTop - this.root.clientHeight < NEAR_END;
    this.jump.hidden = this.atEnd;
  }

  /** Collapse long replies, or not: the setting of the Session tab. */
  setCollapse(on) {
    collapseByDefault(on, this.list);
  }

  scrollToEnd() {
    this.root.scrollTop = this.root.scrollHeight;
    this.atEnd = true;
    this.jump.hidden = true;
  }

  clear() {
    this.cards = [];
    this.list.replaceChildren();
    this.livingId = null;
  }

  get last() {
    return this.cards[this.cards.length - 1];
  }

  element(id) {
    return this.list.querySelector(`[data-id="${CSS.escape(id)}"]`);
  }

  /** Apply a change of the list (`messages` in chat_feed.py). Return false if what had the focus is gone. */
  applyChange(change) {
    return keepFocus(this.list, () => this.#apply(change));
  }

  #apply(change) {
    const { set, living, cut } = change;
    const { keep, add } = this.#withoutKnown(change);
    const lastBefore = this.last?.id;
    const draw = (card) => drawMessage(card, card.id === living, this.actions);
    for (const card of this.cards.splice(keep)) this.element(card.id)?.remove();
    for (const card of set) {
      this.cards[this.cards.findIndex((old) => old.id === card.id)] = card;
      const before = this.element(card.id);
      const after = draw(card);
      if (before) keepFolds(before, after);
      before?.replaceWith(after);
    }
    this.cards.push(...add);
    this.list.append(...add.map(draw));
    this.livingId = living;
    this.#followLiving();
    this.list.classList.toggle("writing", Boolean(living));
    for (const old of $$(".message.newest", this.list)) old.classList.remove("newest");
    this.list.lastElementChild?.classList.add("newest");
    markCut(this.list, cut, this.actions);
    refreshLongReplies(this.list);
    for (const card of [...set, ...add]) if (card.id !== living && hasDraft(card)) this.actions.edit(card, false);
    if (this.atEnd || (this.last?.id !== lastBefore && add.some((card) => card.role === "user"))) this.scrollToEnd();
  }

  /**
   * Return {keep, add} of a change without the messages that are shown as they are. A new connection sends all of them:
   * drawing them again would close folds and fields, and the next key would be a shortcut.
   */
  #withoutKnown({ keep, add, living }) {
    const isKnown = (card, place) =>
      card.id !== living && JSON.stringify(card) === JSON.stringify(this.cards[keep + place]);
    const first = add.findIndex((card, place) => !isKnown(card, place));
    const known = first < 0 ? add.length : first;
    return { keep: keep + known, add: add.slice(known) };
  }

  /** Find the living reply. Its branch may not be shown: another tab may have switched to another one. */
  #followLiving() {
    const message = this.livingId && this.element(this.livingId);
    const body = message ? $(".message-body", message) : null;
    // If only the title changed, the living reply was not drawn again.
    if (body === this.body) return;
    const before = this.growingId === this.livingId ? this.growing : null;
    const growing = body && new LivingParts(body, this.actions.answerCall, before);
    [this.body, this.growing, this.growingId, this.firstTime] = [body, growing, this.livingId, 0];
  }

  /** Add what the living reply grew by. Return its speed in tokens per second, or 0 while that is not known. */
  appendLiving({ parts, tokens }) {
    if (!this.growing) return 0;
    this.growing.apply(parts);
    const now = performance.now();
    if (!this.firstTime) [this.firstTime, this.firstTokens] = [now, tokens];
    const elapsed = (now - this.firstTime) / 1000;
    const speed = elapsed > MIN_MEASURED ? (tokens - this.firstTokens) / elapsed : 0;
    updateStatistics(this.element(this.livingId), tokens, speed);
    if (this.atEnd) this.scrollToEnd();
    return speed;
  }

  /** Edit a message in place; see message_editor.js. */
  edit(card, text, save, focus) {
    editMessage(() => this.element(card.id), card, text, save, focus);
  }
}
