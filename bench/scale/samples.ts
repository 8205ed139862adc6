/** The samples of a run by the name of their step, and the figures of them. */
import { median } from '../workload.ts';
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
    return median(this.#of(step).map((facts) => numberOf(facts, fact)));
  }

  /** Of the last sample. */
  series(step: string, fact: string): readonly number[] {
    return seriesOf(this.#of(step).at(-1), fact);
  }

  #of(step: string): Facts[] {
    return this.#all.filter(({ name }) => name === step).map(({ facts }) => facts);
  }
}
