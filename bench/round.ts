/**
 * One run of one way in a process of its own, in a fresh network namespace that `main.ts` has made:
 * `node --expose-gc dist/bench/round.js MEASUREMENT MODE [--long]`. Prints its sample as one line of JSON.
 */
import type { Modes } from './measurement.ts';

const [measurement = '', mode = '', long] = process.argv.slice(2);
const { modes }: { modes: Modes } = await import(`./measure/${measurement}.js`);
const run = modes[mode];
if (run === undefined) throw new RangeError(`mode ${mode}: one of ${Object.keys(modes).join(', ')}`);
process.stdout.write(`${JSON.stringify(await run(long === '--long'))}\n`);
