// Elements are made here and only here: every text goes in as text, never as markup.

export const $ = (id) => document.getElementById(id);

// h("p", { class: "muted", onclick: act, "aria-label": "x" }, "text", child, ...)
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  const { value, ...others } = attributes ?? {};
  for (const [name, given] of Object.entries(others)) {
    if (given === undefined || given === null || given === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), given);
    else if (name === "checked") element.checked = true;
    else element.setAttribute(name, given === true ? "" : String(given));
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined
    && child !== false));
  if (value !== undefined && value !== null) element.value = value;
  return element;
}

// A share of a whole as a bar; widths are set as properties, so that no inline style is needed.
export function meter(parts, total, label) {
  const bar = h("div", { class: "meter", role: "img", "aria-label": label });
  for (const [tone, amount] of parts) {
    const piece = h("i", { class: tone });
    piece.style.width = `${total ? Math.min(100, (100 * amount) / total) : 0}%`;
    bar.append(piece);
  }
  return bar;
}

export function panel(title, attributes, ...children) {
  const { class: extra = "", ...others } = attributes ?? {};
  return h("section", { class: `panel ${extra}`, ...others }, h("h2", {}, title), ...children);
}
