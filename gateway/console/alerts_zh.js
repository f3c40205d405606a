// What a surveillance alert says, in Chinese: one sentence of each kind, from the alert's figures.

const SENTENCES = {
  WASH_TRADE: "参与者 {participants} 在 {symbol} 上自买自卖 {trades} 笔，共 {quantity} 吨。",
  CROSS_ACCOUNT: "同一参与者的账户 {accounts} 之间互转 {symbol} 共 {quantity} 吨："
    + "正向 {forth} 次、反向 {back} 次，净转移 {net} 吨。",
  CIRCULAR_TRADING: "参与者 {participants} 之间来回买卖 {symbol} 共 {quantity} 吨：正向 {forth} 次、"
    + "反向 {back} 次，净转移 {net} 吨，均价相差 {price_gap_bp} 个基点，"
    + "占各自成交的 {share_bp} 个基点。",
  MATCHED_ORDERS: "参与者 {participants} 的委托在 {symbol} 上互相成交 {trades} 笔，共 {quantity} 吨，"
    + "价格与数量相同，最近一对相隔 {apart_ms} 毫秒。",
  LAYERING: "参与者 {participants} 在 {symbol} 分多个价位挂单 {loaded} 吨，在另一方向成交 {traded} 吨，"
    + "随后撤单 {cancelled} 吨（{orders} 笔委托）；如此 {cycles} 次。",
  SPOOFING: "参与者 {participants} 在 {symbol} 挂单 {loaded} 吨，在另一方向成交 {traded} 吨，"
    + "随后撤单 {cancelled} 吨（{orders} 笔委托）；如此 {cycles} 次。",
  QUOTE_STUFFING: "参与者 {participants} 短时间内就 {symbol} 发出 {messages} 条报文，仅成交 {trades} 笔。",
  ORDER_TO_TRADE: "参与者 {participants} 就 {symbol} 发出 {messages} 条报文，成交 {trades} 笔："
    + "笔数比 {number_ratio}，数量比 {volume_ratio}。",
  MARKING_THE_CLOSE: "参与者 {participants} 在收盘前净成交 {symbol} {quantity} 吨，"
    + "占市场 {volume} 吨的 {share_bp} 个基点，价格随之变动 {moved_bp} 个基点。",
  INDICATIVE_PRICE: "参与者 {participants} 在 {symbol} 集合竞价中申报 {quantity} 吨"
    + "（参考成交量 {volume} 吨），参考价随之变动 {moved_bp} 个基点，随后撤单。",
  MOMENTUM_IGNITION: "参与者 {participants} 以 {orders} 笔委托成交 {symbol} {quantity} 吨，"
    + "价格随之变动 {moved_bp} 个基点，随后以更优价格反手 {reversed} 吨。",
  DOMINANT_SIDE: "参与者 {participants} 当日单边净成交 {symbol} {net} 吨，"
    + "占市场 {volume} 吨的 {share_bp} 个基点，价格随之变动 {moved_bp} 个基点。",
  BLOCK_OFF_MARKET: "参与者 {participants} 之间成交 {symbol} 大宗交易 {quantity} 吨，"
    + "价格（{price} 分）偏离市场价格（{market} 分）{distance_bp} 个基点。",
  LARGE_POSITION: "参与者 {participants} 持有 {symbol} {quantity} 吨，占交易场所 {units} 吨的 "
    + "{share_bp} 个基点，距清缴截止日 {days} 天。",
  LARGE_HOLDER: "账户 {accounts} 持有 {symbol} {quantity} 吨，占其限额 {limit} 吨的 "
    + "{share_bp} 个基点；报告门槛为 {from} 吨。",
};

// The sentence of an alert, its numbers written by `told`; "" where its kind or a figure is not
// known here, as of a venue that is newer than this page.
export function alertInChinese(alert, told) {
  const known = { ...alert.figures, symbol: alert.symbol };
  known.accounts = (alert.accounts ?? []).join("、");
  known.participants = (alert.participants ?? []).join("、");
  let isWhole = Object.hasOwn(SENTENCES, alert.kind);
  const text = (isWhole ? SENTENCES[alert.kind] : "").replace(/\{(\w+)\}/g, (_, name) => {
    isWhole &&= Object.hasOwn(known, name);
    return typeof known[name] === "number" ? told(known[name]) : known[name];
  });
  return isWhole ? text : "";
}
