// Tables. A column is { name, of(row), class }: figures are right-aligned by class "figure".

import { h } from "./dom.js";

const STACK_FROM = 4; // more columns than that become cards on a phone

export function table(label, columns, rows, { empty = "", rowClass = () => "", key } = {}) {
  if (!rows.length) return h("p", { class: "empty" }, empty);
  return h(
    "div",
    { class: "scroll-x", tabindex: "0", role: "region", "aria-label": label },
    h(
      "table",
      { class: columns.length > STACK_FROM ? "rows stacks" : "rows" },
      h("thead", {}, h("tr", {}, columns.map((column) => (
        h("th", { class: column.class ?? "", scope: "col" }, column.name)
      )))),
      h("tbody", {}, rows.map((row) => (
        h("tr", { class: rowClass(row), "data-key": key?.(row) }, columns.map((column) => (
          h("td", { class: column.class ?? "", "data-name": column.name }, column.of(row))
        )))
      ))),
    ),
  );
}

// Tabs with the arrow keys; `show(id)` is called for the one picked.
export function tabs(label, items, picked, show) {
  const bar = h("div", { class: "tabs", role: "tablist", "aria-label": label });
  const pick = (id, isFocused) => {
    for (const button of bar.children) {
      const isPicked = button.dataset.id === id;
      button.setAttribute("aria-selected", String(isPicked));
      button.tabIndex = isPicked ? 0 : -1;
      if (isPicked && isFocused) button.focus();
    }
    show(id);
  };
  for (const [id, name] of items) {
    bar.append(h("button", {
      type: "button", role: "tab", "data-id": id, onclick: () => pick(id, false),
      onkeydown: (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!step) return;
        const at = items.findIndex(([other]) => other === id);
        pick(items[(at + step + items.length) % items.length][0], true);
      },
    }, name));
  }
  pick(picked, false);
  return bar;
}
