// What the buttons of a code block and the links of footnotes do. The host draws them (markdown.py).

import { copyText } from "../clipboard.js";
import { $, h } from "../dom.js";

const WRAP = "paddock.wrap-code";
const LONGEST_EXTENSION = /^[a-z0-9]{1,8}$/;
const EXTENSIONS = {
  bash: "sh",
  "c#": "cs",
  "c++": "cpp",
  console: "sh",
  csharp: "cs",
  fortran: "f90",
  haskell: "hs",
  javascript: "js",
  julia: "jl",
  kotlin: "kt",
  latex: "tex",
  markdown: "md",
  "objective-c": "m",
  perl: "pl",
  plaintext: "txt",
  powershell: "ps1",
  python: "py",
  python3: "py",
  ruby: "rb",
  rust: "rs",
  shell: "sh",
  text: "txt",
  typescript: "ts",
  yaml: "yml",
  zsh: "sh",
};

/** Wrap long lines of code if they were wrapped on the last visit. It holds for all code on the page. */
export function restoreWrap() {
  document.body.classList.toggle("wrap-code", localStorage.getItem(WRAP) === "on");
}

/** Handle a click on a button of a code block, or on a link between a footnote and its mark. */
export function clickInReply(event) {
  const control = event.target.closest?.(".code-head button, .footnote-ref a, a.footnote-backref");
  if (!control) return;
  if (control.tagName === "A") return followFootnote(event, control);
  const code = control.closest(".code");
  const text = () => $("pre", code).textContent;
  if (control.classList.contains("copy-code")) copyText(text());
  else if (control.classList.contains("download-code")) download(text(), $(".code-head span", code).textContent);
  else localStorage.setItem(WRAP, document.body.classList.toggle("wrap-code") ? "on" : "off");
}

function download(text, language) {
  const name = language.toLowerCase();
  const extension = EXTENSIONS[name] ?? (LONGEST_EXTENSION.test(name) ? name : "txt");
  const link = h("a", { href: URL.createObjectURL(new Blob([text], { type: "text/plain" })) });
  link.download = `code.${extension}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** Go there without a change of the page's address. Two messages with the same text have the same names. */
function followFootnote(event, link) {
  event.preventDefault();
  const message = link.closest(".message") ?? document;
  const target = message.querySelector(`[id="${CSS.escape(link.getAttribute("href").slice(1))}"]`);
  if (!target) return;
  target.scrollIntoView({ block: "nearest" });
  if (target.tagName !== "A") target.tabIndex = -1;
  target.focus({ preventScroll: true });
}
