// Level of detail: level l holds one entry for 2^l bars, so that a full view draws hundreds of entries, not thousands.
// An entry starts at a multiple of 2^l, whatever is in view: panning does not make the picture flicker.

/** Pick `a`, or `b` where `a` is no number, else `both(a, b)`. */
const merge = (a, b, both) => (a !== a ? b : b !== b ? a : both(a, b));

function halve(values, both) {
  const half = new Float64Array((values.length + 1) >> 1);
  for (let i = 0; i < half.length; i++) {
    const a = values[2 * i], b = 2 * i + 1 < values.length ? values[2 * i + 1] : NaN;
    half[i] = merge(a, b, both);
  }
  return half;
}

const FIRST = (a) => a, LAST = (_, b) => b;

/** [{open, high, low, close}, ...] of ever fewer entries. */
function candleLevels(n) {
  const levels = [{ open: candle(n, 0), high: candle(n, 1), low: candle(n, 2), close: candle(n, 3) }];
  while (levels.at(-1).open.length > 2) {
    const { open, high, low, close } = levels.at(-1);
    levels.push({ open: halve(open, FIRST), high: halve(high, Math.max), low: halve(low, Math.min),
                  close: halve(close, LAST) });
  }
  return levels;
}

/** The same for a line: its extremes, and where it ends. */
function lineLevels(values) {
  const levels = [{ high: values, low: values, close: values }];
  while (levels.at(-1).high.length > 2) {
    const { high, low, close } = levels.at(-1);
    levels.push({ high: halve(high, Math.max), low: halve(low, Math.min), close: halve(close, LAST) });
  }
  return levels;
}

/** The level whose entries are at least `room` pixels wide where a bar is `barWidth` wide. */
function levelFor(levels, barWidth, room) {
  const wanted = Math.ceil(Math.log2(room / barWidth));
  return Math.min(Math.max(wanted, 0), levels.length - 1);
}

/** [lowest, highest] of entries `first` to `last` of one level; [NaN, NaN] of nothing. */
function extremes(level, first, last) {
  let low = Infinity, high = -Infinity;
  for (let i = first; i <= last; i++) {
    if (level.low[i] < low) low = level.low[i];
    if (level.high[i] > high) high = level.high[i];
  }
  return low <= high ? [low, high] : [NaN, NaN];
}
