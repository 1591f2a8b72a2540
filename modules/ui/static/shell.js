// The frame: views, sidebar, drawer, theme, and the model's pill.

import { $, attempt, h, post, toast, unsay } from "./dom.js";
import { leavePlace, pause } from "./view_state.js";

const WIDE = "(min-width: 900px)";

export class Shell {
  /** `onView(name, byPointer)`: another view is shown. */
  constructor({ onView }) {
    this.onView = onView;
    const body = document.body;
    for (const button of document.querySelectorAll(".views [data-view]")) button.addEventListener("click", ({ detail }) => this.view(button.dataset.view, detail > 0));
    $("#open-sidebar").addEventListener("click", () => (this.sidebar(), $("#close-sidebar").focus({ preventScroll: true })));
    $("#close-sidebar").addEventListener("click", () => this.sidebar(false));
    $("#open-drawer").addEventListener("click", () => this.drawer());
    $("#close-drawer").addEventListener("click", () => this.drawer(false));
    $("#model-pill").addEventListener("click", () => this.openTab("model"));
    // Gradio leaves another tab as far down as the last one was read.
    $("#drawer").addEventListener("click", (event) => event.target.closest("[role=tab]") && ($("#drawer").scrollTop = 0));
    // An open list closes at Escape, and knows nothing of it any more when the event comes here.
    addEventListener("keydown", (event) => (this.list = event.target.matches?.("[role=combobox][aria-expanded=true]")), true);
    addEventListener("keydown", (event) => {
      if (this.list || event.key !== "Escape" || event.defaultPrevented || body.classList.contains("writing")) return;
      if (event.target.closest?.(".edit-form, .chat-title, [role=listbox], input[role=listbox]")) return;
      this.drawer(false);
      if (!matchMedia(WIDE).matches) this.sidebar(false);
    });
    this.#clearToasts();
    this.scrim = h("div", { class: "scrim", onclick: () => (this.drawer(false), this.sidebar(false)) });
    body.append(this.scrim);
    // Where there is no room beside the chat, the list would lie over it.
    const wide = matchMedia(WIDE);
    const beside = () => this.sidebar(wide.matches && localStorage.getItem("paddock.sidebar") !== "closed");
    wide.addEventListener("change", beside);
    beside();
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.dark.addEventListener("change", () => this.theme());
    this.theme(localStorage.getItem("paddock.theme") || "system");
    addEventListener("paddock-theme", (event) => this.theme(event.detail));
    // Gradio sets its own idea of dark when it starts; ours wins.
    new MutationObserver(() => this.theme()).observe(body, { attributeFilter: ["class"] });
  }

