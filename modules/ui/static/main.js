// Puts the page together once Gradio has drawn it.

import { $, Trouble, address, arrival, attempt, copyText, fillIcons, get, h, post, sayWhatIsTold, toast } from "./dom.js";
import { Composer } from "./composer.js";
import { runExtensionScripts } from "./extension_scripts.js";
import { refuseDroppedFiles } from "./dropped_files.js";
import { addExtensionViews } from "./extensions.js";
import { foldUnheard, leaveTypedNumbers } from "./fields.js";
import { Notebook } from "./notebook.js";
import { comeBack, watchPlace } from "./view_state.js";
import { watchRequests } from "./requests.js";
import { Shell } from "./shell.js";
import { Sidebar } from "./sidebar.js";
import { Stream } from "./stream.js";
import { Transcript } from "./transcript.js";

// What the address calls a chat that is not kept until its first message.
const NEW = "new";
const NOTEBOOK = "#notebook";

class Page {
  async start() {
    watchRequests();
    watchPlace();
    refuseDroppedFiles();
    sayWhatIsTold();
    leaveTypedNumbers();
    foldUnheard();
    await Promise.all(["#chat", "#chat-list", "#composer-buttons #stop", "#notebook-text", "#close-drawer"].map(arrival));
    await addExtensionViews();
    fillIcons();
    this.chat = "";
    this.state = null;
    this.wishes = new Set();
    this.composer = new Composer({ send: (text) => this.send(text), stop: () => this.act("stop") });
    await this.composer.attach();
    this.transcript = new Transcript($("#chat"), this.#actions());
    this.notebook = new Notebook();
    this.sidebar = new Sidebar({ open: (id) => this.open(id), opened: () => this.chat, create: () => this.create() });
    this.stream = new Stream(this.#handlers(), () => this.#lost());
    this.shell = new Shell({ onView: (name, byPointer) => this.#view(name, byPointer) });
    document.addEventListener("click", (event) => this.#click(event));
    addEventListener("popstate", () => this.#fromAddress());
    this.offer = await get("/start");
    document.body.dataset.view = "chat";
    await this.#fromAddress();
    document.body.classList.add("started");
    runExtensionScripts();
    // Before that, it was hidden, and could have no focus.
    this.writing.focus();
    addEventListener("paddock-old", () => this.shell.reload());
    comeBack(this.shell);
  }

  /** Where a person writes now. */
  get writing() {
    return document.body.dataset.view === "notebook" ? this.notebook : this.composer;
  }

  async #fromAddress() {
    const notebook = location.hash === NOTEBOOK;
    const chats = await this.sidebar.refresh();
    const wanted = new URLSearchParams(location.search).get("chat");
    if (wanted === NEW) this.open("", false);
    else if (wanted) this.open(wanted, false);
    else if (chats.length) this.open(chats[0].id, false);
    else this.blank();
    if (notebook) this.shell.view("notebook");
  }

  /** The address says which view is open: a reload comes back to it. */
  #view(name, byPointer) {
    history.replaceState(null, "", location.pathname + location.search + (name === "notebook" ? NOTEBOOK : ""));
    this.#follow();
    if (byPointer && ["chat", "notebook"].includes(name)) this.writing.focus();
  }

  #handlers() {
    return {
      open: () => (this.shell.joined = false),
      state: (state) => this.#state(state),
      messages: (change) => this.#messages(change),
      living: (delta) => this.shell.speed(this.transcript.living(delta)),
      chats: (chats) => this.#chats(chats),
      gone: (error) => (this.stream.close(), toast(error.error, { error: true, detail: error.detail })),
      text: (facts) => this.notebook.text(facts),
      growth: (delta) => this.notebook.growth(delta),
    };
  }

  /** A chat that is not kept until its first message. */
  blank() {
    this.open("", true);
  }

  open(id, push = true) {
    this.chat = id;
    this.transcript.clear();
    this.title = "";
    $("#chat-heading").textContent = "";
    document.title = "Paddock";
    const address = `?chat=${encodeURIComponent(id || NEW)}`;
    if (push) history.pushState(null, "", address);
    else history.replaceState(null, "", address);
    this.composer.show(id);
    this.composer.writes(false);
    document.body.classList.remove("writing");
    if (document.body.dataset.view !== "chat") this.shell.view("chat");
    else this.#follow();
    this.sidebar.draw();
    this.#welcome();
    if (!matchMedia("(min-width: 900px)").matches) this.shell.sidebar(false);
  }

  async create() {
    this.blank();
    this.offer = (await attempt(() => get("/start"))) || this.offer;
    this.#welcome();
  }

  #follow() {
    const notebook = document.body.dataset.view === "notebook";
    this.stream.follow(notebook ? "/notebook/events" : this.chat ? `/chats/${encodeURIComponent(this.chat)}/events` : "/events");
  }

  /** The chat is not there any more. What is typed next must not go into another old one. */
  #lost() {
    if (document.body.dataset.view !== "chat" || this.sidebar.removing === this.chat) return;
    this.open("", false);
    toast("The chat that was open here is gone: it was deleted elsewhere, or its address is wrong. This is a new one.", { error: true });
  }

  async send(text) {
    if (!this.chat) {
      const head = await attempt(() => post("/chats", {}));
      if (head === false) return false;
      this.composer.moves(head.id);
      this.open(head.id);
    }
    try {
      const { result } = await post(`/chats/${encodeURIComponent(this.chat)}/send`, { text });
      if (result.waiting) toast("The model is still loading. Your message waits here, and is answered as soon as the model is ready.");
    } catch (error) {
      if (!(error instanceof Trouble)) throw error;
      const action = this.state?.phase === "ready" ? null : { label: "Open models", run: () => this.shell.openTab("model") };
      toast(error.message, { error: true, detail: error.detail, action });
      // Unless it was not kept, the message is in the chat: only the reply is missing.
      return error.code !== "not kept" && error.code !== "";
    } finally {
      this.sidebar.refresh();
    }
    return true;
  }

  act(verb, body = {}) {
    return attempt(() => post(`/chats/${encodeURIComponent(this.chat)}/${verb}`, body));
  }

  /** Do something with a message. A second click before the answer to the first is no second wish. */
  async #once(verb, card, body = {}) {
    const wish = `${verb} ${card.id}`;
    if (this.wishes.has(wish)) return false;
    this.wishes.add(wish);
    const answer = await this.act(verb, { message: card.id, ...body });
    this.wishes.delete(wish);
    return answer;
  }

