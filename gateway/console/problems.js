// A refusal for people: the venue's number and name, what was wrong, and what to do.

import { grouped } from "./decimals.js";
import { h } from "./dom.js";
import { valueName } from "./names.js";
import { REASONS_ZH } from "./reasons_zh.js";
import { inChinese, word } from "./words.js";

export function tellProblem(error) {
  if (error.reason === undefined) throw error; // a fault of the page, not the venue's word
  if (error.reason === 0) {
    const text = error.status ? error.detail : word(error.isUnknown ? "unknown_fate" : "no_answer");
    return h("div", { class: "problem" }, h("p", { class: "problem-name" }, word("not_reached")),
      h("p", {}, text));
  }
  const report = error.report ?? {};
  const chinese = inChinese() ? REASONS_ZH[error.reason] : undefined;
  return h(
    "div",
    { class: "problem" },
    h("p", { class: "problem-name" }, `${word("refused")} ${error.reason} `,
      h("code", {}, error.title)),
    chinese && h("p", {}, chinese),
    h("p", { lang: "en", class: chinese ? "muted" : "" }, error.detail),
    report.source && h("p", { class: "muted", lang: "en" }, report.source),
  );
}

// Shows it where its reader looks.
export function showProblem(place, error) {
  place.replaceChildren(tellProblem(error));
  place.scrollIntoView({ block: "nearest" });
}

// The same of a report that carries a reason, as an order's: one line, "" for none.
function reasonOf(report) {
  if (!report.reason) return "";
  const chinese = inChinese() ? REASONS_ZH[report.reason] : undefined;
  return `${report.reason} ${report.title}: ${chinese ?? report.text}`;
}

// What became of an order, in one line.
export function toldOf(report) {
  const size = report.order_quantity && grouped(report.order_quantity);
  const what = [report.side && valueName(report.side), size, report.symbol].filter(Boolean);
  const status = word(`status_${report.order_status || "DONE"}`);
  const filled = report.cumulative_quantity
    ? ` ${grouped(report.cumulative_quantity)}/${grouped(report.order_quantity)} t` : "";
  return [`${what.join(" ")}: ${status}${filled}`, reasonOf(report)].filter(Boolean).join(" · ");
}
