/** What a file of `measure/` exports. */
import type { Sample } from './workload.ts';

/** One quantity that every run of every way gives. */
export interface Series {
  /** Field of the {@link Sample}. */
  readonly field: string;
  readonly title: string;
  readonly unit: string;
  /** Field of the part of it between the first send and the last answer, encoding included: `BatchResult.kernelMicros`. */
  readonly inside?: string;
  /** For information: the ways' goals are not about it. */
  readonly noGoal?: true;
}

export interface Way {
  readonly label: string;
  /** What is run, once a round: `{ floor: […] }` and `{ libnl: […] }` a C program, `{ mode: … }` a mode of the same file in a fresh Node process. */
  readonly run:
    | { readonly floor: readonly string[] }
    | { readonly libnl: readonly string[] }
    | { readonly mode: string };
  /** A way that takes seconds: fewer rounds than the others. */
  readonly rounds?: number;
  /** At most so many times the first way, or (of an absolute measurement) at most so much. */
  readonly goal?: number;
}

/** Figures of elsewhere, to compare with: printed as such, never measured here. */
export interface Quoted {
  readonly label: string;
  readonly source: string;
  readonly values: Sample;
}

export interface Measurement {
  readonly title: string;
  readonly series: readonly Series[];
  /** The first is what the others are compared with, unless `absolute`. */
  readonly ways: readonly Way[];
  readonly absolute?: boolean;
  /** Commands run in the fresh network namespace before a C program, that does not make itself what it writes to. */
  readonly floorPrepare?: readonly string[];
  readonly quoted?: readonly Quoted[];
  readonly notes?: readonly string[];
}

/** What runs in the fresh process; the only argument says whether `--long` was given. */
export type Modes = Readonly<Record<string, (long: boolean) => Sample | Promise<Sample>>>;
