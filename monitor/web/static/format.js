// Numbers as people read them. Unknown is a dash, never 0. A ratio is cut, not rounded: 84.96 % is not yet 85 %.

const DASH = "–";

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
  return `${minus((Math.floor(ratio * 100 * size + 1e-9) / size).toFixed(digits))}%`;
}

export function money(value, asset = "") {
  const amount = number(value);
  if (amount === null) return DASH;
  const unit = asset && ` ${asset}`;
  if (!Number.isFinite(amount)) return `${amount > 0 ? "∞" : "−∞"}${unit}`;
  const [size, letter] = [[1e9, "B"], [1e6, "M"], [1e3, "k"]].find(([least]) => Math.abs(amount) >= least) ?? [1, ""];
  const shown = amount / size;
  const digits = Math.abs(shown) >= 100 ? 0 : Math.abs(shown) >= 10 ? 1 : 2;
  return `${minus(shown.toFixed(letter || digits < 2 ? digits : significant(shown)))}${letter}${unit}`;
}

// small amounts of a coin must not vanish
const significant = (value) => (value === 0 || Math.abs(value) >= 0.01 ? 2 : Math.min(8, 1 - Math.floor(Math.log10(Math.abs(value)))));

export const usd = (value) => money(value);

export function signed(value, asset = "") {
  const told = money(value, asset);
  return number(value) > 0 ? `+${told}` : told;
}

export function price(value) {
  const amount = number(value);
  if (amount === null) return DASH;
  return minus(amount.toLocaleString("en-US", { maximumSignificantDigits: 7 }));
}

export const quantity = (value) => (isKnown(value) ? minus(number(value).toLocaleString("en-US", { maximumSignificantDigits: 6 })) : DASH);

// a relative move of a price
export function move(value, digits = 1) {
  const ratio = number(value);
  if (ratio === null) return DASH;
  return `${ratio > 0 ? "+" : ""}${minus((100 * ratio).toFixed(digits))}%`;
}

export const count = (value) => (isKnown(value) ? number(value).toLocaleString("en-US") : DASH);

export function age(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return DASH;
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}

// UTC, as venues and alerts have it; the date only where it is not today
export function clock(ms, { seconds = true, now = Date.now() } = {}) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return DASH;
  const told = new Date(ms).toISOString();
  const time = told.slice(11, seconds ? 19 : 16);
  return told.slice(0, 10) === new Date(now).toISOString().slice(0, 10) ? time : `${told.slice(5, 10)} ${time}`;
}

export const milliseconds = (iso) => (iso ? Date.parse(iso) : null);

const minus = (text) => text.replace("-", "−");

export const FORMATS = { percent, usd, money: usd, signed, price, quantity, move, count, age, text: String, plain: (value) => String(value ?? DASH) };
