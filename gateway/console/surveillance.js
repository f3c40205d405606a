// The surveillance page: alerts of GET /alerts, where the venue offers them, and what becomes of
// each: taken, closed with what was found, opened again. The log keeps who did it.

import { alertInChinese } from "./alerts_zh.js";
import { get, isOffered, send } from "./api.js";
import { momentOf, timeOf } from "./clock.js";
import { grouped } from "./decimals.js";
import { notify } from "./dialogs.js";
import { h, panel } from "./dom.js";
import { makeSelect } from "./forms.js";
import { fieldName } from "./names.js";
import { showProblem, tellProblem } from "./problems.js";
import { may } from "./session.js";
import { table } from "./tables.js";
import { hasWord, inChinese, word } from "./words.js";

const POLL_MS = 5_000;
const HANDLE = "/operations/alert";
const STATES = ["OPEN", "TAKEN", "CLOSED"];
// what may become of an alert, by the state it has
const NEXT = { OPEN: ["TAKEN", "CLOSED"], TAKEN: ["CLOSED", "OPEN"], CLOSED: ["OPEN"] };

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
  const stage = makeSelect([["", word("all_states")],
    ...STATES.map((name) => [name, word(`state_${name}`)])]);
  stage.id = "alert-state";
  const state = { rows: [], picked: "", drawn: "", isOpen: true };

  function draw() {
    const seen = JSON.stringify([state.rows, state.picked, kind.value, stage.value]);
    if (seen === state.drawn) return;
    state.drawn = seen;
    const rows = state.rows.filter((row) => (!kind.value || row.kind === kind.value)
      && (!stage.value || row.state === stage.value));
    const picked = rows.find((row) => String(row.id) === state.picked) ?? rows[0];
    const focused = list.contains(document.activeElement) && document.activeElement.dataset.focus;
    list.replaceChildren(listed(rows, picked));
    if (focused) list.querySelector(`[data-focus="${focused}"]`)?.focus();
    const typed = state.shown === picked?.id && details.querySelector("#alert-reason")?.value;
    state.shown = picked?.id;
    details.replaceChildren(picked ? detailed(picked, poll) : "");
    if (typed) details.querySelector("#alert-reason").value = typed;
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
      { name: word("alert_state"), of: (row) => h("span", {
        class: row.state === "OPEN" ? "warn" : "muted",
      }, word(`state_${row.state}`)) },
      { name: word("score"), of: (row) => grouped(row.score), class: "figure" },
      { name: word("time"), of: (row) => timeOf(row.from_ns), class: "figure" },
    ], rows, { empty: word("no_alerts"), rowClass: (row) => (row === picked ? "picked" : "") });
  }

  async function poll() {
    clearTimeout(timer);
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
  stage.addEventListener("change", draw);
  root.replaceChildren(h("div", { class: "page split" },
    panel(word("alerts"), {}, h("div", { class: "filters" },
      h("label", { class: "field inline" }, h("span", {}, word("kind")), kind),
      h("label", { class: "field inline" }, h("span", {}, word("alert_state")), stage)), list),
    details));
  let timer = 0;
  poll();
  return () => {
    state.isOpen = false;
    clearTimeout(timer);
  };
}

const kindName = (kind) => (hasWord(`alert_${kind}`) ? word(`alert_${kind}`) : kind);

const figureName = (name) => (
  hasWord(`figure_${name}`) ? word(`figure_${name}`) : fieldName(name)
);

// The buttons under an alert; `done` reads the list again.
function handling(row, done) {
  const why = h("input", { id: "alert-reason", autocomplete: "off", maxlength: "400" });
  const said = h("div", { role: "alert" });
  async function handle(state) {
    try {
      said.replaceChildren();
      const body = { type: "HandleAlert", market: row.market, number: row.number, state,
        reason: why.value.trim() };
      await send("POST", HANDLE, { body });
      notify(`${row.id}: ${word(`state_${state}`)}`);
      await done();
    } catch (error) {
      showProblem(said, error);
    }
  }
  return h("div", { class: "stack", id: "handling" },
    h("label", { class: "field" }, h("span", {}, word("handled_why")), why),
    h("div", { class: "actions" }, NEXT[row.state].map((state) => h("button", {
      type: "button", class: state === "CLOSED" ? "primary" : "", "data-state": state,
      onclick: () => handle(state),
    }, word(`handle_${state}`)))), said);
}

function detailed(row, done) {
  const chinese = inChinese() && alertInChinese(row, grouped);
  const events = [...new Set(row.events ?? [])].map(String);  // first and last may be the same
  return panel(kindName(row.kind), {}, h("dl", { class: "list two" }, [
    [word("number"), row.id], [word("market"), row.market], [word("symbol"), row.symbol],
    [word("accounts"), (row.accounts ?? []).join(", ")],
    [word("participants_of_alert"), (row.participants ?? []).join(", ")],
    [word("score"), grouped(row.score)],
    [word("from"), momentOf(row.from_ns)], [word("to"), momentOf(row.to_ns)],
    [word("alert_state"), word(`state_${row.state}`)],
    ...(row.handled_by ? [
      [word("handled_by"), `${row.handled_by} · ${momentOf(row.handled_ns)}`],
      [word("handled_why"), row.handled_reason || "–"],
    ] : []),
    ...Object.entries(row.figures ?? {}).map(([name, value]) => [figureName(name), grouped(value)]),
  ].map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", { class: "figure" }, value)))),
  chinese ? h("p", {}, chinese) : h("p", { lang: "en" }, row.text),
  may("POST", HANDLE) && handling(row, done),
  h("h3", {}, `${word("events")} (${grouped(events.length)})`),
  h("ul", { class: "events" }, events.map((text) => h("li", {}, h("code", {}, text)))));
}
