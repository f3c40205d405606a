// Dialogs: the browser's own, so that focus stays inside and Escape closes; and short notices.

import { $, h } from "./dom.js";
import { showProblem } from "./problems.js";
import { word } from "./words.js";

const NOTICE_MS = 6_000;
const NOTICES_MAX = 4;

// Opens a dialog; `content(close)` makes what stands in it. Focus goes back to where it was.
export function openDialog(title, content, kind = "") {
  const before = document.activeElement;
  const close = () => dialog.close();
  const dialog = h(
    "dialog",
    { class: kind, "aria-labelledby": "dialog-title" },
    h(
      "header",
      {},
      h("h2", { id: "dialog-title" }, title),
      h("button", {
        type: "button", class: "quiet", "aria-label": word("close"), onclick: close,
      }, "✕"),
    ),
    content(close),
  );
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (before?.isConnected) before.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  dialog.querySelector("[autofocus]")?.focus();
  return dialog;
}

export const isDialogOpen = () => document.querySelector("dialog[open]") !== null;

// Asks before something that matters: `facts` are [name, value] rows which say what will happen;
// with `typed`, that very text has to be typed first. `act` is called once and may throw.
export function confirmAct({ title, facts, warning, typed = "", verb, act, isDangerous = true }) {
  openDialog(title, (close) => {
    const said = h("div", { role: "alert" });
    const button = h(
      "button",
      { type: "submit", class: isDangerous ? "danger" : "primary", disabled: Boolean(typed) },
      verb,
    );
    const input = typed && h("input", {
      id: "typed", autocomplete: "off", spellcheck: "false", autofocus: true,
      oninput: () => { button.disabled = input.value !== typed; },
    });
    async function submit(event) {
      event.preventDefault();
      button.disabled = true;
      try {
        await act();
        close();
      } catch (error) {
        showProblem(said, error);
        button.disabled = false;
      }
    }
    return h(
      "form",
      { onsubmit: submit, class: "stack" },
      factList(facts),
      warning && h("p", { class: "warning" }, warning),
      typed && h("label", { class: "field" }, h("span", {}, word("type_to_confirm"), " ",
        h("code", {}, typed)), input),
      said,
      h("div", { class: "actions" },
        h("button", { type: "button", onclick: close, autofocus: !typed }, word("back")), button),
    );
  }, isDangerous ? "dangerous" : "");
}

export const factList = (facts) => h(
  "dl",
  { class: "list" },
  facts.filter(([, value]) => value !== "" && value !== null && value !== undefined)
    .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
);

export function notify(text, tone = "good") {
  const box = $("notices");
  const notice = h("p", { class: `notice ${tone}` }, text);
  box.append(notice);
  while (box.children.length > NOTICES_MAX) box.firstChild.remove();
  setTimeout(() => notice.remove(), NOTICE_MS);
}
