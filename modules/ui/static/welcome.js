// What an empty chat shows: how to get a model, or what to ask.

import { h, textButton } from "./dom.js";
import { keepFocus } from "./redraw.js";
import { address, attempt, post } from "./requests.js";

/**
 * Return the elements to show in an empty chat.
 *
 * `state` is the model's state, `offer` the answer of /paddock/start. `actions`: `send(text)`, `openModels()`.
 */
function welcome(state, offer, actions) {
  const picture = h("img", { src: address("/static/icon.svg"), alt: "", width: "44", height: "44" });
  const { phase, model } = state;
  if (phase === "ready") return [picture, ...readyContent(offer, actions)];
  if (phase === "empty" || phase === "failed") return [picture, ...noModelContent(state, offer, actions)];
  const text = "You can already send a message. It is answered once the model has loaded.";
  return [picture, h("h2", {}, `Loading ${model}`), h("p", {}, text)];
}

/** Draw what an empty chat shows, if the chat of the page is empty and the model's state is known. */
export function drawWelcome(page) {
  const { transcript, state, offer } = page;
  const { blank, root } = transcript;
  const empty = !transcript.cards.length;
  root.classList.toggle("empty", empty);
  if (!empty || !state) return blank.replaceChildren();
  const key = JSON.stringify([state.phase, state.model, offer.character]);
  if (blank.dataset.key === key && blank.childElementCount) return;
  blank.dataset.key = key;
  const actions = { send: (text) => page.send(text), openModels: () => page.shell.openTab("model") };
  const shown = welcome(state, offer, actions);
  keepFocus(blank, () => blank.replaceChildren(...shown), page.composer.area);
}

function readyContent({ character, questions }, actions) {
  if (character) return [h("h2", {}, character.name), h("p", {}, character.greeting || "Write the first message.")];
  const chip = (question) =>
    h("button", { type: "button", class: "chip", onclick: () => actions.send(question) }, question);
  return [h("h2", {}, "What would you like to know?"), h("div", { class: "chips" }, questions.map(chip))];
}

function noModelContent({ phase, error }, { demo, folder, models }, actions) {
  const load = () => attempt(() => post("/model/load", { model: demo }));
  const loadDemo = demo ? textButton("Load the demo model", load, { kind: "primary" }) : null;
  const next = models.length
    ? "Load a model to start chatting. The demo model is tiny and loads in a second."
    : `Get a model on the Model tab. Or copy a model folder or a .gguf file into ${folder}, then press Refresh there.`;
  return [
    h("h2", {}, phase === "failed" ? "The model did not load" : "No model is loaded"),
    h("p", {}, error ? error.error : next),
    h("div", { class: "row" }, loadDemo, textButton("Open models", actions.openModels)),
  ];
}
