// The operations page: what runs, in which phase each instrument is, and every operation that the
// API document offers, as a form. What ends or stops something asks for its name to be typed.

import { bodyOf, get, isOffered, operation, paths, send } from "./api.js";
import { dateOf, momentOf, timeOf } from "./clock.js";
import { grouped } from "./decimals.js";
import { desk, onDesk, refreshDesk } from "./desk.js";
import { confirmAct, factList, notify } from "./dialogs.js";
import { h, panel } from "./dom.js";
import { bodyOfFields, fieldsOf } from "./forms.js";
import { fieldName, valueName } from "./names.js";
import { positions } from "./own.js";
import { showProblem } from "./problems.js";
import { proposalTable } from "./proposals.js";
import { may } from "./session.js";
import { Standing } from "./standing.js";
import { table } from "./tables.js";
import { markets, onVenue, refresh, venue } from "./venue.js";
import { hasWord, word } from "./words.js";

const POLL_MS = 2_000;
const LAG_WARN_MS = 5_000;
const HARMLESS = new Set(["/operations/cash-deposit", "/operations/reference-price"]);
const PHASE = "/operations/phase";
const PROPOSALS = "/operations/proposals";
const ACTS = "/operations/acts";
// how an operator moves one instrument from the table: the phase asked for, by the phase it has
const MOVES = {
  CONTINUOUS: ["HALT", "CLOSED"], HALT: ["CONTINUOUS", "CLOSED"], CLOSED: ["CONTINUOUS"],
};

// Shows the page in `root`; what it returns ends it.
export function openOperations(root) {
  const health = h("div");
  const limits = h("div");
  const phases = h("div");
  const days = h("div");
  const people = h("div");
  const waiting = h("div");
  const standing = new Standing();
  const stopped = h("div");
  const offered = h("div");
  const ends = [onVenue(drawPhases), onDesk(drawPeople)];
  let isOpen = true;
  let dates = {};
  let gates = {};

  function drawPhases() {
    keepFocus(phases, () => phases.replaceChildren(phaseTable()));
    days.replaceChildren(dayTable(dates, gates));
  }

  function drawPeople() {
    // forms are made once, when the accounts that they offer by name are known
    if (!offered.hasChildNodes() && desk.reach !== "none") offered.replaceChildren(...forms());
    const own = (row) => desk.positions.find((position) => position.account === row.account);
    const cash = (purse) => (row) => grouped(own(row)?.cash[purse] ?? "–");
    people.replaceChildren(table(word("participants"), [
      { name: fieldName("account"), of: (row) => row.account },
      { name: word("name"), of: (row) => row.name, class: "wrap" },
      { name: fieldName("market"), of: (row) => `${row.market} · ${own(row)?.currency ?? ""}`,
        class: "muted" },
      { name: word("available"), of: cash("available"), class: "figure amount" },
      { name: word("held"), of: cash("held"), class: "figure amount" },
      { name: word("own_orders"), of: (row) => grouped(ordersOf(row)), class: "figure" },
      { name: word("state"), of: (row) => (row.block
        ? h("span", { class: "down" }, `${word("blocked")} · ${row.block}`)
        : h("span", { class: "muted" }, word("free"))) },
    ], desk.accounts, { empty: word("no_accounts") }), h("details", {},
      h("summary", {}, word("own_positions")), positions()));
  }

  async function poll() {
    const state = await readState();
    if (!isOpen) return;
    dates = state.dates ?? dates;
    gates = state.gates;
    health.replaceChildren(healthList(state));
    limits.replaceChildren(limitList(state.limits));
    days.replaceChildren(dayTable(dates, gates));
    keepFocus(waiting, () => waiting.replaceChildren(
      proposalTable(state.proposals, act, titleOf),
    ));
    if (may("GET", ACTS)) await standing.refresh(markets()).catch(() => null);
    if (!isOpen) return;
    stopped.replaceChildren(standing.table(titleOf));
    timer = setTimeout(poll, POLL_MS);
  }

  root.replaceChildren(h("div", { class: "page cards" },
    h("div", { class: "thirds wide-card" }, panel(word("health"), { id: "health" }, health),
      panel(word("days"), {}, days), panel(word("limits"), {}, limits)),
    panel(word("phases"), { class: "wide-card", id: "phases" }, phases),
    may("GET", PROPOSALS) && panel(word("proposals"), { class: "wide-card", id: "proposals" },
      waiting),
    may("GET", ACTS) && panel(word("standing"), { class: "wide-card", id: "standing" }, stopped),
    panel(word("operations"), { class: "wide-card", id: "forms" }, offered),
    panel(word("participants"), { class: "wide-card" }, people)));
  drawPhases();
  drawPeople();
  let timer = 0;
  poll();
  return () => {
    isOpen = false;
    clearTimeout(timer);
    for (const end of ends) end();
  };
}

