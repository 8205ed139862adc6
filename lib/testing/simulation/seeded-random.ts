/**
 * Chance that can be repeated: sfc32 (Chris Doty-Humphrey, PractRand), 128 bits of state, additions, shifts and xor of 32-bit integers and
 * nothing else. A seed gives the same numbers on every platform and in every version of Node, which Math.random, Math.log and a sort do not
 * promise. Not for secrets.
 */
export class SeededRandom {
  #a = 0;
  #b: number;
  #c: number;
  #counter = 1;

  /** @param seed A whole number from 0 to 2^53 - 1. */
  constructor(seed: number) {
    this.#b = seed >>> 0;
    this.#c = Math.floor(seed / 2 ** 32) >>> 0;
    // As PractRand seeds it: after 12 rounds each bit of the seed has reached all of the state.
    for (let round = 0; round < 12; round += 1) this.next();
  }

  /** 0 to 2^32 - 1. */
  next(): number {
    const result = (this.#a + this.#b + this.#counter) >>> 0;
    this.#counter = (this.#counter + 1) >>> 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) >>> 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + result) >>> 0;
    return result;
  }

  /** A whole number from 0 to `limit - 1`; `limit` at most 2^32. */
  below(limit: number): number {
    return Math.floor((this.next() * limit) / 2 ** 32);
  }

  /** A whole number, both ends included. */
  between(min: number, max: number): number {
    return min + this.below(max - min + 1);
  }

  /** True in this share of the cases, 0 to 1. Takes one number whatever the share is, so that a changed share moves nothing else. */
  chance(share: number): boolean {
    return this.next() < share * 2 ** 32;
  }

  /** Undefined of an empty list. */
  pick<T>(list: readonly T[]): T | undefined {
    return list[this.below(Math.max(1, list.length))];
  }
}
