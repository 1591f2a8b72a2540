// Where a page stands, so that it can reload and come back there: view, drawer, folds, and what was typed.

import { $, inFlight } from "./dom.js";

const PLACE = "paddock.place";
const FIELDS = "input, textarea";
// These keep drafts of their own.
const DRAFTED = "#chat-input textarea, #notebook-text, .edit-area, .chat-title";
const FOLD = "button.label-wrap";
// Ids that Gradio gives out by number: another build has others.
const NUMBERED = /^(component|range_id)[-_]\d+$/;
// A pause, in milliseconds, and how long to wait for one.
const PAUSE = 600;
const LONGEST = 60_000;
// How long one field may take to be drawn.
const DRAWN = 3000;

const touched = new WeakSet();
let lastAct = 0;
let pressed = false;

const frame = () => new Promise((done) => requestAnimationFrame(done));
const labelOf = (field) => field.getAttribute("aria-label") || field.closest("label")?.querySelector("span")?.textContent.trim() || field.placeholder || "";
const peers = (anchor, field) => [...anchor.querySelectorAll(FIELDS)].filter((one) => one.type === field.type && labelOf(one) === field.label);

/** Note what a person does, for as long as the page lives. */
export function watchPlace() {
  const acted = (event) => event.isTrusted && (lastAct = performance.now());
  for (const name of ["keydown", "pointermove", "wheel", "touchmove", "compositionupdate"]) addEventListener(name, acted, { capture: true, passive: true });
  addEventListener("pointerdown", (event) => (acted(event), (pressed = true)), true);
  for (const name of ["pointerup", "pointercancel"]) addEventListener(name, (event) => (acted(event), (pressed = false)), true);
  const typed = (event) => event.isTrusted && (acted(event), event.target.matches?.(FIELDS)) && touched.add(event.target);
  for (const name of ["input", "change"]) addEventListener(name, typed, true);
  addEventListener("focusout", ({ target }) => target.matches?.("[role=combobox], [role=listbox]") && touched.add(target), true);
  addEventListener("click", (event) => event.isTrusted && touched.add(event.target.closest?.(FOLD) ?? event.target), true);
}

/** The first pause of the person at this page, at which no request of theirs is under way either. */
export async function pause() {
  const begun = performance.now();
  const busy = () => pressed || performance.now() - lastAct < PAUSE || inFlight() || document.body.classList.contains("asking") || $(".chat-title");
  while (busy() && performance.now() - begun < LONGEST) await new Promise((done) => setTimeout(done, 100));
}

/** Keep where the page stands until it is there again. */
export function leavePlace() {
  const open = document.body.classList.contains("drawer-open");
  const tab = open ? $("#drawer-tabs [role=tab][aria-selected=true]")?.textContent.trim().toLowerCase() : "";
  const typed = [...document.querySelectorAll(FIELDS)].filter((field) => touched.has(field) && !field.matches(DRAFTED) && (field.type !== "radio" || field.checked));
  const folds = [...document.querySelectorAll(FOLD)].filter((fold) => touched.has(fold));
  const focus = document.activeElement?.matches(FIELDS) ? document.activeElement : null;
  const chat = $("#chat");
  const place = {
    view: document.body.dataset.view,
    tab,
    scroll: $("#drawer").scrollTop,
    chat: chat.scrollHeight - chat.scrollTop - chat.clientHeight < 90 ? null : chat.scrollTop,
    folds: folds.map((fold) => ({ anchor: anchorOf(fold).id, tab: tabOf(fold), title: fold.textContent, open: fold.classList.contains("open") })),
    fields: typed.map((field) => ({ ...addressOf(field), value: field.value, checked: field.checked })),
    focus: focus && { ...addressOf(focus), ...selectionOf(focus) },
  };
  sessionStorage.setItem(PLACE, JSON.stringify(place));
}

