// The state of the view: which view and tab is open, what is unfolded, and what was typed. It survives a reload.

import { $, $$ } from "./dom.js";
import { ACCORDION, COUNTED_ID, chooseOption, enterValue, isDropdown } from "./gradio_internals/form_fields.js";
import { pendingRequests } from "./requests.js";

const KEY = "paddock.view-state";
const FIELDS = "input, textarea";
// These keep their own drafts.
const DRAFTED = "#chat-input textarea, #notebook-text, .edit-area, .chat-title";
// A pause in milliseconds, and how long to wait for one.
const PAUSE = 600;
const MAX_WAIT = 60_000;
// How long one field may take to be drawn.
const MAX_DRAWING = 3000;

// Fields and folds that the person used.
const touched = new WeakSet();
let lastActivity = 0;
let pressed = false;

const nextFrame = () => new Promise((resolve) => requestAnimationFrame(resolve));
const isWaitingForHost = () => document.body.classList.contains("waiting-for-host");
const labelOf = (field) =>
  field.getAttribute("aria-label") ||
  field.closest("label")?.querySelector("span")?.textContent.trim() ||
  field.placeholder ||
  "";
const alike = (anchor, { type, label }) =>
  $$(FIELDS, anchor).filter((one) => one.type === type && labelOf(one) === label);

/** Note what the person does. */
export function watchActivity() {
  const listen = (names, listener) => names.forEach((name) => addEventListener(name, listener, listening));
  const listening = { capture: true, passive: true };
  const active = (event) => event.isTrusted && (lastActivity = performance.now());
  listen(["keydown", "pointermove", "wheel", "touchmove", "compositionupdate"], active);
  listen(["pointerdown"], (event) => (active(event), (pressed = true)));
  listen(["pointerup", "pointercancel"], (event) => (active(event), (pressed = false)));
  const typed = (event) =>
    event.isTrusted && (active(event), event.target.matches?.(FIELDS)) && touched.add(event.target);
  listen(["input", "change"], typed);
  listen(["focusout"], ({ target }) => target.matches && isDropdown(target) && touched.add(target));
  listen(["click"], (event) => event.isTrusted && touched.add(event.target.closest?.(ACCORDION) ?? event.target));
}

/**
 * Wait until the person pauses and no request waits for an answer, but not longer than a minute. What is typed into a
 * window is not restored, so an open window is waited for as long as it takes.
 */
