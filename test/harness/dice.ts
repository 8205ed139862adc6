/** Choices read off a tape of numbers. */
import fc from 'fast-check';

/** After the end of the tape every choice is the first one: a shorter tape, and one of smaller numbers, makes a simpler thing. */
export class Dice {
  readonly #tape: readonly number[];
  #at = 0;

  constructor(tape: readonly number[]) {
    this.#tape = tape;
  }

  /** 0 to `count` - 1. */
  roll(count: number): number {
    const number = this.#tape[this.#at] ?? 0;
    this.#at += 1;
    return number % count;
  }

  /** Not at the end of the tape. */
  oneIn(count: number): boolean {
    return this.roll(count) === count - 1;
  }

  pick<T>(options: readonly [T, ...T[]]): T {
    return options[this.roll(options.length)] ?? options[0];
  }

  /** Up to `most` of them, in a random order, none twice. */
  some<T>(options: readonly T[], most: number): T[] {
    const left = [...options];
    return Array.from({ length: Math.min(this.roll(most + 1), left.length) }, () =>
      left.splice(this.roll(left.length), 1),
    ).flat();
  }
}

/** What `make` makes of a tape of about `length` choices. Ten times cheaper than nested arbitraries, and it shrinks as well. */
export function diced<T>(length: number, make: (dice: Dice) => T): fc.Arbitrary<T> {
  return fc
    .array(fc.nat(255), { maxLength: length, minLength: length, size: 'max' })
    .map((tape) => make(new Dice(tape)));
}
