// The frame of the page: views, list of chats, drawer and theme.

import { $, $$, h, targetOf } from "./dom.js";
import { showLook, updateLook } from "./look.js";
import { saveViewState, waitForPause } from "./view_state.js";

const WIDE = matchMedia("(min-width: 900px)");
const OWN_ESCAPE = ".edit-form, .chat-title, dialog, [role=listbox], input[role=listbox]";

export class Shell {
  /** `onView(name, byPointer)` is called when another view is shown. */
  constructor({ onView }) {
    this.onView = onView;
    this.#bindButtons();
    this.#bindEscape();
    this.#keepToastsAboveComposer();
    document.body.append(h("div", { class: "scrim", onclick: () => this.#closePanels() }));
    // On a narrow page the list of chats would cover the chat.
    const update = () => this.toggleSidebar(WIDE.matches && localStorage.getItem("paddock.sidebar") !== "closed");
    WIDE.addEventListener("change", update);
    update();
    this.systemDark = matchMedia("(prefers-color-scheme: dark)");
    this.systemDark.addEventListener("change", () => this.setTheme());
    this.setTheme(localStorage.getItem("paddock.theme") || "system");
    addEventListener("paddock-theme", (/** @type {CustomEvent} */ event) => this.setTheme(event.detail));
    // Gradio sets its own choice of dark when it starts.
    new MutationObserver(() => this.setTheme()).observe(document.body, { attributeFilter: ["class"] });
  }

  #bindButtons() {
    const onClick = (selector, action) => $(selector).addEventListener("click", action);
    for (const button of $$(".views [data-view]"))
      button.addEventListener("click", ({ detail }) => this.showView(button.dataset.view, detail > 0));
    onClick("#open-sidebar", () => (this.toggleSidebar(), $("#close-sidebar").focus({ preventScroll: true })));
    onClick("#close-sidebar", () => this.toggleSidebar(false));
    onClick("#open-drawer", () => this.toggleDrawer());
    onClick("#close-drawer", () => this.toggleDrawer(false));
    onClick("#model-pill", () => this.openTab("model"));
    // Gradio keeps the scroll position of the tab that was open before.
    onClick("#drawer", (event) => event.target.closest("[role=tab]") && ($("#drawer").scrollTop = 0));
  }

  /** Let Escape close the drawer, and the list of chats where that covers the chat. */
  #bindEscape() {
    // Escape closes an open dropdown first. It no longer says that it was open when the event arrives at the window.
    let dropdownOpen = false;
    const note = (event) => (dropdownOpen = targetOf(event).matches?.("[role=combobox][aria-expanded=true]"));
    addEventListener("keydown", note, true);
    addEventListener("keydown", (event) => {
      if (dropdownOpen || event.key !== "Escape" || event.defaultPrevented) return;
      if (document.body.classList.contains("writing") || targetOf(event).closest?.(OWN_ESCAPE)) return;
      this.toggleDrawer(false);
      if (!WIDE.matches) this.toggleSidebar(false);
    });
  }

  #closePanels() {
    this.toggleDrawer(false);
    this.toggleSidebar(false);
  }

  /** Show toasts above the composer, whose height changes, and above what extensions draw below it. */
  #keepToastsAboveComposer() {
    const update = () => {
      const { height, bottom } = $("#chat-frame").getBoundingClientRect();
      if (height) document.body.style.setProperty("--toasts", `${innerHeight - bottom + 16}px`);
      else document.body.style.removeProperty("--toasts");
    };
    new ResizeObserver(update).observe($("#chat-frame"));
  }

  /** Show a view by its name. */
  showView(name, byPointer = false) {
    document.body.dataset.view = name;
    for (const button of $$(".views [data-view]"))
      button.setAttribute("aria-pressed", String(button.dataset.view === name));
    this.onView(name, byPointer);
  }

  /** Open or close the list of chats. */
  toggleSidebar(open = !document.body.classList.contains("sidebar-open")) {
    document.body.classList.toggle("sidebar-open", open);
    if (WIDE.matches) localStorage.setItem("paddock.sidebar", open ? "open" : "closed");
    const hadFocus = $("#sidebar").contains(document.activeElement);
    $("#sidebar").inert = !open;
    if (!open && hadFocus) $("#open-sidebar").focus();
  }

  /** Open or close the drawer. */
  toggleDrawer(open = !document.body.classList.contains("drawer-open")) {
    const wasOpen = document.body.classList.contains("drawer-open");
    document.body.classList.toggle("drawer-open", open);
    $("#drawer").inert = !open;
    $("#open-drawer").setAttribute("aria-expanded", String(open));
    if (open === wasOpen) return;
    if (!open) return $("#open-drawer").focus();
    $("#refresh-all")?.click();
    if (!WIDE.matches) this.toggleSidebar(false);
    // From the button in the header, the Tab key would go to the list of chats next.
    $("#drawer-tabs [role=tab][aria-selected=true]").focus({ preventScroll: true });
  }

  /** Open a tab of the drawer by its name in lower case. */
  openTab(name) {
    this.toggleDrawer(true);
    const tab = $$("#drawer-tabs [role=tab]").find((one) => this.tabName(one) === name);
    tab?.click();
    tab?.focus({ preventScroll: true });
  }

  /** Return the name of a tab of the drawer, in every language. */
  tabName(tab) {
    return tab.id.replace(/^tab-/, "").replace(/-button$/, "");
  }

  /** Open a tab of the drawer and the folds around a field's title, and focus the field. */
  openField(tab, title) {
    this.openTab(tab);
    for (let fold = title.closest(".fold"); fold; fold = fold.parentElement.closest(".fold")) {
      const button = $("button.label-wrap", fold);
      if (button && !button.classList.contains("open")) button.click();
    }
    requestAnimationFrame(() => {
      const field = title.closest(".block")?.querySelector("input, textarea, select, button");
      field?.focus({ preventScroll: true });
      title.scrollIntoView({ block: "center" });
    });
  }

  /** Apply the person's look and language. `before` is the state before this one, or null. */
  apply(state, before) {
    // The host has another build of the page: other extensions are on, or Paddock was started again.
    if (before && ["page", "language"].some((part) => before[part] !== state[part])) this.reload();
    if (state.theme !== this.theme) this.setTheme(state.theme);
    updateLook(state.look);
  }

  /** Load the host's new build of the page at the next pause, and restore the state of the view. */
  async reload() {
    if (this.reloading) return;
    this.reloading = true;
    await waitForPause();
    saveViewState();
    location.reload();
  }

  /** Set the theme: "light", "dark" or "system". */
  setTheme(choice = this.theme) {
    this.theme = choice;
    localStorage.setItem("paddock.theme", choice);
    const dark = choice === "dark" || (choice === "system" && this.systemDark.matches);
    if (document.body.classList.contains("dark") !== dark) document.body.classList.toggle("dark", dark);
    showLook();
    // Scripts of text-generation-webui read the theme from the name of this style sheet. No browser loads it.
    $("#highlight-css").setAttribute("href", `file/css/highlightjs/${dark ? "github-dark" : "github"}.min.css`);
  }
}
