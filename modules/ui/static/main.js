// Starts the page once Gradio has drawn it, and connects its parts.

import { takeDroppedFiles } from "./attachments.js";
import { CharactersOnPage } from "./characters/start.js";
import { ChatPanel } from "./chat_panel.js";
import { copyCodeOnClick } from "./clipboard.js";
import { addPageCommands } from "./commands/page_commands.js";
import { Composer } from "./composer.js";
import { $, $$, whenPresent } from "./dom.js";
import { runExtensionScripts } from "./extension_scripts.js";
import { addExtensionViews } from "./extension_views.js";
import { interceptFetch } from "./gradio_internals/event_requests.js";
import { sendInvalidNumbers } from "./gradio_internals/form_fields.js";
import { fillIcons } from "./icons.js";
import { LoadedModels } from "./loaded_models.js";
import { MessageActions } from "./message_actions.js";
import { ModelState } from "./model_state.js";
import { NodeList } from "./nodes.js";
import { Notebook } from "./notebook.js";
import { addSettingsSections } from "./order/settings_section.js";
import { showTemporary } from "./order/temporary.js";
import { addOverflowSection } from "./replies/overflow_section.js";
import { RequestError, attempt, get, post } from "./requests.js";
import { Shell } from "./shell.js";
import { Sidebar } from "./sidebar.js";
import { Stream } from "./stream.js";
import { showToastsOfEvents, toast } from "./toasts.js";
import { Transcript } from "./transcript.js";
import { translatePage } from "./translation/translate.js";
import { toggleUnsupportedParameters } from "./unsupported_parameters.js";
import { restoreViewState, watchActivity } from "./view_state.js";
import { ReplyWatch } from "./voice/reply_completed.js";
import { drawWelcome } from "./welcome.js";
import { Workshop } from "./workshop/view.js";

// Stands in the address for a new chat, which the host creates with its first message.
const NEW = "new";
// Views that the address names, so that a reload shows them again.
const NAMED_VIEWS = ["notebook", "workshop"];

// Actions of a chat that begin a reply.
const REPLIES = ["regenerate", "continue", "reload", "lower", "speak"];

// Drawn by Gradio: the page starts when all of them are there.
const NEEDED = ["#chat", "#chat-list", "#composer-buttons #stop", "#notebook-text", "#workshop", "#close-drawer"];

