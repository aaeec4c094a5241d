// Numbers as text, and where the ticks of an axis stand.

const grouped = (digits, options) => new Intl.NumberFormat("en-US", { maximumFractionDigits: digits,
                                                                      minimumFractionDigits: digits, ...options });
const twoDigits = grouped(2), oneDigit = grouped(1);
const sevenDigits = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 7 }); // what float32 holds
const priceText = (price) => (Number.isNaN(price) ? "–" : sevenDigits.format(price));
const moneyText = (value) => twoDigits.format(value);
const signed = (text, value) => (value > 0 ? `+${text}` : text.replace("-", "−"));
const weightText = (value) => (Number.isNaN(value) ? "–" : signed(value.toFixed(2), value));
const percentText = (share) => signed(`${twoDigits.format(100 * share)}%`, share);

/** Round numbers between `low` and `high`, about `count` of them. */
function niceTicks(low, high, count) {
  const rough = (high - low) / Math.max(count, 1), power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough) ?? 10 * power;
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) ticks.push(i * step || 0); // never -0
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9) + (String(step / power) === "2.5" ? 1 : 0));
  return ticks.map((value) => ({ value, text: value.toLocaleString("en-US", { maximumFractionDigits: digits }) }));
}

const MINUTE = 60, HOUR = 3600, DAY = 86400;
const EVEN = [MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY,
              7 * DAY];
const MONTHS = [1, 3, 6, 12, 24, 60, 120];
const NAMES = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** Calendar boundaries between two times, no more than `count` of them. */
function boundaries(from, to, count) {
  const even = EVEN.find((seconds) => (to - from) / seconds <= count), found = [];
  if (even) {
    for (let t = Math.ceil(from / even) * even; t <= to; t += even) found.push(t);
    return found;
  }
  const months = MONTHS.find((m) => (to - from) / (m * 30.4 * DAY) <= count) ?? MONTHS.at(-1);
  const start = new Date(1000 * from);
  for (let m = Math.floor((12 * start.getUTCFullYear() + start.getUTCMonth()) / months) * months; ; m += months) {
    const t = Date.UTC(Math.floor(m / 12), m % 12) / 1000;
    if (t > to) return found;
    if (t >= from) found.push(t);
  }
}

/** What a boundary is called: the largest unit that begins there. */
function boundaryText(seconds) {
  const date = new Date(1000 * seconds);
  if (seconds % DAY) return date.toISOString().slice(11, 16);
  if (date.getUTCDate() !== 1) return `${NAMES[date.getUTCMonth()]} ${date.getUTCDate()}`;
  return date.getUTCMonth() ? NAMES[date.getUTCMonth()] : String(date.getUTCFullYear());
}

const timeText = (seconds) => new Date(1000 * seconds).toISOString().slice(0, 16).replace("T", " ");

/** [{bar, text}] for the bars from `left` to `right`; of boundaries inside one gap only the first is left. */
function timeTicks(left, right, count) {
  const first = Math.max(0, Math.floor(left)), last = Math.min(R - 1, Math.floor(right));
  if (last <= first) return [{ bar: first, text: timeText(time[first]) }];
  const ticks = [];
  for (const t of boundaries(time[first], time[last], count)) {
    const bar = lowerBound(time, t);
    if (ticks.length === 0 || bar > ticks.at(-1).bar) ticks.push({ bar, text: boundaryText(t) });
  }
  return ticks;
}
