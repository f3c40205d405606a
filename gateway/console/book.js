// The local book: snapshot, then deltas in sequence, proved by checksum; and its picture.

const CHECKSUM_LEVELS = 10;
const TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value >>> 0;
});

export function crc32(text) {
  let value = 0xffffffff;
  for (let at = 0; at < text.length; at += 1) {
    value = TABLE[(value ^ text.charCodeAt(at)) & 0xff] ^ (value >>> 8);
  }
  return (value ^ 0xffffffff) >>> 0;
}

// One instrument's levels: arrays [price, quantity, orders], best first.
export class Book {
  constructor(snapshot) {
    this.bids = snapshot.bids;
    this.asks = snapshot.asks;
    this.sequence = snapshot.sequence;
    this.check(snapshot.checksum);
  }

  // False when the delta is old; throws when one is missing or the checksum differs.
  apply(delta) {
    if (delta.sequence <= this.sequence) return false;
    if (delta.previous_sequence !== this.sequence) throw new Error("a delta is missing");
    for (const level of delta.bids) put(this.bids, level, -1);
    for (const level of delta.asks) put(this.asks, level, 1);
    this.sequence = delta.sequence;
    this.check(delta.checksum);
    return true;
  }

  check(expected) {
    const side = (levels) => levels.slice(0, CHECKSUM_LEVELS).map((l) => l.join(":")).join(",");
    if (crc32(`${side(this.asks)}|${side(this.bids)}`) !== expected) {
      throw new Error("the checksum differs");
    }
  }
}

function put(levels, level, sign) {
  let low = 0;
  let high = levels.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sign * levels[middle][0] < sign * level[0]) low = middle + 1;
    else high = middle;
  }
  const isThere = low < levels.length && levels[low][0] === level[0];
  if (level[1] === 0) levels.splice(low, isThere ? 1 : 0);
  else levels.splice(low, isThere ? 1 : 0, level);
}

// Keeps a fixed number of rows a side and writes only what changed.
export class Ladder {
  // `picked(price)` hears of a click on a level
  constructor(asks, bids, rows, picked) {
    this.sides = { asks: makeRows(asks, rows, picked), bids: makeRows(bids, rows, picked) };
    this.rows = rows;
  }

  draw(book, price, figure) {
    const asks = accumulate(book.asks, this.rows);
    const bids = accumulate(book.bids, this.rows);
    const widest = Math.max(asks.at(-1)?.total ?? 0, bids.at(-1)?.total ?? 0, 1);
    for (let at = 0; at < this.rows; at += 1) {
      write(this.sides.asks[this.rows - 1 - at], asks[at], widest, price, figure);
      write(this.sides.bids[at], bids[at], widest, price, figure);
    }
  }
}

function accumulate(levels, rows) {
  let total = 0;
  return levels.slice(0, rows).map(([price, quantity, orders]) => {
    total += quantity;
    return { price, quantity, orders, total };
  });
}

function makeRows(body, count, picked) {
  const rows = [];
  for (let at = 0; at < count; at += 1) {
    const row = body.insertRow();
    const cells = [row.insertCell(), row.insertCell(), row.insertCell()];
    const bar = document.createElement("i");
    bar.className = "bar";
    const texts = cells.map((cell) => cell.appendChild(document.createElement("span")));
    cells[0].prepend(bar);
    const made = { row, texts, bar, quantity: 0, price: 0 };
    row.addEventListener("click", () => {
      if (made.price) picked(made.price);
    });
    rows.push(made);
  }
  return rows;
}

function write(target, level, widest, price, figure) {
  const { row, texts, bar } = target;
  const isChanged = level && level.price === target.price && level.quantity !== target.quantity;
  target.price = level?.price ?? 0;
  target.quantity = level?.quantity ?? 0;
  texts[0].textContent = level ? price(level.price) : "";
  texts[1].textContent = level ? figure(level.quantity) : "";
  texts[2].textContent = level ? figure(level.total) : "";
  bar.style.width = level ? `${Math.max(1, Math.round((100 * level.total) / widest))}%` : "0";
  row.classList.toggle("empty", !level);
  row.classList.toggle("flash", Boolean(isChanged));
}
