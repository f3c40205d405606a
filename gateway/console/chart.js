// Price as candles, volume below them; drawn by TradingView Lightweight Charts. A market that has
// traded for some minutes only is shown by candles of five seconds, later by the minute.

export const MINUTE_NS = 60_000_000_000;
export const SHORT_NS = 5_000_000_000;

// The language's colours of a price that rises and of one that falls.
const tones = () => {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(["rise", "fall", "rise-volume", "fall-volume"]
    .map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
};

export class Chart {
  constructor(element) {
    const { createChart, CandlestickSeries, HistogramSeries, CrosshairMode } = LightweightCharts;
    this.chart = createChart(element, {
      autoSize: true,
      layout: {
        background: { color: "transparent" },
        textColor: "#8b98a9",
        fontFamily: getComputedStyle(document.body).fontFamily,
        fontSize: 11,
        attributionLogo: false, // the footer says it, without a style element
      },
      grid: { vertLines: { color: "#151c26" }, horzLines: { color: "#151c26" } },
      crosshair: { mode: CrosshairMode.Normal },
      rightPriceScale: { borderColor: "#1d2733", scaleMargins: { top: 0.1, bottom: 0.26 } },
      timeScale: {
        borderColor: "#1d2733", timeVisible: true, secondsVisible: false, rightOffset: 4,
        barSpacing: 9,
      },
      localization: { locale: "en-GB" },
    });
    this.tones = tones();
    const { rise, fall } = this.tones;
    this.candles = this.chart.addSeries(CandlestickSeries, {
      upColor: rise, downColor: fall, wickUpColor: rise, wickDownColor: fall, borderVisible: false,
    });
    this.volume = this.chart.addSeries(HistogramSeries, {
      priceScaleId: "volume", priceFormat: { type: "volume" }, lastValueVisible: false,
      priceLineVisible: false,
    });
    this.chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.8, bottom: 0 } });
    this.last = null;
    this.width = MINUTE_NS;
  }

  // Bars as GET /bars gives them: minor units, oldest first; `width` is their length in ns.
  load(bars, digits, width) {
    this.scale = 10 ** digits;
    this.width = width;
    this.chart.timeScale().applyOptions({ secondsVisible: width < MINUTE_NS });
    this.candles.applyOptions({
      priceFormat: { type: "price", precision: digits, minMove: 1 / this.scale },
    });
    this.last = bars.at(-1) ?? null;
    this.candles.setData(bars.map((bar) => this.candle(bar)));
    this.volume.setData(bars.map((bar) => this.column(bar)));
    const shown = 90;
    if (bars.length > shown) {
      const range = { from: bars.length - shown, to: bars.length + 4 };
      this.chart.timeScale().setVisibleLogicalRange(range);
    } else {
      this.chart.timeScale().applyOptions({ barSpacing: 9 });
      this.chart.timeScale().scrollToRealTime();
    }
  }

  close() {
    this.chart.remove();
  }

  trade(trade) {
    const bar = nextBar(this.last, trade, this.width);
    if (!bar) return;
    this.last = bar;
    this.candles.update(this.candle(bar));
    this.volume.update(this.column(bar));
  }

  candle(bar) {
    const of = (value) => value / this.scale;
    return {
      time: Math.floor(bar.start_ns / 1e9), open: of(bar.open), high: of(bar.high),
      low: of(bar.low), close: of(bar.close),
    };
  }

  column(bar) {
    return {
      time: Math.floor(bar.start_ns / 1e9), value: bar.volume,
      color: this.tones[bar.close >= bar.open ? "rise-volume" : "fall-volume"],
    };
  }
}

// Bars of `width` ns from trades, oldest first.
export function barsOf(trades, width) {
  const bars = [];
  for (const trade of trades) {
    const bar = nextBar(bars.at(-1), trade, width);
    if (bar && bars.at(-1)?.start_ns === bar.start_ns) bars[bars.length - 1] = bar;
    else if (bar) bars.push(bar);
  }
  return bars;
}

function nextBar(last, { price, quantity, time_ns }, width) {
  const start = Math.floor(time_ns / width) * width;
  if (last && start < last.start_ns) return null;
  if (!last || last.start_ns !== start) {
    return {
      start_ns: start, open: price, high: price, low: price, close: price, volume: quantity,
    };
  }
  return {
    start_ns: start, open: last.open, high: Math.max(last.high, price),
    low: Math.min(last.low, price), close: price, volume: last.volume + quantity,
  };
}
