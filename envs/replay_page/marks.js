// What lies on the chart: decisions, fills, names of panes, the playhead and the cross under the pointer.

const MARKS = [ // by kind of fill: what it is called, its colour, and the corners of its shape round 0
  { name: "order", corners: [[0, -7], [-6, 4], [6, 4]] }, // upside down for a sale
  { name: "stop", colour: "stop", corners: eighth([[-2, -7], [2, -7], [2, -2], [7, -2], [7, 2], [2, 2], [2, 7], [-2, 7],
                                                   [-2, 2], [-7, 2], [-7, -2], [-2, -2]]) },
  { name: "take profit", colour: "profit", corners: star(8, 3.4) },
  { name: "liquidation", colour: "liquidation", corners: [[0, -8], [8, 0], [0, 8], [-8, 0]] },
];
const LEGEND = [["buy", 0, 1, "buy"], ["sell", 0, -1, "sell"], ["stop", 1, 1, "stop"], ["take profit", 2, 1, "profit"],
                ["liquidation", 3, 1, "liquidation"]];

function eighth(corners) { // of a turn
  return corners.map(([dx, dy]) => [(dx - dy) * Math.SQRT1_2, (dx + dy) * Math.SQRT1_2]);
}

function star(outer, inner) {
  return Array.from({ length: 10 }, (_, i) => {
    const reach = i % 2 ? inner : outer, angle = (i * Math.PI) / 5;
    return [reach * Math.sin(angle), -reach * Math.cos(angle)];
  });
}

function mark(kind, bought, x, y, size = 1) {
  const { corners, colour } = MARKS[kind], tall = kind === KIND.order && !bought ? -size : size;
  ink.fillStyle = colours[colour ?? (bought ? "buy" : "sell")];
  ink.strokeStyle = colours.paper;
  ink.lineWidth = size;
  ink.beginPath();
  for (const [dx, dy] of corners) ink.lineTo(x + dx * size, y + dy * tall); // the first one moves there
  ink.closePath();
  ink.fill();
  ink.stroke();
}

/** Fills in sight. Zoomed out they are small, and of several of one kind side by side only the first is drawn. */
function drawFills(pane) {
  const mine = fillsOf[view.asset], seen = {}, size = Math.min(Math.max(barWidth() / 5, 0.6), 1), room = 12 * size;
  const from = lowerBound(mine, view.left - 1, (i) => fill.bar[mine[i]]);
  for (let at = from; at < mine.length && fill.bar[mine[at]] <= view.right; at++) {
    const i = mine[at], x = xOf(fill.bar[i]), bought = fill.units[i] > 0, key = fill.kind[i] * 2 + bought;
    if (barWidth() < room && x - (seen[key] ?? -Infinity) < room) continue;
    seen[key] = x;
    mark(fill.kind[i], bought, x, pane.y(fill.price[i]), size);
  }
}

/** A ring on the close where the wish changed; every wish is in the line of the position pane. */
function drawDecisions(pane) {
  const n = view.asset, close = candle(n, 3);
  ink.strokeStyle = colours.decision;
  ink.lineWidth = 1.5;
  for (let k = pointOf[Math.max(0, Math.floor(view.left))]; k < K && point[k] <= view.right; k++) {
    const asked = wish[n * K + k], before = k ? wish[n * K + k - 1] : 0;
    if (asked === before || Number.isNaN(asked) || Number.isNaN(close[point[k]])) continue;
    ink.beginPath();
    ink.arc(xOf(point[k]), pane.y(close[point[k]]), Math.min(4.5, barWidth() * 0.6), 0, 2 * Math.PI);
    ink.stroke();
  }
}

function onPaper(text, x, y, colour) {
  const { width } = ink.measureText(text);
  ink.globalAlpha = 0.8;
  ink.fillStyle = colours.paper;
  ink.fillRect(x - 2, y - 8, width + 4, 16);
  ink.globalAlpha = 1;
  ink.fillStyle = colour;
  ink.fillText(text, x, y);
  return width;
}

function drawLabels() {
  ink.textAlign = "left";
  ink.textBaseline = "middle";
  ink.font = "11px system-ui, 'DejaVu Sans', sans-serif";
  const names = { price: assets[view.asset], position: wishesSeen() ? "position (line: asked for)" : "position",
                  equity: "equity (dashed: start)", drawdown: "drawdown" };
  for (const pane of plot.panes) {
    let x = 6 + onPaper(names[pane.name], 4, pane.top + 5, colours.soft), y = pane.top + 5;
    if (pane.name !== "price") continue;
    const what = (i) => `${fill.kind[i]}${fill.kind[i] ? 1 : Math.sign(fill.units[i])}`;
    const found = new Set(fillsOf[view.asset].map(what));
    for (const [text, kind, side] of LEGEND) {
      if (!found.has(`${kind}${side}`)) continue;
      if (x + 30 + ink.measureText(text).width > plot.width) [x, y] = [0, y + 17];
      mark(kind, side > 0, x + 14, y);
      x += 28 + onPaper(text, x + 24, y, colours.soft);
    }
  }
}

function drawEdge(x) {
  ink.fillStyle = colours.ink;
  ink.fillRect(Math.round(x) - 0.5, 0, 1, plot.height);
}

function drawCross() {
  const { bar, y } = view.hover, x = Math.round(xOf(bar));
  ink.strokeStyle = colours.soft;
  ink.lineWidth = 1;
  ink.setLineDash([3, 3]);
  ink.beginPath();
  ink.moveTo(x + 0.5, 0);
  ink.lineTo(x + 0.5, plot.height);
  const pane = plot.panes.find((one) => y >= one.top - 6 && y <= one.edge);
  if (pane) { ink.moveTo(0, Math.round(y) + 0.5); ink.lineTo(plot.width, Math.round(y) + 0.5); }
  ink.stroke();
  ink.setLineDash([]);
  ink.textBaseline = "middle";
  if (pane) {
    const value = pane.valueAt(y);
    const text = pane.name === "drawdown" ? `${(100 * value).toFixed(1)}%` : sevenDigits.format(value.toPrecision(5));
    tag(text.replace("-", "−"), plot.width + 3, y, "left");
  }
  const text = timeText(time[bar]), half = ink.measureText(text).width / 2 + 6;
  tag(text, Math.min(Math.max(x, half), plot.width - half), plot.height + BELOW / 2 + 1, "center");
}

function tag(text, x, y, align) {
  ink.textAlign = align;
  const width = ink.measureText(text).width + 8;
  ink.fillStyle = colours.ink;
  ink.fillRect(align === "center" ? x - width / 2 : x, y - 9, width, 18);
  ink.fillStyle = colours.paper;
  ink.fillText(text, align === "center" ? x : x + 4, y);
}
