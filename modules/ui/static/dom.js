// Small helpers: make elements, talk to the host, say something to the person.

export const $ = (selector, root = document) => root.querySelector(selector);

/** An element. Texts are always text nodes: nothing that comes from outside becomes markup here. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && name !== "list" && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const PATHS = {
  copy: "M9 9h10v11H9zM5 15V4h10",
  edit: "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
  again: "M20 11a8 8 0 1 0-2 6M20 5v6h-6",
  forward: "M5 12h13M13 6l6 6-6 6",
  branch: "M7 4v16M7 14c0-5 10-3 10-9M17 5l-3 3M17 5l3 3",
  left: "M14 6l-6 6 6 6",
  right: "M10 6l6 6-6 6",
  up: "M12 19V6M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
  close: "M6 6l12 12M18 6L6 18",
  menu: "M4 7h16M4 12h16M4 17h16",
  plus: "M12 5v14M5 12h14",
  sliders: "M4 8h9M17 8h3M4 16h3M11 16h9M15 6v4M9 14v4",
  more: "M6 12h.01M12 12h.01M18 12h.01",
  gauge: "M4 18a9 9 0 1 1 16 0M12 15l4-5M12 15h.01",
  undo: "M9 7L4 12l5 5M4 12h10a5 5 0 0 1 0 10",
};

/** One of our own line icons. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** A button that shows an icon and says its name to screen readers and on hover. */
export function iconButton(name, label, onclick, extra = {}) {
  return h("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...extra }, icon(name));
}

/** Fill every `<i data-icon="…">` that the host's markup holds. */
export function fillIcons(root = document) {
  for (const place of root.querySelectorAll("i[data-icon]")) place.replaceWith(icon(place.dataset.icon));
}

/** What is said, once, while the host does not answer. */
const AWAY = "Paddock is not running. Start it again in the terminal; your text is kept.";

/** An error whose sentence is for the person; `lower` names settings whose reduction would help. */
export class Trouble extends Error {
  constructor(answer) {
    super(answer.error || AWAY);
    Object.assign(this, { detail: answer.detail || "", code: answer.code || "", lower: answer.lower || [] });
  }
}

/** The address of a path of the page's own routes: a reverse proxy may serve all of them under a path of its own. */
export const address = (path) => new URL(`..${path}`, import.meta.url).href;

let underWay = 0;
/** How many requests of the page's own wait for an answer. */
export const inFlight = () => underWay;

async function request(path, options) {
  underWay += 1;
  try {
    return await answered(path, options);
  } finally {
    underWay -= 1;
  }
}

async function answered(path, options) {
  let response;
  try {
    response = await fetch(address(path), options);
  } catch {
    throw new Trouble({});
  }
  sayBack();
  const answer = await response.json().catch(() => ({}));
  // The server's gate answers as the API does.
  if (answer.error?.message) answer.error = answer.error.message;
  if (!response.ok) throw new Trouble(answer.error ? answer : { error: `Paddock answered with ${response.status}.` });
  return answer;
}

export const get = (path) => request(path, {});
export const post = (path, body = {}) =>
  request(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

/** The toasts that say this. */
const saying = (text) => [...document.querySelectorAll("#toasts .toast")].filter((note) => $("span", note).textContent === text);

/** A short word at the bottom of the page; `action`: {label, run} adds a button. What is said already is not stacked. */
export function toast(text, { action = null, error = false, detail = "" } = {}) {
  let shelf = $("#toasts");
  if (!shelf) {
    shelf = h("div", { id: "toasts", role: "status", "aria-live": "polite" });
    document.body.append(shelf);
  }
  // What can be undone is another thing each time.
  const same = error || !action ? saying(text) : [];
  if (!action && same.length) return same[0].stay();
  for (const old of same) old.remove();
  const note = h("div", { class: error ? "toast error" : "toast" }, h("span", {}, text));
  const leave = () => note.remove();
  // Not from under the pointer that is about to press its button, nor from a keyboard's focus on it.
  const expire = () => (note.matches(":hover, :focus-within") ? note.stay() : leave());
  note.stay = () => {
    clearTimeout(note.timer);
    if (!detail && text !== AWAY) note.timer = setTimeout(expire, error ? 12000 : 7000);
  };
  if (detail) note.append(h("details", {}, h("summary", {}, "Details"), h("pre", {}, detail)));
  if (action) note.append(h("button", { type: "button", class: "text-button", onclick: () => (leave(), action.run()) }, action.label));
  note.append(iconButton("close", "Dismiss", leave));
  shelf.append(note);
  note.stay();
}

/** What this toast said does not hold any more. */
export function unsay(text) {
  for (const note of saying(text)) note.remove();
}

/** The host does not answer: said until it does. */
export const sayAway = () => toast(AWAY, { error: true });
export const sayBack = () => unsay(AWAY);

/** Say what an event tells (`toast` in event_feedback.py). */
export function sayWhatIsTold() {
  addEventListener("paddock-toast", ({ detail }) => {
    if (!detail) return;
    const { text, error, undo } = JSON.parse(detail);
    toast(text, { error, action: undo && { label: "Undo", run: () => $(`#${undo}`).click() } });
  });
}

/** Run an action; what goes wrong is said, and false comes back. */
export async function attempt(run) {
  try {
    return (await run()) ?? true;
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    toast(error.message, { error: true, detail: error.detail });
    return false;
  }
}

export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(await text);
  } catch {
    // Without a secure origin there is no clipboard object: the old way.
    const area = h("textarea", { style: "position:fixed;opacity:0" });
    area.value = await text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  toast("Copied.");
}

/** Wait for an element that Gradio draws later. */
export function arrival(selector) {
  return new Promise((resolve) => {
    const look = () => {
      const found = $(selector);
      if (found) (observer.disconnect(), resolve(found));
      return found;
    };
    const observer = new MutationObserver(look);
    if (!look()) observer.observe(document.documentElement, { childList: true, subtree: true });
  });
}
