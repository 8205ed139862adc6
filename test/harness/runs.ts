/** How many cases a property is tried on: `npm run test:long` tries `long`, by default twenty times as many. */
export function runs(usual: number, long: number = usual * 20): number {
  return process.env['TEST_LONG'] === undefined ? usual : long;
}
