// Pictures of characters and personas, or the first letter of their name.

import { h } from "../dom.js";
import { address } from "../requests.js";

/** Return an avatar. `kind`: "characters" or "personas"; `stamp`: changes with the picture, "" without one. */
export function avatar(kind, name, stamp = "now", label = name) {
  const letter = [...label.trim()][0]?.toUpperCase() ?? "?";
  const box = h("span", { class: "avatar", "aria-hidden": "true", translate: "no" }, letter);
  if (stamp) {
    const source = `/${kind}/picture?name=${encodeURIComponent(name)}${stamp === "now" ? "" : `&v=${stamp}`}`;
    const picture = h("img", { src: address(source), alt: "", loading: "lazy" });
    picture.addEventListener("error", () => picture.remove());
    box.append(picture);
  }
  return box;
}
