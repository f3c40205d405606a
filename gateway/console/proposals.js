// What waits for a second person (GET /operations/proposals), with what may become of it.

import { bodyOf, paths } from "./api.js";
import { momentOf } from "./clock.js";
import { h } from "./dom.js";
import { fieldName, valueName } from "./names.js";
import { may } from "./session.js";
import { table } from "./tables.js";
import { word } from "./words.js";

const ENDS = [["/operations/approve", "Approve"], ["/operations/decline", "Decline"]];
const NOT_SHOWN = new Set(["type", "ref", "reason"]);

// `lists` are the venue's answers by market; `act(path, body, what)` carries an operation out, and
// `titleOf(path)` names it.
export function proposalTable(lists, act, titleOf) {
  const rows = lists.filter(Boolean).flatMap((list) => (
    list.proposals.map((row) => ({ ...row, market: list.market }))
  ));
  return table(word("proposals"), [
    { name: fieldName("proposal_id"), of: (row) => row.proposal_id, class: "figure" },
    { name: fieldName("market"), of: (row) => row.market, class: "muted" },
    { name: word("proposal_what"), of: (row) => whatOf(row.body, titleOf), class: "wrap" },
    { name: fieldName("reason"), of: (row) => row.reason, class: "wrap" },
    { name: word("proposed_by"), of: (row) => row.who },
    { name: word("until"), of: (row) => momentOf(row.ends_ns), class: "figure" },
    { name: "", class: "actions-cell", of: (row) => ENDS
      .filter(([path]) => may("POST", path))
      .map(([path, type]) => h("button", {
        type: "button", class: "small", "data-focus": `${row.proposal_id} ${type}`,
        "data-act": type,
        "aria-label": `${row.proposal_id}: ${word(`end_${type}`)}`,
        onclick: () => act(path, { type, market: row.market, proposal_id: row.proposal_id },
          whatOf(row.body, titleOf)),
      }, word(`end_${type}`))) },
  ], rows, { empty: word("no_proposals"), key: (row) => row.proposal_id });
}

// An operation in a line: its title and its terms.
export function whatOf(body, titleOf) {
  const path = paths().map(([one]) => one).filter((one) => one.startsWith("/operations/"))
    .find((one) => bodyOf("POST", one)?.properties.type?.enum[0] === body.type);
  const terms = Object.entries(body)
    .filter(([name, value]) => !NOT_SHOWN.has(name) && name !== "market" && value)
    .map(([name, value]) => `${fieldName(name)}: ${valueName(value)}`);
  return [path ? titleOf(path) : body.type, ...terms].join(" · ");
}
