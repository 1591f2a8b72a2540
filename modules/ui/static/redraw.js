// Draws parts of the page again. The keyboard's focus stays on its control, or goes to a neighbour if that is gone.
// Rows that are as they were stay, with what a person typed or was asked in them.

import { $$ } from "./dom.js";

const CONTROLS = "button, a[href], input, select, textarea, summary, [tabindex]";
// A row of a list. The attribute's value is the same when the row is drawn again.
const ROW = "[data-row]";

// List -> the key of each row, with what it shows and its element.
const shownIn = new WeakMap();

const nameOf = (control) =>
  control.getAttribute("aria-label") || control.labels?.[0]?.textContent || control.textContent.trim();
const usable = (control) => control.isConnected && !control.disabled && control.checkVisibility();
const rowOf = (root, control) => {
  const row = control.closest(ROW);
  return row && root !== row && root.contains(row) ? row : null;
};
const controlsOf = (root, row) => $$(CONTROLS, row ?? root).filter((one) => rowOf(root, one) === row);

/**
 * Draw a part of the page again by `draw()`. If the focus was in `root`, it is on the same control afterwards, else on
 * one beside it, else on `fallback`. Return false if the focus is lost.
 * @param {any} root An element that stays.
 * @param {() => void} draw
 * @param {HTMLElement | null} fallback
 */
export function keepFocus(root, draw, fallback = null) {
  const place = root.contains(document.activeElement) ? placeOf(root, document.activeElement) : null;
  draw();
  const moved = ![place?.control, document.body].includes(document.activeElement);
  return !place || moved || focusPlace(place, fallback);
}

/** Return where a control is in `root`, so that `focusPlace` finds it after `root` was drawn again. */
export function placeOf(root, control) {
  const row = rowOf(root, control);
  return {
    root,
    control,
    row: row?.dataset.row ?? null,
    index: row ? $$(ROW, root).indexOf(row) : -1,
    name: nameOf(control),
    at: controlsOf(root, row).indexOf(control),
  };
}

/** Focus the control that is at this place now, or one beside it, or `fallback`. Return false if there is none. */
export function focusPlace(place, fallback = null) {
  const target = usable(place.control) ? place.control : (successor(place) ?? fallback);
  if (target && target !== document.activeElement) target.focus({ preventScroll: true });
  return Boolean(target);
}

/** Focus the control with the number `at` in the row with this key. */
export function focusInRow(root, key, at) {
  const row = $$(ROW, root).find((one) => one.dataset.row === key);
  if (row) controlsOf(root, row)[at]?.focus({ preventScroll: true });
}

function successor({ root, control, row: key, index, name, at }) {
  const same = control.id && document.getElementById(control.id);
  if (same && usable(same)) return same;
  const rows = $$(ROW, root);
  const mine = key === null ? null : rows.find((one) => one.dataset.row === key);
  const row = key === null ? null : (mine ?? rows[index] ?? rows.at(-1));
  if (row === undefined) return null;
  const controls = controlsOf(root, row);
  const called = controls.filter((one) => usable(one) && nameOf(one) === name);
  if (called.length) return called.includes(controls[at]) ? controls[at] : called[0];
  // Its neighbour's first control: the one at the same place may delete that.
  if (key !== null && !mine) return controls.find(usable) ?? null;
  return controls.slice(0, at + 1).reverse().find(usable) ?? controls.find(usable) ?? null;
}

/**
 * Show one row for each item, in their order. A row whose item is as it was stays as it is.
 * @template T
 * @param {any} list
 * @param {T[]} items
 * @param {(item: T) => string} keyOf
 * @param {(item: T) => any} draw Returns the element of an item.
 */
export function drawRows(list, items, keyOf, draw) {
  const before = shownIn.get(list) ?? new Map();
  const rows = new Map();
  for (const item of items) {
    const [key, shown] = [keyOf(item), JSON.stringify(item)];
    const old = before.get(key);
    const row = old?.shown === shown ? old.row : draw(item);
    row.dataset.row = key;
    rows.set(key, { shown, row });
  }
  shownIn.set(list, rows);
  showNodes(list, [...rows.values()].map(({ row }) => row));
}

/** Let `drawRows` draw all rows of this list again: they no longer show what they were drawn with. */
export const forgetRows = (list) => shownIn.delete(list);

/** Show these nodes in a list. Those that are there already are moved only where they must be. */
export function showNodes(list, nodes) {
  keepFocus(list, () => {
    const wanted = new Set(nodes);
    for (const node of [...list.childNodes]) if (!wanted.has(node)) node.remove();
    nodes.forEach((node, place) => {
      const there = list.childNodes[place] ?? null;
      if (there !== node) list.insertBefore(node, there);
    });
  });
}
