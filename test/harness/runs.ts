/** How many cases a property is tried on: `npm run test:long` tries `long`, by default twenty times as many. */
export function runs(usual: number, long: number = usual * 20): number {
  return process.env['TEST_LONG'] === undefined ? usual : long;
}

/**
 * Parameters of a property with `usual` runs. The usual ones are the same every time, so that what a change breaks is the change's; `npm run
 * test:long` looks for what nobody has seen yet.
 */
export function steadyRuns(usual: number, long: number = usual * 20): { numRuns: number; seed?: number } {
  return process.env['TEST_LONG'] === undefined ? { numRuns: usual, seed: 20_261_121 } : { numRuns: long };
}