  /** Toasts stand above the composer, however high it has grown and whatever extensions draw below it. */
  #clearToasts() {
    const look = () => {
      const { height, bottom } = $("#chat-frame").getBoundingClientRect();
      if (height) document.body.style.setProperty("--toasts", `${innerHeight - bottom + 16}px`);
      else document.body.style.removeProperty("--toasts");
    };
    new ResizeObserver(look).observe($("#chat-frame"));
  }

  view(name, byPointer = false) {
    document.body.dataset.view = name;
    for (const button of document.querySelectorAll(".views [data-view]")) button.setAttribute("aria-pressed", String(button.dataset.view === name));
    this.onView(name, byPointer);
  }

  sidebar(open = !document.body.classList.contains("sidebar-open")) {
    document.body.classList.toggle("sidebar-open", open);
    if (matchMedia(WIDE).matches) localStorage.setItem("paddock.sidebar", open ? "open" : "closed");
    const inside = $("#sidebar").contains(document.activeElement);
    $("#sidebar").inert = !open;
    if (!open && inside) $("#open-sidebar").focus();
  }

  drawer(open = !document.body.classList.contains("drawer-open")) {
    const was = document.body.classList.contains("drawer-open");
    document.body.classList.toggle("drawer-open", open);
    $("#drawer").inert = !open;
    $("#open-drawer").setAttribute("aria-expanded", String(open));
    if (open && !was) $("#refresh-all")?.click();
    if (open && !was && !matchMedia(WIDE).matches) this.sidebar(false);
    if (!open && was) $("#open-drawer").focus();
    // From the header the Tab key would come to the list of chats next.
    if (open && !was) $("#drawer-tabs [role=tab][aria-selected=true]").focus({ preventScroll: true });
  }

  openTab(name) {
    this.drawer(true);
    const tab = [...document.querySelectorAll("#drawer-tabs [role=tab]")].find((one) => one.textContent.trim().toLowerCase() === name);
    tab?.click();
    tab?.focus({ preventScroll: true });
  }

  /** The host has another build of the page: load it at the next pause, and come back to where this one stands. */
  async reload() {
    if (this.reloading) return;
    this.reloading = true;
    await pause();
    leavePlace();
    location.reload();
  }

  theme(choice = this.choice) {
    this.choice = choice;
    localStorage.setItem("paddock.theme", choice);
    const dark = choice === "dark" || (choice === "system" && this.dark.matches);
    if (document.body.classList.contains("dark") !== dark) document.body.classList.toggle("dark", dark);
    // Scripts of text-generation-webui read the theme off the name of its style sheet for code. Nothing fetches it.
    $("#highlight-css").setAttribute("href", `file/css/highlightjs/${dark ? "github-dark" : "github"}.min.css`);
  }

  /** The model's state, from the host; see model_status.py. */
  state(state) {
    const before = this.model;
    this.model = state;
    if (state.theme !== this.choice) this.theme(state.theme);
    // A model may be ready while another waits for its loader to be installed.
    const busy = ["installing", "starting", "loading"].includes(state.phase) || Boolean(state.text);
    const pill = $("#model-pill");
    pill.dataset.phase = state.phase;
    const percent = state.fraction === null ? "" : ` ${Math.round(state.fraction * 100)} %`;
    const words = { ready: `${state.model} · ${state.title}`, empty: "No model loaded", failed: state.model ? `${state.model} failed` : "No model loaded" };
    $(".pill-text", pill).textContent = busy ? `${state.text || "Loading"}${percent}` : words[state.phase];
    pill.title = state.phase === "ready" ? `${state.model}, ${state.title}, context of ${state.context.toLocaleString()} tokens. Open the Model tab` : "Open the Model tab";
    const bar = $("#load-bar");
    bar.hidden = !busy;
    bar.classList.toggle("unknown", state.fraction === null);
    bar.firstElementChild.style.width = state.fraction === null ? "" : `${state.fraction * 100}%`;
    if (state.fraction === null) bar.removeAttribute("aria-valuenow");
    else bar.setAttribute("aria-valuenow", Math.round(state.fraction * 100));
    const same = ["phase", "model", "loader", "adapters", "error"].every((part) => JSON.stringify(before?.[part]) === JSON.stringify(state[part]));
    const turned = before && !same;
    const downloads = before && JSON.stringify(before.downloads) !== JSON.stringify(state.downloads);
    if (downloads) this.#downloads(state.downloads.under_way);
    const moved = before && (before.downloads.turns !== state.downloads.turns || before.extensions !== state.extensions);
    if ((turned || moved) && !busy && document.body.classList.contains("drawer-open")) $("#refresh-all")?.click();
    if (state.phase === "ready" && !state.error && this.failure) this.failure = unsay(this.failure);
    // The first state of a connection is no news.
    if (!this.joined) this.joined = true;
    else if (state.error && !same && !downloads) this.#failed(state.error);
  }

  /** How far each download is, in its row on the Model tab. */
  #downloads(underWay) {
    for (const [name, { text, percent }] of Object.entries(underWay)) {
      const row = document.getElementById(`download-${name}`);
      const bar = row && $(".progress", row);
      if (!bar) continue;
      $(".state", row).textContent = text;
      bar.classList.toggle("unknown", percent === null);
      bar.firstElementChild.style.width = percent === null ? "" : `${percent}%`;
    }
  }

  #failed(error) {
    const action = error.lower.length ? { label: "Lower and retry", run: () => attempt(() => post("/model/lower")) } : null;
    if (this.failure !== error.error) unsay(this.failure);
    // The reply that it broke off says it already.
    if ([...document.querySelectorAll(".trouble > p")].some((told) => told.textContent === error.error && told.checkVisibility())) return;
    this.failure = error.error;
    toast(error.error, { error: true, detail: error.detail, action });
  }

  /** The rate of the reply in the making; 0 when none is, as its figures then stand under it. */
  speed(rate) {
    if (this.model?.phase !== "ready" || this.model.text) return;
    const words = [this.model.model, this.model.title, rate && `${rate.toFixed(1)} tokens/s`];
    $("#model-pill .pill-text").textContent = words.filter(Boolean).join(" · ");
  }
}
