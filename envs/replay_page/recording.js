// What was recorded, unpacked. R bars, K steps (K + 1 points: the closes on which was decided), N assets.

const ARRAYS = { f4: Float32Array, f8: Float64Array, u4: Uint32Array, u2: Uint16Array, u1: Uint8Array };

function unpack({ type, data }) {
  const text = atob(data), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new ARRAYS[type](bytes.buffer);
}

const stored = JSON.parse(document.getElementById("recording").textContent);
const assets = stored.assets, N = assets.length;
const time = unpack(stored.time); // (R,) seconds since 1970 of each bar's close
const point = unpack(stored.point); // (K + 1,) the bar that each point is the close of
const R = time.length, K = point.length - 1;
const pointOf = new Uint32Array(R); // (R,) the last point at or before a bar
for (let bar = 0, k = 0; bar < R; bar++) {
  while (k < K && point[k + 1] <= bar) k++;
  pointOf[bar] = k;
}
const candles = unpack(stored.candles); // (N, 4, R) open high low close
const weight = unpack(stored.weight); // (N, K + 1) held at each point
const wish = unpack(stored.wish); // (N, K) asked for at each point but the last; NaN: left as it is
const equity = unpack(stored.equity), reward = unpack(stored.reward), events = unpack(stored.events);
const costs = unpack(stored.costs); // (K + 1,) fees, slippage, carry and interest so far
const drawdown = new Float64Array(K + 1);
for (let k = 0, peak = 0; k <= K; k++) {
  peak = Math.max(peak, equity[k]);
  drawdown[k] = 1 - equity[k] / peak;
}

const fill = {}; // columns of one length, in the order of time
for (const name of ["step", "bar", "asset", "kind", "units", "price"]) fill[name] = unpack(stored.fill[name]);
const fillsOf = assets.map((_, n) => [...fill.asset.keys()].filter((i) => fill.asset[i] === n));
const KIND = { order: 0, stop: 1, take_profit: 2, liquidation: 3 };

const candle = (n, part) => candles.subarray((4 * n + part) * R, (4 * n + part + 1) * R);
const eventsOf = (step) => stored.eventNames.filter((_, bit) => (events[step] >> bit) & 1);

/** A series over points, as one over bars: each bar shows the last point at or before it. */
function overBars(values) {
  const spread = new Float64Array(R);
  for (let bar = 0; bar < R; bar++) spread[bar] = values[pointOf[bar]];
  return spread;
}

/** What was asked for, over the bars in which it was carried out; a wish to leave things keeps the last one. */
function wishOverBars(n) {
  const spread = new Float64Array(R).fill(NaN);
  let last = NaN;
  for (let bar = 1; bar < R; bar++) {
    const asked = wish[n * K + pointOf[bar - 1]];
    if (!Number.isNaN(asked)) last = asked;
    spread[bar] = last;
  }
  return spread;
}

/** The first index in sorted `values` whose entry is at least `wanted`. */
function lowerBound(values, wanted, get = (i) => values[i]) {
  let low = 0, high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (get(middle) < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}
