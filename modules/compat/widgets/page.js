() => {
  // Ties the hidden fields of text-generation-webui's names to Paddock's page. Runs once, when the page has loaded.
  const find = (selector, root = document) => root.querySelector(selector);
  const field = (name) => find(`#script-${name.replaceAll(" ", "-")} :is(textarea, input)`);
  const VERBS = { regenerate: "Regenerate", continue: "Continue", delete: "Remove last", stop: "Stop" };
  const ids = IDS; // eslint-disable-line no-undef -- the host puts the list here
  // Buttons that this script pressed itself; whether it is doing what a press of a script asked for.
  const ownPresses = new Set();
  let page, doing = false, shown = 0, waiting = 0;

  function put(target, value) {
    if (!target || target.value === value) return;
    const kind = target.tagName === "TEXTAREA" ? HTMLTextAreaElement : HTMLInputElement;
    Object.getOwnPropertyDescriptor(kind.prototype, "value").set.call(target, value);
    target.dispatchEvent(new Event("input", { bubbles: true }));
  }

  /** Every field that depends on the chat holds its id: the host reads the rest off Paddock. */
  function follow() {
    for (const one of document.querySelectorAll("#script-widgets .script-chat :is(textarea, input)")) {
      if (one !== field("display") && one !== field("unique_id")) put(one, page.chat);
    }
    put(field("unique_id"), page.chat);
    drawn();
  }

  /** The chat on the page has changed. Notify listeners of `display`. */
  function drawn() {
    put(field("display"), `${page.chat}#${(shown += 1)}`);
  }

  /** What a script shows in place of the chat, until the chat itself changes. */
  function overlay(html) {
    let layer = find("#script-display-shown");
    if (!layer && html) {
      layer = document.createElement("div");
      layer.id = "script-display-shown";
      layer.className = "transcript";
      find("#chat").append(layer);
    }
    if (!layer) return;
    layer.innerHTML = html;
    const inner = find("#chat", layer);
    // The page has one #chat already.
    inner?.removeAttribute("id");
    for (const other of find("#chat").children) if (other !== layer) other.style.display = html ? "none" : "";
    if (!html) layer.remove();
    else find("#chat").scrollTop = find("#chat").scrollHeight;
  }

  /** Whether the chat shows the same messages by now: an event's last word may come after the chat has heard of it. */
  function same(html) {
    const bodies = (root) => [...root.querySelectorAll(".message-body")];
    const texts = (root) => bodies(root).map((body) => body.textContent.trim()).join("\n");
    const drawn = document.createElement("template");
    drawn.innerHTML = html;
    return texts(drawn.content) === texts(page.transcript.list);
  }

  const last = (role) => page.transcript.cards.filter((card) => card.role === role).at(-1);
  const actions = {
    Generate: () => page.composer.submit(),
    Stop: () => page.act("stop"),
    Regenerate: () => last("assistant") && page.act("regenerate", { message: last("assistant").id }),
    Continue: () => page.act("continue"),
    "Remove last": () => last("user") && page.act("delete", { message: last("user").id }),
    "Start new chat": () => page.create(),
    load_model: () => page.shell.openTab("model"),
    unload_model: () => page.shell.openTab("model"),
  };

  globalThis.scriptWidgets = {
    /** An event, or this script, gave a field another value. */
    changed(name, value) {
      if (!page || value === null) return;
      if (name === "textbox" && value !== page.composer.area.value) page.composer.fill(value);
      else if (name === "unique_id" && value && value !== page.chat) page.open(value);
      else if (name === "display") {
        if (value.startsWith("<")) (overlay(same(value) ? "" : value), openSavedChat());
        else if (!value) drawn();
      }
    },
    /** A button of theirs was pressed: by a script's code, or by `pressButton`. */
    pressed(name) {
      if (!page || ownPresses.delete(name)) return;
      doing = true;
      actions[name]?.();
      doing = false;
    },
  };

  /** Press the button of a script for what Paddock did itself, so that its listeners run. */
  function pressButton(name) {
    const button = find(`#script-widgets #${ids[name]}`);
    if (!button || doing) return;
    ownPresses.add(name);
    button.click();
  }

  /** A reply that began without a chat is stored in a new chat. Open that chat when it is there. */
  function openSavedChat() {
    clearTimeout(waiting);
    if (page.chat) return;
    const known = new Set([...document.querySelectorAll("#chat-list [data-chat]")].map((one) => one.dataset.chat));
    waiting = setTimeout(async () => {
      const [newest] = await page.sidebar.refresh();
      if (page.chat || !find("#script-display-shown")) return;
      if (newest && !known.has(newest.id)) page.open(newest.id);
      else openSavedChat();
    }, 1000);
  }

  function connect() {
    page = globalThis.paddock;
    const { open, send, act, create } = page;
    page.open = (...given) => {
      open.apply(page, given);
      overlay("");
      follow();
    };
    page.send = (text) => (pressButton("Generate"), send.call(page, text));
    page.act = (verb, body) => (VERBS[verb] && pressButton(VERBS[verb]), act.call(page, verb, body));
    page.create = () => (pressButton("Start new chat"), create.call(page));
    page.composer.area.addEventListener("input", () => {
      put(field("textbox"), page.composer.area.value);
      put(field("Chat input"), page.composer.area.value);
    });
    const dark = () => put(field("theme_state"), document.body.classList.contains("dark") ? "dark" : "light");
    new MutationObserver(dark).observe(document.body, { attributeFilter: ["class"] });
    let model = "";
    const pill = find("#model-pill");
    new MutationObserver(() => {
      const now = pill.dataset.phase;
      if (model !== now && now === "ready") pressButton("load_model");
      if (model === "ready" && now === "empty") pressButton("unload_model");
      model = now;
    }).observe(pill, { attributeFilter: ["data-phase"] });
    new MutationObserver(() => {
      if (find(".message.living", page.transcript.list)) return;
      overlay("");
      // What events put into the fields was about the chat as it was.
      follow();
    }).observe(page.transcript.list, { childList: true, subtree: true, attributeFilter: ["class"] });
    dark();
    put(field("textbox"), page.composer.area.value);
    follow();
  }

  (function wait() {
    const ready = document.body.classList.contains("started") && find("#script-widgets :is(textarea, input, button)");
    if (ready) connect();
    else setTimeout(wait, 50);
  })();
}