class Page {
  async start() {
    interceptFetch();
    watchActivity();
    takeDroppedFiles((files) => this.composer?.attachments.add(files));
    showToastsOfEvents();
    copyCodeOnClick();
    sendInvalidNumbers();
    toggleUnsupportedParameters();
    await Promise.all([...NEEDED.map(whenPresent), translatePage()]);
    await addExtensionViews();
    fillIcons();
    await this.#makeParts();
    document.addEventListener("click", (event) => this.#click(event));
    addEventListener("popstate", () => this.#openFromAddress());
    this.offer = await get("/start");
    document.body.dataset.view = "chat";
    await this.#openFromAddress();
    addPageCommands(this);
    document.body.classList.add("started");
    runExtensionScripts();
    // The field was hidden until now, and could not have the focus.
    this.writingField.focus();
    addEventListener("paddock-outdated", () => this.shell.reload());
    restoreViewState(this.shell);
  }

  async #makeParts() {
    [this.chat, this.state] = ["", null];
    this.composer = new Composer({
      send: (...message) => this.send(...message),
      stop: () => this.act("stop"),
      openExtensions: () => this.shell.openTab("extensions"),
    });
    await this.composer.attach();
    this.transcript = new Transcript($("#chat"), new MessageActions(this).all());
    this.replies = new ReplyWatch(this.transcript);
    this.notebook = new Notebook({ follow: () => this.#follow() });
    this.workshop = new Workshop({ openInChat: (...how) => this.openInChat(...how) });
    this.modelState = new ModelState();
    this.loadedModels = new LoadedModels();
    this.nodes = new NodeList();
    this.sidebar = new Sidebar({ open: (id) => this.open(id), current: () => this.chat, create: () => this.create() });
    addSettingsSections();
    addOverflowSection();
    this.characters = new CharactersOnPage(this);
    this.panel = new ChatPanel({ current: () => this.chat, create: () => this.#createNow() });
    this.stream = new Stream(this.#handlers(), () => this.#lost());
    this.shell = new Shell({ onView: (name, byPointer) => this.#viewShown(name, byPointer) });
  }

  /** Return the part that has the field for writing in the present view. */
  get writingField() {
    return document.body.dataset.view === "notebook" ? this.notebook : this.composer;
  }

  async #openFromAddress() {
    const view = location.hash.slice(1);
    const first = (await this.sidebar.refresh()).find((chat) => !chat.archived);
    const wanted = new URLSearchParams(location.search).get("chat");
    if (wanted === NEW) this.open("", false);
    else if (wanted) this.open(wanted, false);
    else if (first) this.open(first.id, false);
    else this.blank();
    if (NAMED_VIEWS.includes(view)) this.shell.showView(view);
  }

  /** Note the view in the address, so that a reload shows it again. */
  #viewShown(name, byPointer) {
    const hash = NAMED_VIEWS.includes(name) ? `#${name}` : "";
    history.replaceState(null, "", location.pathname + location.search + hash);
    this.#follow();
    if (name === "workshop") this.workshop.refresh();
    if (byPointer && ["chat", "notebook"].includes(name)) this.writingField.focus();
  }

  #handlers() {
    return {
      open: () => (this.modelState.firstOfConnection = true),
      offline: () => this.notebook.offline(),
      state: (state) => this.#state(state),
      messages: (change) => this.#messages(change),
      living: (growth) => this.modelState.showSpeed(this.transcript.appendLiving(growth)),
      chats: (chats) => this.#chats(chats),
      folders: (folders) => this.sidebar.setFolders(folders),
      answering: (ids) => this.sidebar.setAnswering(ids),
      gone: (error) => (this.stream.close(), toast(error.error, { error: true, detail: error.detail })),
      text: (facts) => this.notebook.update(facts),
      growth: (growth) => this.notebook.append(growth),
      jobs: (jobs) => this.workshop.setJobs(jobs),
      progress: (state) => this.workshop.progress(state),
    };
  }

  /** Open a new chat. The host creates it with its first message. */
  blank() {
    this.open("", true);
  }

  /** Show a chat, or with an empty id a new one. `push`: as a new step of the browser's history. */
  open(id, push = true) {
    this.chat = id;
    this.transcript.clear();
    this.title = "";
    this.#setHeading("");
    this.panel.close();
    document.title = "Paddock";
    const address = `?chat=${encodeURIComponent(id || NEW)}`;
    if (push) history.pushState(null, "", address);
    else history.replaceState(null, "", address);
    this.composer.openChat(id);
    this.composer.setWriting(false);
    document.body.classList.remove("writing");
    if (document.body.dataset.view !== "chat") this.shell.showView("chat");
    else this.#follow();
    this.sidebar.draw();
    showTemporary(this.sidebar, id);
    this.#welcome();
    if (!matchMedia("(min-width: 900px)").matches) this.shell.toggleSidebar(false);
  }

  #setHeading(title) {
    for (const heading of $$("#chat-heading, .chat-head-title")) heading.textContent = title;
  }

  /** Open a new chat, and ask what it offers. */
  async create() {
    this.blank();
    this.offer = (await attempt(() => get("/start"))) || this.offer;
    this.#welcome();
  }

  /** Load a model by `load`, and show a new chat while it loads. */
  async openInChat(model, load = () => post("/model/load", { model })) {
    this.create();
    await attempt(load);
  }

  #follow() {
    const chat = this.chat ? `/chats/${encodeURIComponent(this.chat)}/events` : "/events";
    const { view } = document.body.dataset;
    const named = view === "notebook" ? this.notebook.eventsPath : `/${view}/events`;
    this.stream.follow(NAMED_VIEWS.includes(view) ? named : chat);
  }

  /** The chat does not exist any more. Open a new one, so that what is typed next does not go into another old chat. */
  #lost() {
    if (document.body.dataset.view !== "chat" || this.sidebar.removing === this.chat) return;
    this.open("", false);
    const reason = "it was deleted in another tab, or its address is wrong";
    toast(`The chat that was open here does not exist: ${reason}. This is a new chat.`, { error: true });
  }

  /** Create the new chat that is open. Resolve to its id, or false if that failed. Who asks twice gets one chat. */
  #createNow() {
    this.creating ??= this.#createOnce().finally(() => (this.creating = null));
    return this.creating;
  }

  async #createOnce() {
    const head = await attempt(() => post("/chats", {}));
    if (head === false) return false;
    // Another chat was opened in the time between: it stays open, and keeps its draft.
    if (this.chat) return head.id;
    this.composer.moveDraftTo(head.id);
    const focus = this.panel.dialog.open && /** @type {HTMLElement} */ (document.activeElement);
    this.open(head.id);
    if (focus) (this.panel.dialog.showModal(), focus.focus());
    return head.id;
  }

