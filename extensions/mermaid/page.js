// Puts a drawing into each code block of the language mermaid. It is an image, so nothing in it runs.

const PAUSE_MS = 300;
const MOST_PIXELS = 4000;

function diagramOf({ svg, width, height }, source) {
  const image = document.createElement("img");
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  image.width = Math.min(Math.ceil(width), MOST_PIXELS);
  image.height = Math.ceil((height * image.width) / width);
  image.alt = `Diagram: ${source.trim().slice(0, 200)}`;
  const figure = document.createElement("div");
  figure.className = "diagram";
  figure.append(image);
  return figure;
}

async function drawCode(code) {
  const pre = code.querySelector("pre");
  const source = pre.textContent;
  let answer;
  try {
    const response = await fetch("extensions/mermaid/draw", { method: "POST", body: source });
    answer = await response.json();
  } catch {
    return;
  }
  if (!answer.svg) {
    const problem = document.createElement("p");
    problem.className = "diagram-problem";
    problem.textContent = answer.error ?? answer.message ?? "This diagram could not be drawn.";
    code.append(problem);
    return;
  }
  const figure = diagramOf(answer, source);
  const toggle = document.createElement("button");
  toggle.type = "button";
  const show = (drawn) => {
    figure.hidden = !drawn;
    pre.hidden = drawn;
    toggle.textContent = drawn ? "Show code" : "Show diagram";
  };
  toggle.addEventListener("click", () => show(figure.hidden));
  code.querySelector(".code-head span").after(toggle);
  pre.before(figure);
  show(true);
}

let timer = 0;
function look() {
  timer = 0;
  for (const code of document.querySelectorAll("#chat .message:not(.living) .code:not([data-seen])")) {
    code.dataset.seen = "";
    if (code.querySelector(".code-head span")?.textContent.toLowerCase() === "mermaid") drawCode(code);
  }
}
const observer = new MutationObserver(() => {
  timer ||= setTimeout(look, PAUSE_MS);
});
observer.observe(document.querySelector("#chat"), { childList: true, subtree: true });
look();
