/** One round of a run: records sent at once, and what became of each. */

/** What the addon said of one round. */
export interface Ran {
  /** Good until the next run. */
  readonly results: Int32Array;
  readonly texts: readonly (number | string)[] | undefined;
}

/** Runs `count` records; the statistics of the round are in the array given with it. */
export type RunRecords = (records: Uint8Array, length: number, count: number) => Ran;

/** Operations that the first round left undecided, and what became of them since. */
export interface OpenOperation {
  readonly index: number;
  code: number;
  text: string | undefined;
  /** Why, where this side knows more than the code says. */
  reason?: string | undefined;
}

/** The kernel's own words on the operation of that place in its round. */
export function textOf(texts: readonly (number | string)[] | undefined, index: number): string | undefined {
  const at = texts?.indexOf(index) ?? -1;
  const text = texts?.[at + 1];
  return at >= 0 && typeof text === 'string' ? text : undefined;
}