/** Come back to where the page stood before it was loaded again. */
export async function comeBack(shell) {
  const place = JSON.parse(sessionStorage.getItem(PLACE) || "null");
  sessionStorage.removeItem(PLACE);
  if (!place) return;
  if (place.view !== document.body.dataset.view && $(`.views [data-view="${CSS.escape(place.view)}"]`)) shell.view(place.view);
  // What is hidden takes no focus, and a list opens at the focus only.
  if (place.tab) shell.openTab(place.tab);
  const acts = lastAct;
  for (const fold of place.folds) await setFold(fold);
  for (const field of place.fields) await fill(field);
  if (place.tab) shell.openTab(place.tab);
  // What the person has done since counts more.
  if (acts !== lastAct) return;
  if (place.tab) $("#drawer").scrollTop = place.scroll;
  if (place.chat !== null && (await until(() => $("#chat").scrollHeight - $("#chat").clientHeight >= place.chat))) $("#chat").scrollTop = place.chat;
  if (place.focus && acts === lastAct) await refocus(place.focus);
}

function anchorOf(element) {
  let anchor = element.parentElement;
  while (anchor !== document.body && (!anchor.id || NUMBERED.test(anchor.id))) anchor = anchor.parentElement;
  return anchor;
}

const tabOf = (element) => element.closest("#drawer-tabs > [role=tabpanel]")?.id ?? "";

const anchored = (id) => (id ? document.getElementById(id) : document.body);

/** How another build of the page finds this field: the element around it that has a name, its label, and which of them. */
function addressOf(field) {
  const anchor = anchorOf(field);
  const address = { anchor: anchor.id, tab: tabOf(field), type: field.type, label: labelOf(field) };
  return { ...address, place: peers(anchor, address).indexOf(field) };
}

function found(address) {
  const anchor = anchored(address.anchor);
  return anchor && peers(anchor, address)[address.place];
}

function selectionOf(field) {
  try {
    return { start: field.selectionStart, end: field.selectionEnd };
  } catch {
    return {};
  }
}

/** Wait until this holds and no form waits for an answer, which would put what holds at the host in its place. */
async function until(holds) {
  const begun = performance.now();
  while (performance.now() - begun < DRAWN) {
    const answer = !document.body.classList.contains("asking") && holds();
    if (answer) return answer;
    await frame();
  }
  return null;
}

/** Gradio draws a tab of the drawer when it is first looked at. */
function draw(tab) {
  const button = tab && document.getElementById(`${tab}-button`);
  if (button && button.getAttribute("aria-selected") !== "true") button.click();
}

async function setFold({ anchor, tab, title, open }) {
  draw(tab);
  const fold = await until(() => [...(anchored(anchor)?.querySelectorAll(FOLD) ?? [])].find((one) => one.textContent === title));
  if (fold && fold.classList.contains("open") !== open) fold.click();
  if (fold) touched.add(fold);
}

async function fill(address) {
  draw(address.tab);
  const field = await until(() => found(address));
  if (!field || touched.has(field)) return;
  touched.add(field);
  if (["checkbox", "radio"].includes(field.type)) return field.checked !== address.checked && field.click();
  if (field.value === address.value) return;
  if (field.matches("[role=combobox], [role=listbox]")) return choose(field, address.value);
  type(field, address.value);
  field.dispatchEvent(new Event("change", { bubbles: true }));
  if (field.type === "number" || field.type === "range") field.dispatchEvent(new PointerEvent("pointerup", { bubbles: true }));
}

/** Put text into one of Gradio's fields the way typing does. */
export function type(field, text) {
  Object.getOwnPropertyDescriptor(Object.getPrototypeOf(field), "value").set.call(field, text);
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

/** Choose from one of Gradio's lists as a click does. */
async function choose(field, value) {
  field.focus();
  const option = await until(() => [...document.querySelectorAll("ul[role=listbox] [role=option]")].find((one) => one.getAttribute("aria-label") === value));
  option?.dispatchEvent(new MouseEvent("mousedown", { bubbles: true, cancelable: true }));
  field.blur();
}

async function refocus(address) {
  const field = await until(() => found(address));
  if (!field || !(await until(() => field.value.length >= (address.end ?? 0)))) return;
  field.focus({ preventScroll: true });
  if (address.start !== undefined && address.start !== null) field.setSelectionRange(address.start, address.end);
}
