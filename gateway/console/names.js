// The venue's names of fields and values in the language of the page; unknown ones as they are.

import { hasWord, word } from "./words.js";

export const fieldName = (name) => (
  hasWord(`field_${name}`) ? word(`field_${name}`) : name.replaceAll("_", " ")
);
export const valueName = (value) => (hasWord(`value_${value}`) ? word(`value_${value}`) : value);
