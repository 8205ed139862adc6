/** Durations as Kubernetes' own flags write them, by Go's rules but for the sign: `30s`, `500ms`, `1m30s`, `1.5h`, `0`. */
const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};
const UNITS = 'ns|us|µs|μs|ms|s|m|h';
const whole = new RegExp(`^((\\d+(?:\\.\\d*)?|\\.\\d+)(${UNITS}))+$`);
const parts = new RegExp(`(\\d+(?:\\.\\d*)?|\\.\\d+)(${UNITS})`, 'g');

/** Milliseconds, or undefined when the text is no duration. */
export function parseDuration(text: string): number | undefined {
  if (text === '0') return 0;
  if (!whole.test(text)) return undefined;
  let total = 0;
  for (const [, amount = '', unit = ''] of text.matchAll(parts)) {
    total += Number(amount) * (UNIT_MS[unit] ?? 0);
  }
  return Math.round(total);
}
