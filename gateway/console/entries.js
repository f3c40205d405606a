// What else may be entered beside an order (quotes, picks, blocks, ...): every route that answers
// with an execution report and names an instrument, as a form of its schema; and the mass cancel.

import { bodyOf, isOffered, operation, paths, send } from "./api.js";
import { take } from "./desk.js";
import { confirmAct, notify, openDialog } from "./dialogs.js";
import { h } from "./dom.js";
import { bodyOfFields, fieldsOf } from "./forms.js";
import { fieldName, valueName } from "./names.js";
import { showProblem, toldOf } from "./problems.js";
import { may } from "./session.js";
import { instrumentOf, lastSymbol } from "./venue.js";
import { hasWord, word } from "./words.js";

const ELSEWHERE = new Set(["/orders", "/auctions/bids"]);
const MASS_CANCELS = "/mass-cancels";

export function entryKinds() {
  return paths().map(([path]) => path).filter((path) => {
    const replies = operation("POST", path)?.responses ?? {};
    const answers = (replies["201"] ?? replies["200"])?.content["application/json"].schema.$ref;
    return !ELSEWHERE.has(path) && may("POST", path) && answers?.endsWith("/ExecutionReport")
      && bodyOf("POST", path).required?.includes("symbol");
  });
}

export const entryName = (path) => {
  const key = `entry_${path.slice(1).replaceAll("/", "_")}`;
  return hasWord(key) ? word(key) : operation("POST", path).summary;
};

// The form of one kind, for an instrument.
export function entryForm(path, instrument) {
  const schema = bodyOf("POST", path);
  const fields = fieldsOf(schema, {
    preset: { symbol: instrument?.symbol }, market: instrument?.market,
  });
  const said = h("div", { role: "alert" });
  async function submit(event) {
    event.preventDefault();
    said.replaceChildren();
    try {
      const body = bodyOfFields(fields, { type: schema.properties.type.enum[0] });
      const report = await send("POST", path, { body });
      take(report);
      notify(toldOf(report));
    } catch (error) {
      showProblem(said, error);
    }
  }
  return h("form", { onsubmit: submit },
    h("div", { class: "fields" }, Object.values(fields).map((field) => field.element)),
    h("button", { type: "submit", class: "primary wide" }, entryName(path)), said);
}

export const mayMassCancel = () => isOffered("POST", MASS_CANCELS) && may("POST", MASS_CANCELS);

// Asks which orders, then once more.
export function openMassCancel() {
  const schema = bodyOf("POST", MASS_CANCELS);
  const preset = { market: instrumentOf(lastSymbol())?.market };
  const fields = fieldsOf(schema, { preset, skip: new Set(["client_order_id"]) });
  const dialog = openDialog(word("mass_cancel"), (close) => h("form", {
    class: "stack",
    onsubmit: (event) => {
      event.preventDefault();
      const body = bodyOfFields(fields, { type: schema.properties.type.enum[0] });
      close();
      confirmAct({
        title: word("mass_cancel"),
        facts: Object.entries(body).filter(([name]) => name !== "type").map(([name, value]) => (
          [fieldName(name), value === true ? word("yes") : valueName(String(value))]
        )),
        verb: word("mass_cancel"),
        act: async () => {
          const report = await send("POST", MASS_CANCELS, { body });
          notify(`${word("mass_cancelled")} ${report.affected_orders ?? 0}`, "plain");
        },
      });
    },
  },
  h("div", { class: "fields" }, Object.values(fields).map((field) => field.element)),
  h("div", { class: "actions" }, h("button", { type: "button", onclick: close }, word("back")),
    h("button", { type: "submit", class: "danger" }, word("mass_cancel")))));
  dialog.querySelector("select")?.focus();
}
