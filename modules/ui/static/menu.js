// A small menu beside a button. Arrow keys move in it, Escape closes it.

import { $$, h } from "./dom.js";
import { focusPlace, placeOf } from "./redraw.js";

let closeOpen = () => {};
// The button of the open menu.
let openFor = null;

/**
 * Open a menu beside `anchor`. `items`: {label, run, checked} each, or null for a line between groups. `run` is called
 * after the menu has closed and the focus is back on `anchor`. An item that is `checked` has a mark.
 */
export function openMenu(anchor, label, items) {
  const again = openFor === anchor;
  closeOpen();
  // A second press of the button closes its menu.
  if (again) return;
  openFor = anchor;
  // What is around the button may be drawn again while the menu is open.
  const around = (anchor.closest("[data-row]") ?? anchor).parentElement.closest("[id]") ?? document.body;
  const anchorPlace = placeOf(around, anchor);
  const menu = h("div", { class: "menu", role: "menu", "aria-label": label });
  const outside = (event) => ![menu, anchor].some((own) => own.contains(event.target)) && close(false);
  const resized = () => close();
  const close = (focus = true) => {
    menu.remove();
    removeEventListener("pointerdown", outside, true);
    removeEventListener("resize", resized);
    anchor.setAttribute("aria-expanded", "false");
    closeOpen = () => {};
    openFor = null;
    if (focus) focusPlace(anchorPlace);
  };
  closeOpen = () => close(false);
  menu.append(
    ...items.map((item) =>
      item === null
        ? h("hr")
        : h(
            "button",
            { type: "button", role: "menuitem", tabindex: "-1", onclick: () => (close(), item.run()) },
            item.label,
            item.checked ? [" ", h("span", { class: "menu-mark", role: "img", "aria-label": "Chosen" }, "✓")] : null,
          ),
    ),
  );
  menu.addEventListener("keydown", (event) => moveOrClose(event, menu, close));
  (anchor.closest("dialog") ?? document.body).append(menu);
  place(menu, anchor);
  anchor.setAttribute("aria-expanded", "true");
  addEventListener("pointerdown", outside, true);
  addEventListener("resize", resized);
  $$("[role=menuitem]", menu)[0].focus({ preventScroll: true });
}

function moveOrClose(event, menu, close) {
  const buttons = $$("[role=menuitem]", menu);
  const at = buttons.indexOf(document.activeElement);
  const steps = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 };
  if (event.key in steps) buttons.at(steps[event.key] % buttons.length).focus();
  else if (["Escape", "Tab"].includes(event.key)) close();
  else return;
  event.preventDefault();
  event.stopPropagation();
}

/** Place the menu below the button, or above it where there is no room, inside the window. */
function place(menu, anchor) {
  const box = anchor.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const below = box.bottom + 4 + height <= innerHeight;
  menu.style.top = `${Math.max(8, below ? box.bottom + 4 : box.top - 4 - height)}px`;
  menu.style.left = `${Math.max(8, Math.min(box.right - width, innerWidth - width - 8))}px`;
}
