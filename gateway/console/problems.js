// A refusal for people: the venue's number and name, what was wrong, and what to do.

import { h } from "./dom.js";
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

// The same of a report that carries a reason, as an order's: one line, "" for none.
export function reasonOf(report) {
  if (!report.reason) return "";
  const chinese = inChinese() ? REASONS_ZH[report.reason] : undefined;
  return `${report.reason} ${report.title}: ${chinese ?? report.text}`;
}
