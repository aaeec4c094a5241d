// What the reader does: hover, zoom, drag, play, step, choose an asset; and what is written beside the chart.

const element = (id) => document.getElementById(id);
const FIELDS = ["time", "open", "high", "low", "close", "position", "asked", "decides", "equity", "drawdown", "costs",
                "reward", "fills", "events"];
const SPEEDS = [1, 2, 5, 10, 30, 100, 300];
const FEWEST = 8; // bars that can be zoomed in to
let waiting = false, playing = false, lastFrame = 0, owed = 0;
const field = {};

function makeFields() {
  for (const name of FIELDS) {
    const pair = document.createElement("span"), label = document.createElement("i");
    field[name] = document.createElement("b");
    label.textContent = ["time", "fills", "events"].includes(name) ? "" : name;
    field[name].dataset.of = name;
    field[name].style.fontWeight = name === "time" || name === "fills" ? 600 : 400;
    pair.append(label, field[name]);
    element("readout").append(pair);
  }
}

function fillText(i) {
  const what = fill.kind[i] ? `${MARKS[fill.kind[i]].name}: ` : "";
  return `${what}${fill.units[i] > 0 ? "bought" : "sold"} ${sevenDigits.format(Math.abs(fill.units[i]))} at ` +
         priceText(fill.price[i]);
}

/** Every number of one bar: after the step that ended on it, or that it lies inside of. */
function readout(bar) {
  const n = view.asset, k = pointOf[bar], ends = point[k] === bar, step = ends ? k - 1 : k;
  const paid = [0, 1, 2, 3].reduce((sum, part) => sum + costs[4 * k + part], 0);
  const mine = fillsOf[n], from = lowerBound(mine, bar, (i) => fill.bar[mine[i]]), filled = [];
  for (let at = from; at < mine.length && fill.bar[mine[at]] === bar; at++) filled.push(fillText(mine[at]));
  return {
    time: timeText(time[bar]), open: priceText(candle(n, 0)[bar]), high: priceText(candle(n, 1)[bar]),
    low: priceText(candle(n, 2)[bar]), close: priceText(candle(n, 3)[bar]),
    position: weightText(weight[n * (K + 1) + k]), asked: bar ? weightText(wish[n * K + pointOf[bar - 1]]) : "",
    decides: ends && k < K ? weightText(wish[n * K + k]) : "",
    equity: `${moneyText(equity[k])} (${percentText(equity[k] / equity[0] - 1)})`,
    drawdown: percentText(drawdown[k]).replace("+", ""), costs: moneyText(paid),
    reward: step >= 0 && step < K ? signed(String(+reward[step].toPrecision(4)), reward[step]) : "",
    fills: filled.join("; "),
    events: bar ? eventsOf(step).join(", ").replaceAll("_", " ") : "",
  };
}

function write() {
  const values = readout(view.hover ? view.hover.bar : point[view.cursor]);
  for (const name of FIELDS) {
    field[name].textContent = values[name];
    field[name].parentElement.hidden = values[name] === "";
  }
  element("counter").textContent = `${view.cursor} / ${K}`;
  element("slider").value = view.cursor;
}

function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); write(); });
}

function show(left, right) {
  const span = Math.min(Math.max(right - left, Math.min(FEWEST, R)), Math.max(R, FEWEST)), middle = (left + right) / 2;
  view.left = Math.min(Math.max(middle - span / 2, 0), Math.max(R - span, 0));
  view.right = view.left + span;
  redraw();
}

function zoom(factor, x) {
  const bar = view.left + x / barWidth(), span = (view.right - view.left) * factor, share = x / plot.width;
  if (span > R && factor > 1) show(0, R);
  else if (span >= FEWEST || factor > 1) show(bar - span * share, bar + span * (1 - share));
}

function moveTo(k) {
  view.cursor = Math.min(Math.max(k, 0), K);
  const bar = point[view.cursor], span = view.right - view.left;
  if (bar < view.left || bar > view.right - Math.max(1, 0.06 * span)) show(bar + 1 - 0.8 * span, bar + 1 + 0.2 * span);
  redraw();
}

function play(on) {
  if (on && view.cursor === K) moveTo(Math.min(pointOf[barAt(0)], K));
  playing = on && K > 0;
  lastFrame = performance.now();
  owed = 0;
  element("play-shape").setAttribute("d", playing ? "M3 2h4v12H3zM9 2h4v12H9z" : "M4 2v12l9-6z");
  if (playing) requestAnimationFrame(frame);
}

function frame(now) {
  if (!playing) return;
  owed += Math.max(now - lastFrame, 0) / 1000 * SPEEDS[element("speed").selectedIndex];
  lastFrame = now;
  const steps = Math.floor(owed);
  owed -= steps;
  if (steps) moveTo(view.cursor + steps);
  if (view.cursor === K) play(false);
  else requestAnimationFrame(frame);
}

function step(by) { play(false); view.hover = null; moveTo(view.cursor + by); }

function changeSpeed(by) {
  const speed = element("speed");
  speed.selectedIndex = Math.min(Math.max(speed.selectedIndex + by, 0), SPEEDS.length - 1);
}

