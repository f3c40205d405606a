// Why a plan leaves units, in Chinese: the sentences of exchange/compliance/plan.py and of
// exchange/rulebook/eligibility.py. What is none of them is shown as the venue wrote it.

import { inChinese } from "./words.js";

const capOf = (name) => name
  .replace(/^cap of group (.+)$/, "$1 组的上限")
  .replace(/^cap of the scheme for (.+)$/, "$1 年度全市场上限")
  .replace(/^cap of (.+)$/, "$1 的上限");

const SENTENCES = [
  [/^not needed$/, () => "无需使用"],
  [/^dearer than what was chosen$/, () => "价格高于已选单位"],
  [/^the rules leave no room for it$/, () => "规则未留余地"],
  [/^the usable share of unregistered reductions$/, () => "未登记减排量的可用份额"],
  [/^(.+): nothing is left of (\d+) t$/, (name, most) => `${capOf(name)}：${most} 吨已用完`],
  [/^(.+) is not taken as an offset by (.+)$/, (unit, rule) => `规则 ${rule} 不接受 ${unit} 抵销`],
  [/^rule (.+) caps by (.+), which is not known of the account$/,
    (rule, base) => `规则 ${rule} 以 ${base} 为基数，该账户的基数未知`],
  [/^rule (.+) takes vintages (.+); this is (.+)$/,
    (rule, taken, own) => `规则 ${rule} 只接受 ${taken} 年度；此为 ${own}`],
  [/^rule (.+) takes programme generation (.+); this one is (.+)$/,
    (rule, taken, own) => `规则 ${rule} 只接受 ${taken} 签发；此为 ${own}`],
  [/^rule (.+) took generation (.+) until (.+); the act is of (.+)$/,
    (rule, taken, last, on) => `规则 ${rule} 接受 ${taken} 签发至 ${last}；操作日为 ${on}`],
  [/^rule (.+) takes reductions from (.+) on; these are of (.+)$/,
    (rule, first, own) => `规则 ${rule} 只接受 ${first} 起的减排量；此为 ${own}`],
  [/^rule (.+) takes projects in operation after (.+); this one is of (.+)$/,
    (rule, after, own) => `规则 ${rule} 只接受 ${after} 之后投运的项目；此为 ${own}`],
];

// The sentence in the page's language, and the language that it is in.
export function planReason(text) {
  if (inChinese()) {
    for (const [pattern, say] of SENTENCES) {
      const found = text.match(pattern);
      if (found) return { text: say(...found.slice(1)), lang: "zh-CN" };
    }
  }
  return { text, lang: "en" };
}