  /** Send a message. Resolve to false if it was not stored. */
  async send(text, files = []) {
    const chat = this.chat || (await this.#createNow());
    if (!chat) return false;
    if (chat === this.chat) this.replies.ask(chat);
    try {
      const { result } = await post(`/chats/${encodeURIComponent(chat)}/send`, { text, files });
      if (result.waiting) toast("The model is still loading. Your message is answered once it has loaded.");
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      const openModels = { label: "Open models", run: () => this.shell.openTab("model") };
      const action = this.state?.phase === "ready" ? null : openModels;
      toast(error.message, { error: true, detail: error.detail, action });
      // Unless it could not be stored, the message is in the chat, and only the reply is missing.
      return error.code !== "not_saved" && error.code !== "";
    } finally {
      this.sidebar.refresh();
    }
    return true;
  }

  /** Post an action of this chat, or of the one that was open when the person began it. */
  act(verb, body = {}, chat = this.chat) {
    if (REPLIES.includes(verb) && chat === this.chat) this.replies.ask(chat);
    return attempt(() => post(`/chats/${encodeURIComponent(chat)}/${verb}`, body));
  }

  #messages(change) {
    if (!this.transcript.applyChange(change)) this.composer.focus();
    this.characters.update();
    const writing = Boolean(change.living);
    this.replies.changed(this.chat, this.composer.writing, writing, this.state);
    this.composer.setWriting(writing);
    if (!writing) this.modelState.showSpeed(0);
    document.body.classList.toggle("writing", writing);
    if (change.title !== this.title) {
      this.title = change.title;
      this.#setHeading(change.title);
      document.title = `${change.title} · Paddock`;
      if (!this.sidebar.retitle(this.chat, change.title)) this.sidebar.refresh();
    }
    this.#welcome();
  }

  /** The list of chats changed, here or in another tab. This chat may have been deleted. */
  #chats(chats) {
    this.sidebar.setChats(chats);
    if (this.chat && !chats.some((chat) => chat.id === this.chat)) this.#lost();
    showTemporary(this.sidebar, this.chat);
  }

  #state(state) {
    this.shell.apply(state, this.state);
    this.state = state;
    this.modelState.update(state);
    this.loadedModels.update(state);
    this.nodes.update(state);
    this.workshop.jobEnded(state.job, () => this.shell.showView("workshop"));
    this.transcript.setCollapse(state.collapse_replies);
    this.composer.setModel(state);
    this.#welcome();
  }

  /** Show or hide what an empty chat shows. */
  #welcome() {
    drawWelcome(this);
  }

  #click(event) {
    const tab = event.target.closest?.("[data-open-tab]");
    if (tab) this.shell.openTab(tab.dataset.openTab);
  }
}

// Scripts of extensions use it.
globalThis.paddock = new Page();
globalThis.paddock.start();
