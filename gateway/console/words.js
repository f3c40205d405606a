// The page's words, in English and Chinese.

const WORDS = {
  en: {
    other: "中文", instruments: "Instruments", book: "Order book", trades: "Trades",
    price: "Price", tonnes: "Tonnes", total: "Total", time: "UTC", change: "Change",
    reference: "Reference", volume: "Day volume", phase: "Phase", quiet: "No trades yet",
    chart: "Price and volume over time", charts: "Charts:", spread: "spread",
    live: "live", connecting: "connecting", lost: "connection lost, trying again",
    CONTINUOUS: "continuous", CLOSED: "closed", HALT: "halted", perTonne: "/t",
    sequence: "book sequence", checked: "checksum right",
  },
  zh: {
    other: "English", instruments: "品种", book: "委托盘口", trades: "成交",
    price: "价格", tonnes: "数量(吨)", total: "累计", time: "时间(UTC)", change: "涨跌",
    reference: "基准价", volume: "当日成交量", phase: "交易阶段", quiet: "暂无成交",
    chart: "价格与成交量走势", charts: "图表:", spread: "价差",
    live: "实时", connecting: "连接中", lost: "连接中断,正在重连",
    CONTINUOUS: "连续交易", CLOSED: "休市", HALT: "暂停", perTonne: "/吨",
    sequence: "盘口序号", checked: "校验一致",
  },
};

const preferred = localStorage.getItem("language") ?? navigator.language;
let language = preferred.startsWith("zh") ? "zh" : "en";

export const word = (key) => WORDS[language][key] ?? key;

export function toggle() {
  language = language === "en" ? "zh" : "en";
  localStorage.setItem("language", language);
}

// Writes every marked element anew.
export function speak() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-word]")) {
    element.textContent = word(element.dataset.word);
  }
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", word(element.dataset.label));
  }
  document.getElementById("language").textContent = word("other");
}
