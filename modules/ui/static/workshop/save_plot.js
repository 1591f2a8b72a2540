// Saves a plot as an SVG or PNG file, in the colours of the page.

import { h, textButton } from "../dom.js";
import { toast } from "../toasts.js";
import { s } from "./axes.js";

const KEPT = ["fill", "stroke", "stroke-width", "stroke-dasharray", "font-size", "font-family"];
// Pixels of the PNG file for each unit of the drawing.
const SHARPNESS = 3;

/** Return buttons that save the plot. */
export function saveLinks(title, svg) {
  const name = title.toLowerCase().replaceAll(" ", "-");
  const asSvg = () => save(`${name}.svg`, address(svg));
  const asPng = () =>
    png(svg).then(
      (url) => save(`${name}.png`, url),
      () => toast("The browser could not draw this plot as PNG. Save it as SVG.", { error: true }),
    );
  const label = (ending) => ({ kind: "link", "aria-label": `Save ${title} as ${ending}` });
  return h(
    "p",
    { class: "save" },
    "Save as ",
    textButton("SVG", asSvg, label("SVG")),
    textButton("PNG", asPng, label("PNG")),
  );
}

function save(name, href) {
  h("a", { href, download: name }).click();
}

/** Return the drawing as an address with its data, with the styles of the page's sheet written into each element. */
function address(svg) {
  const copy = svg.cloneNode(true);
  const drawn = svg.querySelectorAll("*");
  copy.querySelectorAll("*").forEach((element, place) => {
    const style = getComputedStyle(drawn[place]);
    for (const property of KEPT) element.setAttribute(property, style.getPropertyValue(property));
  });
  const ground = getComputedStyle(svg.closest(".panel") ?? document.body).backgroundColor;
  copy.prepend(s("rect", { width: "100%", height: "100%", fill: ground }));
  const { width, height } = svg.viewBox.baseVal;
  copy.setAttribute("width", String(width));
  copy.setAttribute("height", String(height));
  return `data:image/svg+xml,${encodeURIComponent(copy.outerHTML)}`;
}

/** Resolve with the address of the drawing as PNG data. */
async function png(svg) {
  const { width, height } = svg.viewBox.baseVal;
  const picture = new Image();
  picture.src = address(svg);
  await picture.decode();
  const canvas = h("canvas", { width: width * SHARPNESS, height: height * SHARPNESS });
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/png");
}
