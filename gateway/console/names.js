// The venue's names of fields and values in the language of the page; unknown ones as they are.

import { grouped } from "./decimals.js";
import { hasWord, word } from "./words.js";

export const fieldName = (name) => (
  hasWord(`field_${name}`) ? word(`field_${name}`) : name.replaceAll("_", " ")
);
export const valueName = (value) => (hasWord(`value_${value}`) ? word(`value_${value}`) : value);

// A quantity with its unit; a dash where there is none.
export const tonnes = (value) => (
  value === null || value === undefined ? "–" : `${grouped(value)} ${word("tonne")}`
);
