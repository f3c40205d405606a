// The surveillance page: alerts of GET /alerts, where the venue offers them.

import { get, isOffered } from "./api.js";
import { momentOf, timeOf } from "./clock.js";
import { grouped } from "./decimals.js";
import { h, panel } from "./dom.js";
import { makeSelect } from "./forms.js";
import { fieldName } from "./names.js";
import { tellProblem } from "./problems.js";
import { table } from "./tables.js";
import { hasWord, word } from "./words.js";

const POLL_MS = 5_000;

// Shows the page in `root`; what it returns ends it.
export function openSurveillance(root) {
  if (!isOffered("GET", "/alerts")) {
    root.replaceChildren(h("div", { class: "page" },
      panel(word("surveillance"), {}, h("p", { class: "empty" }, word("not_offered")))));
    return () => {};
  }
  const list = h("div");
  const details = h("div");
  const kind = makeSelect([["", word("all_kinds")]]);
  const state = { rows: [], picked: "", drawn: "", isOpen: true };

  function draw() {
    const seen = JSON.stringify([state.rows, state.picked, kind.value]);
    if (seen === state.drawn) return;
    state.drawn = seen;
    const rows = state.rows.filter((row) => !kind.value || row.kind === kind.value);
    const picked = rows.find((row) => String(row.id) === state.picked) ?? rows[0];
    const focused = list.contains(document.activeElement) && document.activeElement.dataset.focus;
    list.replaceChildren(listed(rows, picked));
    if (focused) list.querySelector(`[data-focus="${focused}"]`)?.focus();
    details.replaceChildren(picked ? detailed(picked) : "");
  }

  function listed(rows, picked) {
    return table(word("alerts"), [
      { name: word("alert"), of: (row) => h("button", {
        type: "button", class: "link", "data-focus": String(row.id),
        "aria-pressed": String(row === picked),
        onclick: () => {
          state.picked = String(row.id);
          draw();
        },
      }, kindName(row.kind)) },
      { name: word("market"), of: (row) => row.market, class: "muted" },
      { name: word("symbol"), of: (row) => row.symbol },
      { name: word("score"), of: (row) => grouped(row.score), class: "figure" },
      { name: word("time"), of: (row) => timeOf(row.from_ns), class: "figure" },
    ], rows, { empty: word("no_alerts"), rowClass: (row) => (row === picked ? "picked" : "") });
  }

  async function poll() {
    try {
      const reply = await get("/alerts");
      if (!state.isOpen) return;
      state.rows = reply.alerts ?? [];
      const kinds = [...new Set(state.rows.map((row) => row.kind))].sort();
      const before = kind.value;
      kind.replaceChildren(...[["", word("all_kinds")], ...kinds.map((id) => [id, kindName(id)])]
        .map(([id, name]) => h("option", { value: id }, name)));
      kind.value = kinds.includes(before) ? before : "";
      draw();
    } catch (error) {
      if (state.isOpen && !state.rows.length) list.replaceChildren(tellProblem(error));
    }
    if (state.isOpen) timer = setTimeout(poll, POLL_MS);
  }

  kind.addEventListener("change", draw);
  root.replaceChildren(h("div", { class: "page split" },
    panel(word("alerts"), {}, h("label", { class: "field inline" },
      h("span", {}, word("kind")), kind), list),
    details));
  let timer = 0;
  poll();
  return () => {
    state.isOpen = false;
    clearTimeout(timer);
  };
}

const kindName = (kind) => (hasWord(`alert_${kind}`) ? word(`alert_${kind}`) : kind);

function detailed(row) {
  const events = (row.events ?? []).map((event) => (
    typeof event === "object" ? JSON.stringify(event) : String(event)
  ));
  return panel(kindName(row.kind), {}, h("dl", { class: "list two" }, [
    [word("number"), row.id], [word("market"), row.market], [word("symbol"), row.symbol],
    [word("accounts"), (row.accounts ?? []).join(", ")],
    [word("participants_of_alert"), (row.participants ?? []).join(", ")],
    [word("score"), grouped(row.score)],
    [word("from"), momentOf(row.from_ns)], [word("to"), momentOf(row.to_ns)],
    ...Object.entries(row.figures ?? {}).map(([name, value]) => [fieldName(name), grouped(value)]),
  ].map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", { class: "figure" }, value)))),
  h("p", { lang: "en" }, row.text),
  h("h3", {}, `${word("events")} (${grouped(events.length)})`),
  h("ul", { class: "events" }, events.map((text) => h("li", {}, h("code", {}, text)))));
}