export async function waitForPause() {
  let start = performance.now();
  const busy = () =>
    pressed || performance.now() - lastActivity < PAUSE || pendingRequests() || isWaitingForHost() || $(".chat-title");
  for (;;) {
    if ($("dialog[open]")) start = performance.now();
    else if (!busy() || performance.now() - start >= MAX_WAIT) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Save the state of the view until `restoreViewState` is called. */
export function saveViewState() {
  const open = document.body.classList.contains("drawer-open");
  const tab = open ? $("#drawer-tabs [role=tab][aria-selected=true]")?.id.replace(/^tab-|-button$/g, "") : "";
  const used = (selector) => $$(selector).filter((one) => touched.has(one));
  const typed = used(FIELDS).filter((field) => !field.matches(DRAFTED) && (field.type !== "radio" || field.checked));
  const focus = document.activeElement?.matches(FIELDS) ? document.activeElement : null;
  const chat = $("#chat");
  const state = {
    view: document.body.dataset.view,
    tab,
    scroll: $("#drawer").scrollTop,
    chat: chat.scrollHeight - chat.scrollTop - chat.clientHeight < 90 ? null : chat.scrollTop,
    folds: used(ACCORDION).map((fold) => ({
      anchor: anchorOf(fold).id,
      tab: tabOf(fold),
      title: fold.textContent,
      open: fold.classList.contains("open"),
    })),
    fields: typed.map((field) => ({ ...describe(field), value: field.value, checked: field.checked })),
    focus: focus && { ...describe(focus), ...selectionOf(focus) },
  };
  sessionStorage.setItem(KEY, JSON.stringify(state));
}

/** Restore the state of the view that was saved before the reload. */
export async function restoreViewState(shell) {
  const state = JSON.parse(sessionStorage.getItem(KEY) || "null");
  sessionStorage.removeItem(KEY);
  if (!state) return;
  if (state.view !== document.body.dataset.view && $(`.views [data-view="${CSS.escape(state.view)}"]`))
    shell.showView(state.view);
  // A hidden field cannot get the focus, and a dropdown opens only when it gets it.
  if (state.tab) shell.openTab(state.tab);
  const activity = lastActivity;
  for (const fold of state.folds) await restoreFold(fold);
  for (const field of state.fields) await restoreField(field);
  if (state.tab) shell.openTab(state.tab);
  // If the person has done something since, do not move the page under them.
  if (activity !== lastActivity) return;
  if (state.tab) $("#drawer").scrollTop = state.scroll;
  const chat = $("#chat");
  if (state.chat !== null && (await until(() => chat.scrollHeight - chat.clientHeight >= state.chat)))
    chat.scrollTop = state.chat;
  if (state.focus && activity === lastActivity) await restoreFocus(state.focus);
}

/** Return the nearest element around this one whose id is the same in every build of the page. */
function anchorOf(element) {
  let anchor = element.parentElement;
  while (anchor !== document.body && (!anchor.id || COUNTED_ID.test(anchor.id))) anchor = anchor.parentElement;
  return anchor;
}

const tabOf = (element) => element.closest("#drawer-tabs > [role=tabpanel]")?.id ?? "";

const anchorNamed = (id) => (id ? document.getElementById(id) : document.body);

/** Describe a field so that it is found in another build of the page, by its anchor, type, label and index. */
function describe(field) {
  const anchor = anchorOf(field);
  const description = { anchor: anchor.id, tab: tabOf(field), type: field.type, label: labelOf(field) };
  return { ...description, index: alike(anchor, description).indexOf(field) };
}

function find(description) {
  const anchor = anchorNamed(description.anchor);
  return anchor && alike(anchor, description)[description.index];
}

function selectionOf(field) {
  try {
    return { start: field.selectionStart, end: field.selectionEnd };
  } catch {
    return {};
  }
}

/** Wait until `check` returns something and no form waits for an answer, which would replace what is set here. */
async function until(check) {
  const start = performance.now();
  let drawing = MAX_DRAWING;
  for (let last = start; drawing > 0 && last - start < MAX_WAIT; ) {
    const waiting = isWaitingForHost();
    const answer = !waiting && check();
    if (answer) return answer;
    await nextFrame();
    const now = performance.now();
    // On a busy machine the forms wait long for the host. That time does not count.
    if (!waiting) drawing -= now - last;
    last = now;
  }
  return null;
}

/** Open a tab of the drawer. Gradio draws it when it is opened for the first time. */
function drawTab(tab) {
  const button = tab && document.getElementById(`${tab}-button`);
  if (button && button.getAttribute("aria-selected") !== "true") button.click();
}

async function restoreFold({ anchor, tab, title, open }) {
  drawTab(tab);
  const folds = () => (anchorNamed(anchor) ? $$(ACCORDION, anchorNamed(anchor)) : []);
  const fold = await until(() => folds().find((one) => one.textContent === title));
  if (fold && fold.classList.contains("open") !== open) fold.click();
  if (fold) touched.add(fold);
}

async function restoreField(saved) {
  drawTab(saved.tab);
  const field = await until(() => find(saved));
  if (!field || touched.has(field)) return;
  touched.add(field);
  if (["checkbox", "radio"].includes(field.type)) return field.checked !== saved.checked && field.click();
  if (field.value === saved.value) return;
  if (isDropdown(field)) await chooseOption(field, saved.value, until);
  else enterValue(field, saved.value);
}

async function restoreFocus(saved) {
  const field = await until(() => find(saved));
  if (!field || !(await until(() => field.value.length >= (saved.end ?? 0)))) return;
  field.focus({ preventScroll: true });
  if (saved.start !== undefined && saved.start !== null) field.setSelectionRange(saved.start, saved.end);
}