const KEYS = {
  " ": () => play(!playing), ArrowLeft: (event) => step(event.shiftKey ? -10 : -1), Home: () => step(-K),
  ArrowRight: (event) => step(event.shiftKey ? 10 : 1), End: () => step(K), ArrowUp: () => changeSpeed(1),
  ArrowDown: () => changeSpeed(-1), "+": () => zoom(0.8, plot.width / 2), "=": () => zoom(0.8, plot.width / 2),
  "-": () => zoom(1.25, plot.width / 2), 0: () => show(0, R), Escape: () => { view.hover = null; redraw(); },
};

function listenToKeys() {
  document.addEventListener("keydown", (event) => {
    const arrows = event.target.tagName === "SELECT" && event.key.startsWith("Arrow"); // a list needs its own
    const act = KEYS[event.key];
    if (!act || arrows || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault(); // also keeps a focused button or slider from acting on the same key a second time
    act(event);
  });
  document.addEventListener("keyup", (event) => { // a focused button would be pressed by letting go of space
    if (event.key === " " && event.target.tagName === "BUTTON") event.preventDefault();
  });
}

/** One pointer drags, two pinch; a mouse hovers, and a click that did not drag moves the playhead. */
function listenToPointers() {
  const down = new Map();
  let moved = 0;
  const place = (event) => ({ x: event.offsetX, y: event.offsetY });
  const hover = ({ x, y }) => { view.hover = x <= plot.width ? { bar: barAt(x), y } : null; redraw(); };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    down.set(event.pointerId, place(event));
    moved = down.size > 1 ? Infinity : 0;
    if (event.pointerType !== "mouse" && down.size === 1) hover(place(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = place(event), before = down.get(event.pointerId);
    if (!before) { hover(now); return; }
    moved += Math.abs(now.x - before.x);
    if (down.size === 2) {
      const [other] = [...down].filter(([id]) => id !== event.pointerId).map(([, where]) => where);
      const apart = (one) => Math.max(Math.hypot(one.x - other.x, one.y - other.y), 20);
      zoom(apart(before) / apart(now), (now.x + other.x) / 2);
      const shift = (before.x - now.x) / 2 / barWidth();
      show(view.left + shift, view.right + shift);
    } else if (moved > 4) {
      const shift = (before.x - now.x) / barWidth();
      canvas.classList.add("dragged");
      show(view.left + shift, view.right + shift);
      hover(now);
    }
    down.set(event.pointerId, now);
  });
  const up = (event) => {
    if (!down.delete(event.pointerId)) return;
    canvas.classList.remove("dragged");
    if (event.type === "pointerup" && event.pointerType === "mouse" && moved <= 4 && event.offsetX <= plot.width) {
      play(false);
      moveTo(pointOf[barAt(event.offsetX)]);
    }
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse") { view.hover = null; redraw(); }
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 30 : 1; // some mice count lines, not pixels
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey) {
      const shift = (event.deltaX || event.deltaY) * lines / barWidth();
      show(view.left + shift, view.right + shift);
    } else zoom(1.0015 ** (Math.min(Math.max(event.deltaY * lines, -400), 400)), event.offsetX);
    if (event.offsetX <= plot.width) hover(place(event));
  }, { passive: false });
}

function summary() {
  const filled = [["order", "orders"], ["stop", "stops"], ["take_profit", "take profits"],
                  ["liquidation", "liquidations"]].map(([kind, names]) => {
    const count = fill.kind.reduce((sum, one) => sum + (one === KIND[kind]), 0);
    return count || kind === "order" ? `${count} ${count === 1 ? names.slice(0, -1) : names}` : "";
  });
  const deepest = ofAccount.drawdown.at(-1).high.reduce((most, one) => Math.max(most, one), 0);
  const paid = [0, 1, 2, 3].reduce((sum, part) => sum + costs[4 * K + part] - costs[part], 0);
  return [`return ${percentText(equity[K] / equity[0] - 1)}`, `largest drawdown ${twoDigits.format(100 * deepest)}%`,
          ...filled, `costs ${moneyText(paid)}`, stored.terminated ? "ended by ruin" : ""]
    .filter(Boolean).join(" · ");
}

function begin() {
  makeFields();
  element("summary").textContent = summary();
  element("slider").max = K;
  for (const rate of SPEEDS) element("speed").add(new Option(`${rate}/s`, rate, rate === 10, rate === 10));
  assets.forEach((name, n) => element("asset").add(new Option(name, n)));
  element("asset").hidden = N < 2;
  element("asset").addEventListener("change", (event) => { choose(event.target.selectedIndex); redraw(); });
  element("slider").addEventListener("input", (event) => step(+event.target.value - view.cursor));
  const buttons = { first: () => step(-K), back: () => step(-1), play: () => play(!playing), forward: () => step(1),
                    last: () => step(K), all: () => show(0, R) };
  for (const [id, act] of Object.entries(buttons)) element(id).addEventListener("click", act);
  listenToKeys();
  listenToPointers();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); redraw(); });
  new ResizeObserver(() => { fit(); draw(); write(); }).observe(element("place"));
  readColours();
  choose(0);
  fit();
  play(false);
  show(0, R);
}

begin();
window.replay = { view, draw, xOf, readout, show, moveTo }; // for whoever looks with the browser's console
