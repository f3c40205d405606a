// The surrender plan with its reasons, and surrendering: for good, so it is said twice.

import { get, send } from "./api.js";
import { grouped } from "./decimals.js";
import { refreshDesk } from "./desk.js";
import { confirmAct, notify } from "./dialogs.js";
import { h, panel } from "./dom.js";
import { makeSelect } from "./forms.js";
import { fieldName, tonnes } from "./names.js";
import { planReason } from "./plan_reasons.js";
import { session } from "./session.js";
import { table } from "./tables.js";
import { inMarket } from "./venue.js";
import { word } from "./words.js";

const NOT_FOUND = 523;
// roles that may give SurrenderUnits in POST /instructions
const WHO_SURRENDERS = new Set(["participant", "authority"]);

// The plan's panels; `changed()` is called after a surrender.
export async function openPlan({ account, scheme, year, market }, changed) {
  const maySurrender = WHO_SURRENDERS.has(session.role);
  const given = { account, year, market, changed };
  const parts = [];
  try {
    const plan = await get("/surrender-plan", { account, year, scheme });
    parts.push(planPanel(plan, given, maySurrender));
  } catch (error) {
    if (error.reason !== NOT_FOUND) throw error;
    parts.push(panel(word("plan"), {}, h("p", { class: "empty" }, word("no_plan")),
      h("p", { class: "source muted", lang: "en" }, error.detail)));
  }
  if (maySurrender) parts.push(byHand(given, scheme));
  return parts;
}

function planPanel(plan, given, maySurrender) {
  const total = plan.surrender.reduce((all, row) => all + row.quantity, 0);
  const facts = [
    [word("still_owed"), tonnes(plan.owed)], [word("due"), plan.due || word("not_known")],
    [word("plan_cost"), `${grouped(plan.cost)} ${plan.currency}`],
  ];
  return panel(word("plan"), { class: "tall" },
    h("dl", { class: "list three" }, facts.map(([name, value]) => (
      h("div", {}, h("dt", {}, name), h("dd", { class: "figure" }, value))
    ))),
    plan.missing > 0 && h("p", { class: "warning" },
      `${word("plan_missing")} ${tonnes(plan.missing)}`),
    h("h3", {}, word("plan_takes")),
    table(word("plan_takes"), [
      { name: fieldName("symbol"), of: (row) => h("b", {}, row.symbol) },
      { name: fieldName("project"), of: (row) => row.project || "–", class: "figure" },
      { name: fieldName("quantity"), of: (row) => grouped(row.quantity), class: "figure" },
      { name: fieldName("price"), of: (row) => grouped(row.price), class: "figure" },
      { name: word("rule"), of: (row) => h("code", { class: "muted" }, row.rule || "–") },
    ], plan.surrender, { empty: word("plan_nothing") }),
    maySurrender && total > 0 && h("button", {
      type: "button", class: "danger wide", id: "surrender-plan",
      onclick: () => confirm(plan.surrender, given),
    }, `${word("surrender")} ${tonnes(total)}`),
    h("h3", {}, word("plan_leaves")),
    table(word("plan_leaves"), [
      { name: fieldName("symbol"), of: (row) => h("b", {}, row.symbol) },
      { name: fieldName("quantity"), of: (row) => grouped(row.quantity), class: "figure" },
      { name: word("why"), of: (row) => {
        const { text, lang } = planReason(row.reason);
        return h("span", { lang }, text);
      }, class: "wrap" },
    ], plan.left, { empty: word("plan_leaves_nothing") }),
    plan.limits.length > 0 && [h("h3", {}, word("plan_limits")),
      table(word("plan_limits"), [
        { name: word("rule"), of: (row) => h("code", {}, row.rule) },
        { name: word("limit"), of: (row) => grouped(row.limit), class: "figure" },
        { name: word("left_of_limit"), of: (row) => grouped(row.left), class: "figure" },
      ], plan.limits)],
    plan.source && h("p", { class: "source muted", lang: "en" }, plan.source));
}

// Another quantity than the plan's.
function byHand(given, scheme) {
  const own = inMarket(given.market).filter((item) => item.scheme === scheme);
  const symbol = makeSelect(own.map((item) => [item.symbol, item.symbol]));
  const quantity = h("input", {
    inputmode: "numeric", autocomplete: "off", class: "figure", required: true, pattern: "\\d+",
  });
  function submit(event) {
    event.preventDefault();
    confirm([{ symbol: symbol.value, quantity: quantity.value, project: 0 }], given);
  }
  return panel(word("by_hand"), {}, h("form", { onsubmit: submit, class: "row-form" },
    h("label", { class: "field" }, h("span", {}, fieldName("symbol")), symbol),
    h("label", { class: "field" }, h("span", {}, fieldName("quantity")), quantity),
    h("button", { type: "submit", class: "danger" }, word("surrender"))));
}

function confirm(rows, { account, year, changed }) {
  const total = rows.reduce((all, row) => all + BigInt(row.quantity), 0n);
  confirmAct({
    title: word("surrender_title"),
    facts: [
      [fieldName("account"), account], [word("year"), year],
      ...rows.map((row) => [
        row.project ? `${row.symbol} · ${fieldName("project")} ${row.project}` : row.symbol,
        tonnes(row.quantity),
      ]),
      [word("total"), tonnes(total)],
    ],
    warning: word("surrender_warning"),
    typed: String(total),
    verb: word("surrender"),
    act: async () => {
      const left = [...rows];
      const count = left.length;
      try {
        while (left.length) {
          await surrender(left[0], account, year);
          left.shift();
        }
      } finally {
        rows.splice(0, rows.length, ...left); // what is done is not given twice
        if (left.length < count) {
          refreshDesk().catch(() => {});
          changed();
        }
      }
    },
  });
}

async function surrender({ symbol, quantity, project }, account, year) {
  const report = await send("POST", "/instructions", {
    body: {
      type: "SurrenderUnits", symbol, account: Number(account), quantity: String(quantity),
      year: Number(year), ...(project ? { project } : {}),
    },
  });
  const status = word(`status_${report.status}`);
  notify(`${word("surrendered")} ${tonnes(quantity)} ${symbol}: ${status}`);
}
