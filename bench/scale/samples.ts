/** The samples of a run by the name of their step, and the figures of them. */
import { type Facts, numberOf, seriesOf } from './facts.ts';

export interface NamedFacts {
  readonly name: string;
  readonly facts: Facts;
}

export class Samples {
  readonly #all: readonly NamedFacts[];

  constructor(all: readonly NamedFacts[]) {
    this.#all = all;
  }

  /** The median over the samples of a step; NaN when it was not measured. */
  figure(step: string, fact: string): number {
    return middleOf(this.#of(step).map((facts) => numberOf(facts, fact)));
  }

  /** Of the last sample. */
  series(step: string, fact: string): readonly number[] {
    return seriesOf(this.#of(step).at(-1), fact);
  }

  #of(step: string): Facts[] {
    return this.#all.filter(({ name }) => name === step).map(({ facts }) => facts);
  }
}

/** Of two it is the mean: the higher one would be a bias. */
function middleOf(values: readonly number[]): number {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return low === undefined || high === undefined ? Number.NaN : (low + high) / 2;
}
