/** How many cases a property is tried on: `npm run test:long` tries twenty times as many. */
export function runs(usual: number): number {
  return process.env['TEST_LONG'] === undefined ? usual : usual * 20;
}
