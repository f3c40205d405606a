// What operators have stopped and limited, and who did and why: GET /operations/acts, act by act.

import { get } from "./api.js";
import { momentOf } from "./clock.js";
import { h } from "./dom.js";
import { fieldName } from "./names.js";
import { whatOf } from "./proposals.js";
import { table } from "./tables.js";
import { word } from "./words.js";

const SUBJECT = ["symbol", "participant", "account", "session"];
const ENDS = { Lift: "Kill", Resume: "Halt" };
const STANDS = new Set(["Kill", "Halt", "SetLimit"]);

export class Standing {
  constructor() {
    this.rows = new Map(); // by what is stopped or limited: the act that did it
    this.read = {}; // by market: the position up to which acts were read
  }

  // Reads what is new; an act that the engine has not answered is read again.
  async refresh(markets) {
    await Promise.all(markets.map(async (market) => {
      const { acts } = await get("/operations/acts", { market, after: this.read[market] ?? 0 });
      for (const act of acts) {
        if (act.outcome === "PENDING") return;
        this.read[market] = act.position;
        if (act.outcome === "DONE" && ["DONE", "APPROVED"].includes(act.stage)) {
          this.take(market, act);
        }
      }
    }));
  }

  take(market, act) {
    const { body } = act;
    const subject = SUBJECT.map((name) => body[name] || 0).join();
    const of = (type) => [market, type, type === "SetLimit" ? body.parameter : "", subject].join();
    if (ENDS[body.type]) this.rows.delete(of(ENDS[body.type]));
    if (!STANDS.has(body.type)) return;
    this.rows.delete(of(body.type)); // the newest stands last
    this.rows.set(of(body.type), { ...act, market });
  }

  // `titleOf(path)` names an operation.
  table(titleOf) {
    return table(word("standing"), [
      { name: fieldName("market"), of: (row) => row.market, class: "muted" },
      { name: word("proposal_what"), of: (row) => h("b", {}, whatOf(row.body, titleOf)),
        class: "wrap" },
      { name: fieldName("reason"), of: (row) => row.reason, class: "wrap" },
      { name: word("done_by"), of: (row) => row.who },
      { name: word("since"), of: (row) => momentOf(row.time_ns), class: "figure" },
    ], [...this.rows.values()].reverse(), { empty: word("no_standing") });
  }
}
