// The passages that a reply could read: numbers in its text that open them, and a list of them below it.

import { h, iconButton } from "../dom.js";
import { RequestError, get } from "../requests.js";

const NUMBER = /\[(\d{1,2})\]/g;
// A number in code or in a link means something else.
const ELSEWHERE = "a, button, code, pre, math, summary, .tool-call, .attached, .thinking";

/** Make buttons of the numbers in a reply's text that are those of its passages. */
export function linkCitations(body, passages) {
  const known = new Map(passages.map((passage) => [String(passage.number), passage]));
  const walker = document.createTreeWalker(body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const node = /** @type {Text} */ (walker.currentNode);
    if (node.data.includes("[") && !node.parentElement.closest(ELSEWHERE)) found.push(node);
  }
  for (const node of found) replaceNumbers(node, known);
}

function replaceNumbers(node, known) {
  const pieces = [];
  let end = 0;
  for (const match of node.data.matchAll(NUMBER)) {
    const passage = known.get(match[1]);
    if (!passage) continue;
    pieces.push(node.data.slice(end, match.index), citation(passage));
    end = match.index + match[0].length;
  }
  if (pieces.length) node.replaceWith(...pieces, node.data.slice(end));
}

function citation(passage) {
  const { number, name, page, line } = passage;
  const label = page ? `Passage ${number}: ${name}, page ${page}` : `Passage ${number}: ${name}, line ${line}`;
  const attributes = { type: "button", class: "citation", translate: "yes", "aria-label": label };
  const onclick = () => openPassage(passage);
  return h("button", { ...attributes, title: placeOf(passage), onclick }, String(number));
}

/** Return the list of the passages, folded. */
export function drawSources(passages) {
  const entries = passages.map((passage) =>
    h(
      "li",
      { value: passage.number },
      h("button", { type: "button", class: "text-button", onclick: () => openPassage(passage) }, placeOf(passage)),
    ),
  );
  const count = passages.length === 1 ? "1 passage" : `${passages.length} passages`;
  return h(
    "details",
    { class: "sources" },
    h("summary", {}, `The model read ${count} of your documents`),
    h("ol", {}, entries),
  );
}

const placeOf = ({ name, page, line }) => (page ? `${name}, page ${page}` : `${name}, line ${line}`);

/** Show a passage in its document. If the document has changed, the passage as the model read it. */
async function openPassage(passage) {
  const mark = h("mark", { tabIndex: -1 }, passage.text);
  const text = h("pre", { tabIndex: 0, "aria-label": `Text of ${passage.name}` }, mark);
  const note = h("p", { class: "message-note", hidden: true });
  const close = iconButton("close", "Close the document", () => dialog.close());
  const heading = h("h2", { id: "passage-heading" }, placeOf(passage));
  const head = h("div", { class: "window-head" }, heading, close);
  const dialog = h("dialog", { class: "window passage-view", "aria-labelledby": "passage-heading" }, head, note, text);
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  try {
    const { document: id, start, stop } = passage;
    const found = await get(`/knowledge/documents/${id}?start=${start}&stop=${stop}`);
    mark.textContent = found.passage;
    text.replaceChildren(found.before, mark, found.after);
    note.textContent = found.note;
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    note.textContent = `${error.message} This is the passage as the model read it.`;
  }
  note.hidden = !note.textContent;
  mark.scrollIntoView({ block: "center" });
}
