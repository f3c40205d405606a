// The compliance page: what is owed for a year, what is held, what the caps leave, the cheapest
// plan, and giving units up.

import { get, isOffered } from "./api.js";
import { momentOf, thisYear } from "./clock.js";
import { grouped } from "./decimals.js";
import { desk, onDesk } from "./desk.js";
import { h, meter, panel } from "./dom.js";
import { makeSelect } from "./forms.js";
import { fieldName, tonnes } from "./names.js";
import { tellProblem } from "./problems.js";
import { openPlan } from "./surrender.js";
import { table } from "./tables.js";
import { inMarket } from "./venue.js";
import { hasWord, word } from "./words.js";

const YEARS_BACK = 4;
const BLOCKS_SHOWN = 100;
const state = { account: "", scheme: "", year: "" };

// Shows the page in `root`; what it returns ends it.
export function openCompliance(root) {
  const account = makeSelect([]);
  const scheme = makeSelect([]);
  const year = makeSelect([]);
  const body = h("div", { class: "cards" });
  let turn = 0;

  function drawChoices() {
    fill(account, desk.accounts.map((row) => (
      [String(row.account), `${row.account} · ${row.name} (${row.market})`]
    )), state.account);
    state.account = account.value;
    const market = desk.accounts.find((row) => String(row.account) === state.account)?.market;
    const schemes = [...new Set(inMarket(market).map((item) => item.scheme))];
    fill(scheme, schemes.map((id) => [id, id]), state.scheme);
    state.scheme = scheme.value;
    const now = thisYear();
    const years = Array.from({ length: YEARS_BACK + 1 }, (_, back) => String(now - back));
    fill(year, years.map((number) => [number, number]), state.year || String(now - 1));
    state.year = year.value;
  }

  async function show() {
    turn += 1;
    const mine = turn;
    if (!state.account || !state.scheme) return;
    const market = desk.accounts.find((row) => String(row.account) === state.account).market;
    const asked = { ...state, market };
    const parts = await Promise.all([
      attempt(() => yearPart(asked)),
      attempt(() => holdingsPart(asked)),
      attempt(() => headroomPart(asked)),
      attempt(() => openPlan(asked, show)),
    ]);
    const [year, holdings, headroom, plan] = parts;
    if (mine !== turn) return;
    body.replaceChildren(h("div", { class: "column" }, year, headroom),
      h("div", { class: "column" }, holdings, plan));
  }

  for (const [name, select] of Object.entries({ account, scheme, year })) {
    select.addEventListener("change", () => {
      state[name] = select.value;
      if (name === "account") state.scheme = "";
      drawChoices();
      show();
    });
  }
  const label = (name, control) => h("label", { class: "field inline" },
    h("span", {}, fieldName(name)), control);
  root.replaceChildren(h("div", { class: "page" },
    h("div", { class: "toolbar chooser" }, label("account", account), label("scheme", scheme),
      label("year", year)),
    desk.accounts.length ? null : h("p", { class: "empty" }, word("no_accounts")), body));
  let known = 0;
  const accountsCame = async () => {
    if (desk.accounts.length === known) return;
    known = desk.accounts.length;
    root.querySelector(".page > .empty")?.remove();
    const isMine = desk.accounts.some((row) => String(row.account) === state.account);
    if (!isMine) await prefer().catch(() => {});
    drawChoices();
    show();
  };
  accountsCame();
  const end = onDesk(accountsCame);
  return () => {
    turn += 1;
    end();
  };
}

// Who owes something, and for which year; the last account when nobody does.
async function prefer() {
  const { obligations } = await get("/holdings");
  const isOwed = (row) => (
    Object.values(row.surrendered).reduce((all, given) => all + given, 0) < row.obligation
  );
  const found = obligations.filter(isOwed).at(-1) ?? obligations.at(-1);
  state.account = String(found?.account ?? desk.accounts.at(-1)?.account ?? "");
  state.scheme = found?.scheme ?? "";
  state.year = found ? String(found.year) : "";
}

function fill(select, options, value) {
  select.replaceChildren(...options.map(([id, name]) => h("option", { value: id }, name)));
  if (options.some(([id]) => id === value)) select.value = value;
}

async function attempt(make) {
  try {
    return await make();
  } catch (error) {
    return panel(word("no_data"), {}, tellProblem(error));
  }
}

// -- the year ------------------------------------------------------------------------------------