const ordersOf = (row) => [...desk.orders.values()]
  .filter((order) => order.account === row.account).length;

// Draws, and puts the focus back on the button that had it.
function keepFocus(root, draw) {
  const focused = root.contains(document.activeElement) && document.activeElement.dataset.focus;
  draw();
  if (focused) root.querySelector(`[data-focus="${focused}"]`)?.focus();
}

// -- what runs -----------------------------------------------------------------------------------

async function readState() {
  const ask = (path, query) => (isOffered("GET", path) && may("GET", path)
    ? get(path, query).catch(() => null) : Promise.resolve(null));
  const codes = markets();
  const ofEach = (path) => Promise.all(codes.map((market) => ask(path, { market })));
  const [opening, proposals, alive, ready, time, limits, phases] = await Promise.all([
    ofEach("/operations/opening"), ofEach(PROPOSALS),
    ...["/health", "/ready", "/time", "/limits", "/phases"].map((path) => ask(path)),
  ]);
  const gates = Object.fromEntries(codes.map((market, at) => [market, opening[at]]));
  return { alive, ready, time, limits, dates: phases?.trading_dates, gates, proposals };
}

function healthList({ alive, ready, time }) {
  const good = (isGood, text) => h("span", { class: isGood ? "up" : "down" }, text);
  const waiting = ready?.not_ready?.length ? ` (${ready.not_ready.join(", ")})` : "";
  const isReady = ready?.status === "ready";
  return factList([
    [word("gateway"), good(alive, word(alive ? "alive" : "not_reached"))],
    [word("ready"), good(isReady, word(isReady ? "yes" : "no") + waiting)],
    [word("feed"), good(venue.reach === "live", word(`reach_${venue.reach}`))],
    ...Object.entries(time?.engine_time_ns ?? {}).map(([market, ns]) => [
      `${word("engine")} ${market}`, lagText(time.time_ns, ns),
    ]),
  ]);
}

const LIMITS = ["orders_per_second", "cancels_per_second", "reads_per_second"];

function limitList(limits) {
  if (!limits) return h("p", { class: "empty" }, word("no_data"));
  return factList([
    ...LIMITS.map((name) => [word(`limit_${name}`), grouped(limits[name])]),
    [word("window"), `${grouped(limits.receive_window_ms)} ms`],
  ]);
}

function lagText(now, engine) {
  if (!engine) return h("span", { class: "muted" }, word("no_command_yet"));
  const ms = Math.max(0, Math.round((now - engine) / 1e6));
  return h("span", { class: ms > LAG_WARN_MS ? "warn" : "" },
    `${word("last_command")} ${timeOf(engine)} · ${grouped(ms)} ms`);
}

function dayTable(dates, gates) {
  return table(word("days"), [
    { name: fieldName("market"), of: (row) => h("b", {}, row) },
    { name: word("trading_date"), of: (row) => dateOf(dates[row] ?? 0), class: "figure" },
    { name: word("gate"), of: (row) => gateState(row, gates[row]), class: "wrap" },
  ], markets(), { empty: word("no_data") });
}

// What the last reconciliation says; a venue without a gate lets a closed market open as it is.
function gateState(market, gate) {
  if (gate && !gate.may_open) {
    return h("div", {}, h("span", { class: "down" }, `${word("gate_closed")} · ${gate.reason}`),
      h("p", { class: "muted", lang: "en" }, gate.text));
  }
  if (gate) {
    return h("span", { class: "up" },
      `${word("gate_green")} (${grouped(gate.checks.length)}) · ${momentOf(gate.reconciled_ns)}`);
  }
  const closed = venue.instruments.filter((item) => item.market === market
    && item.phase === "CLOSED");
  return closed.length
    ? h("span", { class: "warn" }, `${word("gate_checks")} (${closed.length})`)
    : h("span", { class: "up" }, word("gate_passed"));
}

