// The four panes. `draw()` paints everything from `view`; nothing else touches the canvas.

const canvas = document.getElementById("chart"), ink = canvas.getContext("2d");
const view = { asset: 0, left: 0, right: R, cursor: K, hover: null }; // bars in sight; cursor: a point; hover: {bar, y}
const PANES = [["price", 0.54], ["position", 0.14], ["equity", 0.2], ["drawdown", 0.12]];
const BELOW = 22, FUTURE = 0.2; // height of the time axis; how much of what is still to come shines through
const CANDLE_ROOM = 3, LINE_ROOM = 1; // pixels an entry gets at least
let colours = {}, series = {}, plot = { width: 1, height: 1, panes: [] }, price = []; // filled by choose() and fit()

function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["paper", "ink", "soft", "grid", "edge", "up", "down", "long", "short", "equity", "wish", "buy",
                      "sell", "stop", "profit", "liquidation", "decision"]) {
    colours[name] = style.getPropertyValue(`--${name}`).trim();
  }
}

const ofAccount = { equity: lineLevels(overBars(equity)), drawdown: lineLevels(overBars(drawdown)) };

function choose(n) {
  view.asset = n;
  price = candleLevels(n);
  series = { ...ofAccount, weight: lineLevels(overBars(weight.subarray(n * (K + 1), (n + 1) * (K + 1)))),
             wish: lineLevels(wishOverBars(n)) };
}

function fit() {
  const { clientWidth: width, clientHeight: height } = canvas.parentElement, ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  ink.setTransform(ratio, 0, 0, ratio, 0, 0);
  plot = { width: Math.max(width - (width < 600 ? 56 : 72), 10), height: Math.max(height - BELOW, 40), panes: [] };
  let top = 0;
  for (const [name, share] of PANES) {
    const tall = plot.height * share;
    plot.panes.push({ name, top: top + 6, bottom: top + tall - 6, edge: top + tall });
    top += tall;
  }
}

const wishesSeen = () => barWidth() >= 1.5; // closer together their line would cover the positions
const barWidth = () => plot.width / (view.right - view.left);
const xOf = (bar) => (bar + 0.5 - view.left) * barWidth(); // the middle of a bar
const barAt = (x) => Math.min(Math.max(Math.floor(view.left + x / barWidth()), 0), R - 1);

/** Entries of the right level in sight: {level, first, last, width, x(i)}. */
function inSight(levels, room) {
  const l = levelFor(levels, barWidth(), room), size = 2 ** l, level = levels[l];
  const first = Math.max(0, Math.floor(view.left / size)), width = size * barWidth();
  const last = Math.min(level.high.length - 1, Math.floor(view.right / size));
  return { level, first, last, width, x: (i) => (i * size - view.left) * barWidth() };
}

function scale(pane, low, high, above = 0) {
  if (!(high > low)) [low, high] = [low - (Math.abs(low) * 0.01 || 1), high + (Math.abs(high) * 0.01 || 1)];
  if (Number.isNaN(low)) [low, high] = [0, 1];
  const room = (high - low) * above;
  return Object.assign(pane, { low, high: high + room,
    y: (value) => pane.bottom - ((value - low) / (high + room - low)) * (pane.bottom - pane.top),
    valueAt: (y) => low + ((pane.bottom - y) / (pane.bottom - pane.top)) * (high + room - low) });
}

function layScales() {
  const [ofPrice, ofPosition, ofEquity, ofDrawdown] = plot.panes;
  const range = (levels, room) => { const s = inSight(levels, room); return extremes(s.level, s.first, s.last); };
  scale(ofPrice, ...range(price, CANDLE_ROOM), 0.1);
  const held = range(series.weight, LINE_ROOM), asked = range(series.wish, LINE_ROOM).map((v) => v || 0);
  scale(ofPosition, Math.min(held[0], asked[0], 0), Math.max(held[1], asked[1], 0) || 1, 0.35);
  scale(ofEquity, ...range(series.equity, LINE_ROOM), 0.2);
  scale(ofDrawdown, -Math.max(range(series.drawdown, LINE_ROOM)[1], 0.005), 0, 0.4);
}

function drawGrid() {
  ink.lineWidth = 1;
  ink.textBaseline = "middle";
  ink.font = "11px system-ui, 'DejaVu Sans', sans-serif";
  for (const pane of plot.panes) {
    const ticks = niceTicks(pane.low, pane.high, (pane.bottom - pane.top) / (pane.name === "price" ? 48 : 20));
    ink.textAlign = "left";
    for (const { value, text } of ticks) {
      const y = Math.round(pane.y(value)) + 0.5;
      ink.fillStyle = colours.grid;
      ink.fillRect(0, y - 0.5, plot.width, 1);
      ink.fillStyle = colours.soft;
      const shown = pane.name === "drawdown" ? `${+(100 * value).toFixed(2)}%` : text;
      ink.fillText(shown.replace("-", "−"), plot.width + 6, y);
    }
    ink.fillStyle = colours.edge;
    ink.fillRect(0, Math.round(pane.edge) - 1, plot.width, 1);
  }
  ink.fillRect(plot.width, 0, 1, plot.height);
  ink.textAlign = "center";
  for (const { bar, text } of timeTicks(view.left, view.right, plot.width / 80)) {
    const x = xOf(bar), half = ink.measureText(text).width / 2;
    ink.fillStyle = colours.grid;
    ink.fillRect(Math.round(x), 0, 1, plot.height);
    ink.fillStyle = colours.soft;
    ink.fillText(text, Math.min(Math.max(x, half), plot.width - half), plot.height + BELOW / 2 + 1);
  }
}