async function yearPart({ account, scheme, year }) {
  const found = await get("/compliance-year", { account, scheme, year });
  const { obligation, surrendered, offsets, owed } = found;
  const head = obligation === null
    ? h("p", { class: "empty" }, word("no_obligation"))
    : [
      h("div", { class: "big" }, h("p", { class: "figure" }, tonnes(owed)),
        h("p", { class: "muted" }, owed ? word("still_owed") : word("nothing_owed"))),
      meter([["allowances", surrendered - offsets], ["offsets", offsets]], obligation,
        `${word("surrendered")} ${tonnes(surrendered)} / ${tonnes(obligation)}`),
      h("ul", { class: "legend" },
        h("li", { class: "allowances" }, `${word("allowances")} ${tonnes(surrendered - offsets)}`),
        h("li", { class: "offsets" }, `${word("offsets")} ${tonnes(offsets)}`),
        h("li", {}, `${word("obligation")} ${tonnes(obligation)}`)),
    ];
  const figures = h("dl", { class: "list two" }, [
    ["reported", found.reported], ["verified", found.verified],
    ["provisional", found.provisional], ["final", found.final],
    ["carried_in", found.carried_in || null], ["deduction", found.deduction || null],
  ].filter(([key, value]) => value !== null || key === "reported" || key === "verified")
    .map(([key, value]) => h("div", {}, h("dt", {}, word(`year_${key}`)),
      h("dd", { class: "figure" }, tonnes(value)))));
  const stepTone = { DONE: "up", LATE: "warn", OVERDUE: "down", OPEN: "muted" };
  const steps = table(word("steps"), [
    { name: word("step"), of: (row) => stepName(row.step) },
    { name: word("state"), of: (row) => h("span", { class: stepTone[row.status] },
      word(`step_${row.status}`)) },
    { name: word("due"), of: (row) => row.due || "–", class: "figure" },
    { name: word("done_on"), of: (row) => momentOf(row.time_ns).slice(0, 10), class: "figure" },
    { name: fieldName("quantity"), of: (row) => tonnes(row.quantity), class: "figure" },
  ], found.steps, { empty: word("no_data") });
  const assessed = found.assessment && h("p", { class: "warning" },
    `${word("assessed")}: ${word("shortfall")} ${tonnes(found.assessment.shortfall)}`,
    found.assessment.consequence && ` – ${found.assessment.consequence}`);
  return panel(`${word("year")} ${year}`, { class: "tall" }, head, figures, assessed, steps,
    found.source && h("p", { class: "source muted", lang: "en" }, found.source));
}

const stepName = (step) => (hasWord(`step_name_${step}`) ? word(`step_name_${step}`) : step);

// -- holdings ------------------------------------------------------------------------------------

async function holdingsPart({ account, market }) {
  const { holdings } = await get("/holdings", { market });
  const own = holdings.filter((row) => String(row.account) === account && row.quantity);
  const unitOf = (row) => inMarket(market).find((item) => item.symbol === row.symbol)
    ?? { kind: "allowance", vintage: 0 };
  const blocks = own.flatMap((row) => row.ranges.map((range) => ({ ...range, row })));
  return panel(word("holdings"), {},
    table(word("holdings"), [
      { name: fieldName("symbol"), of: (row) => h("b", {}, row.symbol) },
      { name: word("kind"), of: (row) => word(`kind_${unitOf(row).kind}`) },
      { name: word("vintage"), of: (row) => unitOf(row).vintage || "–", class: "figure" },
      { name: word("position"), of: (row) => word(`position_${row.position}`) },
      { name: fieldName("quantity"), of: (row) => grouped(row.quantity), class: "figure" },
    ], own, { empty: word("no_holdings") }),
    blocks.length > 0 && h("details", {},
      h("summary", {}, `${word("serial_blocks")} (${blocks.length})`),
      table(word("serial_blocks"), [
        { name: word("programme"), of: (block) => block.programme },
        { name: word("serial_first"), of: (block) => grouped(block.first), class: "figure" },
        { name: word("serial_last"), of: (block) => grouped(block.last), class: "figure" },
        { name: fieldName("quantity"), of: (block) => grouped(block.last - block.first + 1),
          class: "figure" },
        { name: word("position"), of: (block) => word(`position_${block.row.position}`) },
      ], blocks.slice(0, BLOCKS_SHOWN))));
}

// -- caps ----------------------------------------------------------------------------------------

async function headroomPart({ account, market, scheme }) {
  const offsets = inMarket(market)
    .filter((item) => item.kind === "offset" && item.scheme === scheme);
  if (!offsets.length || !isOffered("GET", "/offset-headroom")) {
    return panel(word("caps"), {}, h("p", { class: "empty" }, word("no_caps")));
  }
  const found = await Promise.all(offsets.map(({ symbol }) => (
    get("/offset-headroom", { account, symbol })
  )));
  const rows = found.flatMap((reply) => (
    reply.years.map((row) => ({ ...row, symbol: reply.symbol }))
  ));
  const rooms = found.map((reply) => h("li", {},
    h("b", {}, reply.symbol), " ", word("room"), " ", h("span", { class: "figure" },
      tonnes(reply.room)), " ",
    h("span", { class: "muted" }, `${word("held_now")} ${tonnes(reply.held)} · `
      + `${word("buying")} ${tonnes(reply.buying)}`
      + (reply.is_enforced ? ` · ${word("enforced")}` : ""))));
  return panel(word("caps"), {}, h("ul", { class: "plain-list" }, rooms),
    rows.map((row) => h("div", { class: "cap", title: row.source },
      h("div", { class: "cap-line" }, h("b", {}, `${row.symbol} ${row.year}`),
        h("span", { class: "figure" }, `${tonnes(row.left)} ${word("left")}`)),
      meter([["offsets", row.used]], row.cap, `${tonnes(row.used)} / ${tonnes(row.cap)}`),
      h("p", { class: "muted" }, `${tonnes(row.used)} ${word("of_cap")} ${tonnes(row.cap)} · `,
        h("code", {}, row.rule)))),
    !rows.length && h("p", { class: "empty" }, word("no_caps")));
}
