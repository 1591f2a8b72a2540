// The chat as it is seen: settled messages are drawn once, the living one grows at its tail.

import { $, h, icon, iconButton, toast, unsay } from "./dom.js";
import { keepDraft } from "./drafts.js";

const NEAR = 90;
const DRAFT = "paddock.edit.";
const FIGURES = "paddock.figures";

const nameOf = (button) => button.getAttribute("aria-label") || button.textContent;

export class Transcript {
  /** `actions`: copy, edit, remove, regenerate, resume, branch, switchTo, retry; each takes the message's card. */
  constructor(root, actions) {
    this.root = root;
    this.actions = actions;
    this.list = h("div", { class: "transcript", role: "log", "aria-live": "off", "aria-label": "Messages" });
    this.blank = h("div", { class: "blank" });
    this.jump = h("button", { type: "button", class: "jump", hidden: true, "aria-label": "Go to the newest text", onclick: () => this.toEnd() }, icon("up"));
    root.replaceChildren(this.blank, this.list, this.jump);
    this.cards = [];
    this.sticky = true;
    this.figures(localStorage.getItem(FIGURES) === "shown");
    root.addEventListener("scroll", () => this.#look(), { passive: true });
    new ResizeObserver(() => this.sticky && this.toEnd()).observe(this.list);
  }

  #look() {
    this.sticky = this.root.scrollHeight - this.root.scrollTop - this.root.clientHeight < NEAR;
    this.jump.hidden = this.sticky;
  }

  /** Show the figures under all replies, or fold them away. */
  figures(shown) {
    document.body.classList.toggle("show-figures", shown);
    localStorage.setItem(FIGURES, shown ? "shown" : "folded");
  }

