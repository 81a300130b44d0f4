// From figures to places on a chart.

// a function from the domain [d0, d1] onto the range [r0, r1]; the middle of the range where the domain has no width
export function linear([d0, d1], [r0, r1]) {
  const width = d1 - d0;
  if (width === 0) return () => (r0 + r1) / 2;
  return (value) => r0 + ((value - d0) / width) * (r1 - r0);
}

// the same by square roots, from 0 on: the small is told apart without hiding the large
export function rooted([d0, d1], range) {
  const place = linear([Math.sqrt(d0), Math.sqrt(d1)], range);
  return (value) => place(Math.sqrt(Math.max(value, 0)));
}

// about `count` round values from d0 to d1, both included where they are round themselves
export function ticks(d0, d1, count = 5) {
  if (!(d1 > d0)) return [d0];
  const step = roundStep((d1 - d0) / Math.max(1, count));
  const first = Math.ceil(d0 / step - 1e-9);
  const last = Math.floor(d1 / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, place) => tidy((first + place) * step));
}

// 1, 2, 2.5 or 5 times a power of ten
function roundStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  const size = least / power;
  return power * ([1, 2, 2.5, 5].find((one) => size <= one * (1 + 1e-9)) ?? 10);
}

// 0.30000000000000004 is 0.3, and -0 is 0
const tidy = (value) => Number(value.toPrecision(12)) + 0;
