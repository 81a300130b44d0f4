// What every figure is: name, formula, where the formula comes from. Keys are what Num calls `figure`.
const POOL = "The venue's own rule for this pool, recomputed on every tick and compared with the venue's own figure on each of its frames.";
const PORTFOLIO = "Stress-based portfolio margin over all accounts of the portfolio. No venue acts on it.";

export const FORMULAS = {
  margin_ratio: { name: "Utilisation (margin ratio)", formula: "maintenance margin / equity, so that 100 % is where the venue liquidates", source: POOL },
  equity: { name: "Equity", formula: "cash + collateral at its ratio + unrealised profit and loss", source: POOL },
  maintenance_margin: { name: "Maintenance margin", formula: "sum over positions of notional × maintenance rate of its tier − deduction", source: POOL },
  excess: { name: "Excess", formula: "equity − maintenance margin (up to the limit)", source: POOL },
  cash_to_safety: { name: "Cash to safety", formula: "what alone brings the ratio back to the warning level", source: POOL },
  distance: { name: "Distance", formula: "the nearest move of the worst position's coin at which the pool is liquidated; other coins frozen, collateral moved along" },
  liquidation_price: { name: "Estimated liquidation price", formula: "mark × (1 + distance)" },
  data_age: { name: "Data age", formula: "now − when the oldest figure that this rests on was received" },
  portfolio_margin_ratio: { name: "Portfolio utilisation", formula: "portfolio maintenance margin / equity", source: PORTFOLIO },
};
