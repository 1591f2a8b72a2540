// The files of a message in the chat: images as thumbnails that open, sounds that are played, and documents as chips
// that fold open their text.

import { fileAddress, path } from "./attachments.js";
import { drawFacts, h, iconButton } from "./dom.js";
import { icon } from "./icons.js";
import { RequestError, get } from "./requests.js";

// A sentence of Paddock's in a message.
const OWN = { class: "message-note", translate: "yes", dir: "auto" };

/** Return the element of a file: {kind, name, hash, label}. */
export const drawAttached = (part) => (DRAW[part.kind] ?? drawDocument)(part);

const DRAW = { image: drawImage, audio: drawAudio };

function drawImage(part) {
  const image = h("img", { src: fileAddress(part), alt: part.name, translate: "no", loading: "lazy" });
  const label = `Open ${part.name}`;
  const attributes = { title: `${part.name} · ${part.label}`, "aria-label": label, translate: "yes" };
  const onclick = () => openImage(part);
  const button = h("button", { type: "button", class: "attached image", ...attributes, onclick }, image);
  image.addEventListener("error", () => button.replaceWith(drawMissing(part)));
  return button;
}

function drawAudio(part) {
  const audio = h("audio", { controls: true, preload: "metadata", src: fileAddress(part), "aria-label": part.name });
  const name = h("span", { class: "attachment-name" }, part.name);
  const facts = drawFacts("attachment-facts", part.label);
  const node = h("figure", { class: "attached audio" }, h("figcaption", {}, icon("speaker"), name, facts), audio);
  audio.addEventListener("error", () => node.replaceWith(drawMissing(part)));
  return node;
}

const drawMissing = (part) =>
  h("p", { ...OWN, class: "attached missing" }, icon("file"), `${part.name} is not stored here any more.`);

/** Show an image as large as the window allows. */
function openImage(part) {
  const image = h("img", { src: fileAddress(part), alt: part.name });
  const close = iconButton("close", "Close the image", () => dialog.close());
  const save = h("a", { class: "icon-button", href: fileAddress(part), download: part.name }, icon("download"));
  for (const name of ["aria-label", "title"]) save.setAttribute(name, `Save ${part.name}`);
  const head = h("div", { class: "viewer-head" }, h("span", {}, `${part.name} · ${part.label}`), save, close);
  const dialog = h("dialog", { class: "viewer", "aria-label": part.name }, head, image);
  // A click beside the image closes it.
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  close.focus();
}

function drawDocument(part) {
  const facts = drawFacts("attachment-facts", part.label);
  const summary = h("summary", {}, icon("file"), h("span", { class: "attachment-name" }, part.name), facts);
  const content = h("div", { class: "attached-text" });
  const node = h("details", { class: "attached document" }, summary, content);
  summary.addEventListener("click", () => (node.dataset.chosen = node.open ? "closed" : "open"));
  node.addEventListener("toggle", () => node.open && !content.childElementCount && fillText(content, part));
  return node;
}

/** Fill the fold of a document with its text, which is shown as it is. */
async function fillText(content, part) {
  content.replaceChildren(h("p", OWN, "Reading…"));
  try {
    const { text, notes } = await get(path(part, "text"));
    const address = { href: fileAddress(part), download: part.name };
    const save = h("a", { ...OWN, class: "text-button", ...address }, "Save the file");
    const all = notes.map((note) => h("p", OWN, note));
    const attributes = { tabIndex: 0, "aria-label": `Text of ${part.name}` };
    content.replaceChildren(h("pre", attributes, text), ...all, save);
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    content.replaceChildren(h("p", OWN, error.message));
  }
}
