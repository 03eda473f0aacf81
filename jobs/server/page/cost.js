// What answers have cost, by the prices of the providers that may have given them.

import { get, may } from "./api.js";

// By key and model: prices, and who waits for them.
const known = new Map();

/** `≈ $0.0021 to $0.0042`; "" while no price is known. `came`: what to do once it is. */
export function cost(document_, came) {
  const { model, usage } = document_;
  const whose = `${may().name} ${model}`;
  if (!known.has(whose)) {
    const asked = { prices: [], waiting: [] };
    known.set(whose, asked);
    get(`batches/${encodeURIComponent(document_.batch_id)}/prices`).catch(() => ({ data: [] })).then(({ data }) => {
      const { waiting } = asked;
      Object.assign(asked, { prices: data, waiting: null });
      for (const one of waiting) one();
    });
  }
  const { prices, waiting } = known.get(whose);
  waiting?.push(came);
  const dollars = prices.map((price) =>
    ((usage.prompt_tokens ?? 0) * price.input_usd_per_m + (usage.completion_tokens ?? 0) * price.output_usd_per_m) / 1e6);
  return dollars.length ? range(Math.min(...dollars), Math.max(...dollars)) : "";
}

export function range(least, most) {
  const [from, to] = [usd(least), usd(most)];
  return from === to ? `≈ ${from}` : `≈ ${from} to ${to}`;
}

/** `$12.30`; of what is less than a cent the first two digits: `$0.0042`. */
function usd(amount) {
  if (amount === 0 || amount >= 0.01) return new Intl.NumberFormat("en", { style: "currency", currency: "USD" }).format(amount);
  return `$${Number(amount.toPrecision(2)).toFixed(8).replace(/0+$/, "")}`;
}