function drawCandles(pane) {
  const { level, first, last, width, x } = inSight(price, CANDLE_ROOM);
  const body = Math.max(Math.floor(width * 0.72), 1), wick = width > 14 ? 1.5 : 1;
  for (const rising of [true, false]) {
    ink.fillStyle = rising ? colours.up : colours.down;
    for (let i = first; i <= last; i++) {
      const open = level.open[i], close = level.close[i];
      if (Number.isNaN(close) || close >= open !== rising) continue;
      const middle = x(i) + width / 2, top = pane.y(Math.max(open, close)), high = pane.y(level.high[i]);
      ink.fillRect(middle - wick / 2, high, wick, Math.max(pane.y(level.low[i]) - high, 1));
      ink.fillRect(middle - body / 2, top, body, Math.max(pane.y(Math.min(open, close)) - top, 1));
    }
  }
}

/** From zero to the extremes of each entry, one shape per side: every excursion is seen at any zoom, without seams. */
function drawArea(pane, levels, colourOver, colourUnder, sign = 1) {
  const { level, first, last, width, x } = inSight(levels, LINE_ROOM), base = pane.y(0);
  for (const [side, colour] of [[1, colourOver], [-1, colourUnder]]) {
    const values = side * sign > 0 ? level.high : level.low;
    ink.fillStyle = colour;
    ink.beginPath();
    ink.moveTo(x(first), base);
    for (let i = first; i <= last; i++) {
      const y = side * sign * values[i] > 0 ? pane.y(sign * values[i]) : base;
      ink.lineTo(x(i), y);
      ink.lineTo(x(i) + width, y);
    }
    ink.lineTo(x(last) + width, base);
    ink.fill();
  }
}

/** A line through the closes; where an entry holds several bars, from its lowest to its highest as well. */
function drawLine(pane, levels, colour, stepped) {
  const { level, first, last, width, x } = inSight(levels, LINE_ROOM);
  ink.strokeStyle = colour;
  ink.beginPath();
  for (let i = Math.max(first - 1, 0), pen = false; i <= Math.min(last + 1, level.high.length - 1); i++) {
    const value = level.close[i], left = x(i), middle = left + width / 2;
    if (Number.isNaN(value)) { pen = false; continue; }
    if (stepped) { pen ? ink.lineTo(left, pane.y(value)) : ink.moveTo(left, pane.y(value)); }
    else if (!pen) ink.moveTo(middle, pane.y(value));
    if (level.high[i] > level.low[i]) {
      ink.lineTo(middle, pane.y(level.low[i]));
      ink.lineTo(middle, pane.y(level.high[i]));
    }
    ink.lineTo(stepped ? left + width : middle, pane.y(value));
    pen = true;
  }
  ink.stroke();
}

function drawContent() {
  const [ofPrice, ofPosition, ofEquity, ofDrawdown] = plot.panes;
  drawCandles(ofPrice);
  if (barWidth() >= 4) drawDecisions(ofPrice);
  drawFills(ofPrice);
  drawArea(ofPosition, series.weight, colours.long, colours.short);
  ink.lineWidth = 1;
  ink.setLineDash([2, 2]);
  if (wishesSeen()) drawLine(ofPosition, series.wish, colours.wish, true);
  ink.setLineDash([5, 4]);
  ink.strokeStyle = colours.edge;
  ink.beginPath();
  ink.moveTo(0, ofEquity.y(equity[0]));
  ink.lineTo(plot.width, ofEquity.y(equity[0]));
  if (equity[0] >= ofEquity.low) ink.stroke();
  ink.setLineDash([]);
  ink.lineWidth = 1.5;
  drawLine(ofEquity, series.equity, colours.equity, false);
  drawArea(ofDrawdown, series.drawdown, colours.short, colours.short, -1);
}

function clipped(left, right, alpha, paint) {
  if (right <= left) return;
  ink.save();
  ink.beginPath();
  ink.rect(left, 0, right - left, plot.height);
  ink.clip();
  ink.globalAlpha = alpha;
  paint();
  ink.restore();
}

function draw() {
  ink.fillStyle = colours.paper;
  ink.fillRect(0, 0, canvas.width, canvas.height);
  layScales();
  drawGrid();
  const now = Math.min(Math.max(xOf(point[view.cursor]) + barWidth() / 2, 0), plot.width);
  clipped(0, now, 1, drawContent);
  clipped(now, plot.width, FUTURE, drawContent);
  drawLabels();
  if (view.cursor < K) drawEdge(now);
  if (view.hover) drawCross();
}