  toEnd() {
    this.root.scrollTop = this.root.scrollHeight;
    this.sticky = true;
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

  /** How the list changed; see chat_feed.py. Returns false where the focus was on a button that is gone for good. */
  messages({ keep, set, add, living }) {
    const before = this.last?.id;
    const focus = this.#focus();
    for (const card of this.cards.splice(keep)) this.element(card.id)?.remove();
    for (const card of set) {
      this.cards[this.cards.findIndex((old) => old.id === card.id)] = card;
      this.element(card.id)?.replaceWith(this.#draw(card, living));
    }
    this.cards.push(...add);
    this.list.append(...add.map((card) => this.#draw(card, living)));
    this.livingId = living;
    // Another branch than that of the living reply may be shown: a deletion was undone, or another tab turned to it.
    const growing = living && this.element(living);
    const tail = growing ? $(".tail", growing) : null;
    // Where only the title changed, the living reply goes on as it stands.
    if (tail !== this.tail) Object.assign(this, { tail, tailHtml: "", began: 0 });
    this.list.classList.toggle("writing", Boolean(living));
    for (const old of this.list.querySelectorAll(".message.newest")) old.classList.remove("newest");
    this.list.lastElementChild?.classList.add("newest");
    // Somebody was editing these before a reload.
    for (const card of [...set, ...add]) if (card.id !== living && localStorage.getItem(DRAFT + card.id) !== null) this.actions.edit(card, false);
    if (this.sticky || (this.last?.id !== before && add.some((card) => card.role === "user"))) this.toEnd();
    return !focus || this.#refocus(focus);
  }

  /** Which button of which message has the focus. */
  #focus() {
    const button = document.activeElement?.closest(".message button");
    return button && { button, name: nameOf(button), place: [...this.list.children].indexOf(button.closest(".message")) };
  }

  /** A message that is drawn anew keeps the focus on the same button, or on another where that one is of no use now. */
  #refocus({ button, name, place }) {
    const usable = (one) => one.isConnected && !one.disabled && one.checkVisibility();
    if (usable(button)) return true;
    const others = [...(this.list.children[place]?.querySelectorAll(".message-foot button") ?? [])].filter(usable);
    const next = others.find((one) => nameOf(one) === name) ?? others[0];
    next?.focus({ preventScroll: true });
    return Boolean(next);
  }

  /** The living reply grew. Returns its tokens per second so far, or 0. */
  living({ add, cut, tail, tokens }) {
    if (!this.tail) return 0;
    if (add) this.tail.insertAdjacentHTML("beforebegin", add);
    this.tailHtml = this.tailHtml.slice(0, cut) + tail;
    this.tail.innerHTML = this.tailHtml;
    const now = performance.now();
    if (!this.began) [this.began, this.first] = [now, tokens];
    const elapsed = (now - this.began) / 1000;
    const rate = elapsed > 0.4 ? (tokens - this.first) / elapsed : 0;
    const figures = $(".figures", this.element(this.livingId));
    figures.textContent = rate ? `${tokens} tokens · ${rate.toFixed(1)} tokens/s` : "";
    if (this.sticky) this.toEnd();
    return rate;
  }

  #draw(card, livingId) {
    const living = card.id === livingId;
    const mine = card.role === "user";
    const body = h("div", { class: "message-body", dir: "auto" });
    // The host rendered this with raw HTML switched off and every address checked.
    if (card.html) body.innerHTML = card.html;
    if (living) body.append(h("div", { class: "tail" }, h("span", { class: "waiting", "aria-label": "The model is reading" })));
    const article = h("article", { class: `message ${card.role}${living ? " living" : ""}`, "data-id": card.id, "aria-label": mine ? "You" : "Reply" }, body);
    for (const note of card.notes || []) article.append(h("p", { class: "message-note" }, note));
    if (card.receipt) article.append(this.#receipt(card.receipt));
    if (card.error) article.append(this.#trouble(card));
    article.append(h("div", { class: "message-foot" }, card.ending ? h("span", { class: "ending" }, card.ending) : null, h("span", { class: "figures", title: card.origin || false }, card.figures || ""), living ? null : this.#tools(card, mine)));
    return article;
  }

  #tools(card, mine) {
    const act = this.actions;
    const tools = h("div", { class: "tools" });
    if (card.versions > 1)
      tools.append(
        h("span", { class: "versions" },
          iconButton("left", "Previous version", () => act.switchTo(card, card.version - 1), { disabled: card.version <= 1 }),
          h("span", { "aria-label": `Version ${card.version} of ${card.versions}` }, `${card.version} / ${card.versions}`),
          iconButton("right", "Next version", () => act.switchTo(card, card.version + 1), { disabled: card.version >= card.versions })));
    tools.append(iconButton("copy", "Copy", () => act.copy(card)), iconButton("edit", "Edit", () => act.edit(card)));
    if (!mine) tools.append(iconButton("again", "Regenerate", () => act.regenerate(card)));
    if (card.figures) tools.append(iconButton("gauge", "Figures", () => this.figures(!document.body.classList.contains("show-figures"))));
    tools.append(iconButton("forward", mine ? "Get a reply" : "Continue this reply", () => act.resume(card), { class: "icon-button only-newest" }));
    tools.append(iconButton("branch", "Branch from here", () => act.branch(card)), iconButton("trash", "Delete from here on", () => act.remove(card)));
    return tools;
  }

  /** What each extension changed, before and after. */
  #receipt(changes) {
    const parts = changes.map(({ extension, hook, before, after }) =>
      h("div", {}, h("p", {}, `${extension}: ${hook}`), h("pre", {}, h("del", {}, before)), h("pre", {}, h("ins", {}, after))));
    return h("details", { class: "receipt" }, h("summary", {}, "What extensions changed"), ...parts);
  }

  #trouble(card) {
    const { error, detail, lower } = card.error;
    // The model's state tells of the same fault: once is enough.
    unsay(error);
    const box = h("div", { class: "trouble", role: "alert" }, h("p", {}, error));
    const row = h("div", { class: "row" });
    if (lower.length) row.append(h("button", { type: "button", class: "button primary", onclick: () => this.actions.retry(card, "lower") }, "Lower and retry"));
    row.append(h("button", { type: "button", class: "button", onclick: () => this.actions.retry(card, "reload") }, "Try again"));
    box.append(row);
    if (detail) box.append(h("details", {}, h("summary", {}, "Details"), h("pre", {}, detail)));
    return box;
  }

  /** Swap a message's body for a text field; `save(text, resend)` is called at the end, and resolves to false when the
   * text was not taken: it is then put back. */
  editor(card, text, save, focus = true) {
    const article = this.element(card.id);
    if (!article || article.classList.contains("editing")) return;
    const body = $(".message-body", article);
    const area = h("textarea", { class: "edit-area", dir: "auto", "aria-label": "Edit this message" });
    const key = DRAFT + card.id;
    area.value = localStorage.getItem(key) ?? text;
    const fit = () => ((area.style.height = "auto"), (area.style.height = `${area.scrollHeight + 2}px`));
    const end = () => {
      const inside = form.contains(document.activeElement);
      article.classList.remove("editing");
      form.remove();
      keepDraft(key, null);
      if (inside) $('.tools [aria-label="Edit"]', article)?.focus({ preventScroll: true });
    };
    const mine = card.role === "user";
    const done = async (resend) => {
      if (mine && !area.value.trim()) return toast("An empty message cannot be sent. Write something first.", { error: true });
      end();
      if ((await save(area.value, resend)) !== false) return;
      keepDraft(key, area.value);
      this.editor(card, text, save);
    };
    const form = h("form", { class: "edit-form", onsubmit: (event) => (event.preventDefault(), done(mine)) }, area,
      h("div", { class: "row" },
        h("button", { type: "submit", class: "button primary" }, mine ? "Save and send" : "Save"),
        mine ? h("button", { type: "button", class: "button", onclick: () => done(false) }, "Save only") : null,
        h("button", { type: "button", class: "button", onclick: end }, "Cancel")));
    area.addEventListener("input", () => (fit(), keepDraft(key, area.value === text ? null : area.value)));
    area.addEventListener("keydown", (event) => {
      if (event.key === "Escape") (event.stopPropagation(), end());
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) done(mine);
    });
    article.classList.add("editing");
    body.after(form);
    fit();
    if (focus) area.focus();
  }
}
