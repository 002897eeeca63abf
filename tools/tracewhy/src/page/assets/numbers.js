// Numbers for people: the units are those of the tool's texts.

const TIME_UNITS = [
  { name: "s", ns: 1e9 },
  { name: "ms", ns: 1e6 },
  { name: "µs", ns: 1e3 },
];

/** The unit in which the largest time of a table or an axis has few digits. */
function timeUnit(largest) {
  return TIME_UNITS.find((unit) => Math.abs(largest) >= 10 * unit.ns) || TIME_UNITS[2];
}

function formatFixed(value, digits) {
  // What rounds to zero has no sign.
  const rounded = Number(value.toFixed(digits)) + 0;
  return rounded.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** A time in a unit that is written elsewhere. */
function formatTime(ns, unit) {
  const value = ns / unit.ns;
  const size = Math.abs(value);
  return formatFixed(value, size >= 1000 || value === 0 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : 3);
}

/** A time with the unit that suits it. */
function formatDuration(ns) {
  const unit = TIME_UNITS.find((u) => Math.abs(ns) >= u.ns) || TIME_UNITS[2];
  return `${formatTime(ns, unit)} ${unit.name}`;
}

function formatCount(n) {
  return Number.isInteger(n) ? n.toLocaleString("en-US") : formatFixed(n, n >= 100 ? 0 : n >= 10 ? 1 : 2);
}

/** `1 step`, `2 steps`. */
function counted(n, noun) {
  return `${formatCount(n)} ${noun}${n === 1 ? "" : "s"}`;
}

function formatShare(share) {
  return `${formatFixed(share * 100, 1)}%`;
}

function formatGrowth(growth) {
  return (growth > 0 ? "+" : "") + formatShare(growth);
}

function formatBytes(n) {
  if (n < 0) return `-${formatBytes(-n)}`;
  if (n < 1e3) return `${n} B`;
  if (n < 1e6) return `${formatFixed(n / 1e3, 1)} kB`;
  if (n < 1e9) return `${formatFixed(n / 1e6, 1)} MB`;
  return `${formatFixed(n / 1e9, 2)} GB`;
}

/** One number, or the first and the last of several. */
function formatRange([first, last]) {
  return first === last ? `${first}` : `${first}–${last}`;
}

/** Round values for the marks of an axis from 0 to at least `largest`, about `count` of them. */
function axisTicks(largest, count) {
  if (!(largest > 0)) return [0, 1];
  const raw = largest / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw);
  const ticks = [];
  for (let i = 0; i * step < largest + step * 0.999; i++) ticks.push(i * step);
  return ticks;
}

function sum(values) {
  return values.reduce((a, b) => a + b, 0);
}