  #actions() {
    const source = async (card) => (await get(`/chats/${encodeURIComponent(this.chat)}/messages/${encodeURIComponent(card.id)}`)).text;
    return {
      copy: (card) => attempt(() => copyText(source(card))),
      edit: (card, focus) => attempt(async () => this.transcript.editor(card, await source(card), (text, resend) => this.#edit(card, text, resend), focus)),
      remove: (card) => this.#remove(card),
      regenerate: (card) => this.#once("regenerate", card),
      resume: (card) => this.#once("continue", card),
      switchTo: (card, version) => this.#once("switch", card, { version }),
      retry: (card, how) => this.#once(how, card),
      branch: async (card) => {
        const answer = await this.#once("branch", card);
        if (answer === false) return;
        await this.sidebar.refresh();
        this.open(answer.result.id);
        toast("This is a new chat, branched from there.");
      },
    };
  }

  async #remove(card) {
    const chat = this.chat;
    if ((await this.#once("delete", card)) === false) return;
    const run = () => attempt(() => post(`/chats/${encodeURIComponent(chat)}/undelete`, { message: card.id }));
    toast("Deleted from here on.", { action: { label: "Undo", run } });
  }

  async #edit(card, text, resend) {
    const answer = await this.act("edit", { message: card.id, text });
    if (answer !== false && resend) await this.act("regenerate", { message: answer.result });
    return answer;
  }

  #messages(change) {
    if (!this.transcript.messages(change)) this.composer.focus();
    const writing = Boolean(change.living);
    this.composer.writes(writing);
    if (!writing) this.shell.speed(0);
    document.body.classList.toggle("writing", writing);
    if (change.title !== this.title) {
      this.title = change.title;
      $("#chat-heading").textContent = change.title;
      document.title = `${change.title} · Paddock`;
      if (!this.sidebar.retitle(this.chat, change.title)) this.sidebar.refresh();
    }
    this.#welcome();
  }

  /** The list changed, here or in another tab; this chat may be gone. */
  #chats(chats) {
    this.sidebar.changed(chats);
    if (this.chat && !chats.some((chat) => chat.id === this.chat)) this.#lost();
  }

  #state(state) {
    // The host has another build of the page: other extensions are on, or it was started again.
    if (this.state && this.state.page !== state.page) this.shell.reload();
    this.state = state;
    this.shell.state(state);
    this.composer.fits(state.phase === "ready" ? state.context : 0);
    this.#welcome();
  }

  /** What an empty chat says: how to get a model, or what to ask. */
  #welcome() {
    const blank = this.transcript.blank;
    const empty = !this.transcript.cards.length;
    $("#chat").classList.toggle("empty", empty);
    if (!empty || !this.state) return blank.replaceChildren();
    const key = JSON.stringify([this.state.phase, this.state.model, this.offer.character]);
    if (blank.dataset.key === key && blank.childElementCount) return;
    blank.dataset.key = key;
    blank.replaceChildren(...this.#invitation());
  }

  #invitation() {
    const { phase, model, error } = this.state;
    const openModels = h("button", { type: "button", class: "button", onclick: () => this.shell.openTab("model") }, "Open models");
    const picture = h("img", { src: address("/static/icon.svg"), alt: "", width: "44", height: "44" });
    const { character } = this.offer;
    if (phase === "ready" && character) return [picture, h("h2", {}, character.name), h("p", {}, character.greeting || "Write the first message.")];
    if (phase === "ready")
      return [picture, h("h2", {}, "What would you like to know?"),
        h("div", { class: "chips" }, this.offer.questions.map((question) => h("button", { type: "button", class: "chip", onclick: () => this.send(question) }, question)))];
    if (phase !== "empty" && phase !== "failed") return [picture, h("h2", {}, `Getting ${model} ready`), h("p", {}, "You can send a message already. It is answered as soon as the model is loaded.")];
    const { demo, folder, models } = this.offer;
    const loadDemo = demo && h("button", { type: "button", class: "button primary", onclick: () => attempt(() => post("/model/load", { model: demo })) }, "Load the demo model");
    const words = error ? error.error : models.length ? "A model answers here once one is loaded. The demo is tiny and starts in a second." : `Open the Model tab and get a model there, or copy a model folder or a .gguf file into ${folder} and press Refresh.`;
    return [picture, h("h2", {}, phase === "failed" ? "The model did not load" : "No model is loaded"), h("p", {}, words), h("div", { class: "row" }, loadDemo || null, openModels)];
  }

  #click(event) {
    const button = event.target.closest?.(".copy-code");
    if (button) copyText(button.closest(".code").querySelector("pre").textContent);
    const tab = event.target.closest?.("[data-open-tab]");
    if (tab) this.shell.openTab(tab.dataset.openTab);
  }
}

// For the scripts of extensions.
globalThis.paddock = new Page();
globalThis.paddock.start();