// -- phases --------------------------------------------------------------------------------------

function phaseTable() {
  const mayMove = may("POST", PHASE);
  return table(word("phases"), [
    { name: fieldName("symbol"), of: (row) => h("b", {}, row.symbol) },
    { name: fieldName("market"), of: (row) => row.market, class: "muted" },
    { name: word("phase"), of: (row) => h("span", { class: `phase ${row.phase.toLowerCase()}` },
      word(`phase_${row.phase}`)) },
    { name: word("last"), of: (row) => row.last_price || "–", class: "figure" },
    { name: word("reference"), of: (row) => row.reference_price, class: "figure" },
    { name: word("volume"), of: (row) => grouped(row.day_volume), class: "figure" },
    mayMove && { name: "", class: "actions-cell", of: (row) => (MOVES[row.phase] ?? ["HALT"])
      .map((phase) => h("button", {
        type: "button", class: "small", "data-focus": `${row.symbol} ${phase}`,
        "aria-label": `${row.symbol}: ${word(`to_${phase}`)}`,
        onclick: () => act(PHASE, {
          type: "PhaseChange", market: row.market, phase, symbol: row.symbol,
        }),
      }, word(`to_${phase}`))) },
  ].filter(Boolean), venue.instruments, { empty: word("no_data"), key: (row) => row.symbol });
}

// -- forms ---------------------------------------------------------------------------------------

const nameOf = (path) => path.split("/").at(-1);
const titleOf = (path) => (hasWord(`op_${nameOf(path)}`)
  ? word(`op_${nameOf(path)}`) : operation("POST", path).summary);

function forms() {
  const offered = paths().map(([path]) => path)
    .filter((path) => path.startsWith("/operations/") && may("POST", path) && bodyOf("POST", path));
  return offered.map((path) => {
    const schema = bodyOf("POST", path);
    const fields = fieldsOf(schema);
    const said = h("div", { role: "alert" });
    async function submit(event) {
      event.preventDefault();
      const body = bodyOfFields(fields, { type: schema.properties.type?.enum[0] });
      try {
        said.replaceChildren();
        await act(path, body);
      } catch (error) {
        showProblem(said, error);
      }
    }
    return h("details", { class: "operation", "data-path": path },
      h("summary", {}, titleOf(path), " ", h("code", { class: "muted" }, nameOf(path))),
      h("form", { onsubmit: submit, class: "stack" },
        h("p", { class: "muted", lang: "en" }, schema.description ?? ""),
        h("div", { class: "fields" }, Object.values(fields).map((field) => field.element)),
        h("div", { class: "actions" }, h("button", {
          type: "submit", class: HARMLESS.has(path) ? "primary" : "danger",
        }, titleOf(path))), said));
  });
}

// Carries an operation out; what can do harm is repeated and its target typed before. `what` is
// told too where the body alone does not say it.
async function act(path, body, what = "") {
  const run = async () => {
    const report = await send("POST", path, { body });
    notify(`${titleOf(path)}: ${word(`status_${report.status ?? "DONE"}`)}`
      + (report.status === "PROPOSED" ? ` · ${report.proposal_id}` : ""));
    refresh().catch(() => {});
    refreshDesk().catch(() => {});
  };
  if (HARMLESS.has(path)) {
    await run();
    return;
  }
  confirmAct({
    title: titleOf(path),
    facts: [[word("proposal_what"), what], ...Object.entries(body)
      .filter(([name]) => name !== "type").map(([name, value]) => [
        fieldName(name),
        typeof value === "object" ? Object.values(value).join(" · ") : shown(value),
      ])],
    warning: word("operation_warning"),
    typed: String(body.proposal_id || body.symbol || body.market || body.participant
      || body.account || nameOf(path)),
    verb: titleOf(path),
    act: run,
  });
}

const shown = (value) => (hasWord(`value_${value}`) ? valueName(value) : String(value));
