// Numbers as people read them. Unknown is a dash, never 0. Ratios and moves are cut, not rounded: 84.96 % is not yet 85 %, and a move of
// -9.96 % to liquidation is not 10 %. What is shown as 0 has no sign.

const DASH = "–";
const CUT = 1e-9; // 0.29 * 100 is 28.999999999999996
const NOTHING_USD = 0.005; // what rounding leaves of sums and differences
const SIZES = [[1e9, "B"], [1e6, "M"], [1e3, "k"]];
const MOST_DIGITS = 10;
const DUST = 1e-12; // what rounding leaves of quantities that cancel out

export function number(value) {
  if (value === null || value === undefined) return null;
  if (value === "Infinity") return Infinity;
  if (value === "-Infinity") return -Infinity;
  return typeof value === "number" ? value : null;
}

const isKnown = (value) => number(value) !== null;

export function percent(value, digits = 1) {
  const ratio = number(value);
  if (ratio === null) return DASH;
  if (!Number.isFinite(ratio)) return ratio > 0 ? "∞" : "−∞";
  const size = 10 ** digits;
  return `${minus((Math.floor(ratio * 100 * size + CUT) / size).toFixed(digits))}%`;
}

// an amount of a coin: however small, it must not vanish
export function money(value, asset = "") {
  const amount = number(value);
  if (amount === null) return DASH;
  const unit = asset && ` ${asset}`;
  if (!Number.isFinite(amount)) return `${amount > 0 ? "∞" : "−∞"}${unit}`;
  const [size, letter] = SIZES.find(([least]) => Math.abs(amount) >= least * 0.9995) ?? [1, ""];
  const shown = amount / size;
  const digits = Math.abs(shown) >= 100 ? 0 : Math.abs(shown) >= 10 ? 1 : 2;
  return `${minus(shown.toFixed(letter || digits < 2 ? digits : significant(shown)))}${letter}${unit}`;
}

function significant(value) {
  const digits = 1 - Math.floor(Math.log10(Math.abs(value)));
  return Math.abs(value) >= 0.01 || digits > MOST_DIGITS ? 2 : digits;
}

export const usd = (value) => money(Math.abs(number(value) ?? NOTHING_USD) < NOTHING_USD ? 0 : value);

export function signed(value, asset = "") {
  const told = asset ? money(value, asset) : usd(value);
  return number(value) > 0 && isSomething(told) ? `+${told}` : told;
}

const isSomething = (text) => /[1-9∞]/.test(text);

export function price(value) {
  const amount = number(value);
  if (amount === null) return DASH;
  return minus(amount.toLocaleString("en-US", { maximumSignificantDigits: 7 }));
}

export function quantity(value) {
  const amount = number(value);
  if (amount === null) return DASH;
  return minus((Math.abs(amount) < DUST ? 0 : amount).toLocaleString("en-US", { maximumSignificantDigits: 6 }));
}

// a relative move of a price
export function move(value, digits = 1) {
  const ratio = number(value);
  if (ratio === null) return DASH;
  const size = 10 ** digits;
  const shown = Math.trunc(ratio * 100 * size + Math.sign(ratio) * CUT) / size;
  return `${shown > 0 ? "+" : ""}${minus(shown.toFixed(digits))}%`;
}

export const count = (value) => (isKnown(value) ? number(value).toLocaleString("en-US") : DASH);

export function age(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return DASH;
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}

// in whole seconds: a tenth that changes ten times a second tells nothing
export function wholeAge(seconds) {
  if (seconds === null || seconds >= 10) return age(seconds);
  return seconds < 1 ? "< 1 s" : `${Math.floor(seconds)} s`;
}

// the monitor's clock, which app.js gives: that of the browser may be wrong
let nowMs = Date.now;
export const setClock = (now) => (nowMs = now);

// UTC, as venues and alerts have it; the date only where it is not today
export function clock(ms, { seconds = true, now = nowMs() } = {}) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return DASH;
  const told = new Date(ms).toISOString();
  const time = told.slice(11, seconds ? 19 : 16);
  return told.slice(0, 10) === new Date(now).toISOString().slice(0, 10) ? time : `${told.slice(5, 10)} ${time}`;
}

export const milliseconds = (iso) => (iso ? Date.parse(iso) : null);

const minus = (text) => (isSomething(text) ? text.replace("-", "−") : text.replace("-", ""));

export const FORMATS = { percent, usd, money, signed, price, quantity, move, count, age, text: String, plain: (value) => String(value ?? DASH) };
