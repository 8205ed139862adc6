/** What happens in a simulated cluster, and how often. */
import { InvalidArgumentError } from '../../errors.ts';
import { show } from '../../kube/json.ts';
import { whole } from './cluster-options.ts';

/** How often each kind of change begins, relative to the others. */
export interface ChurnMix {
  /** A pod is not ready for 0.1 to 5 seconds. Default 40. */
  readonly flip: number;
  /** A pod ends and another one comes in its place. Default 10. */
  readonly replace: number;
  /** A Deployment is updated: each of its pods is replaced by a new one, one after another. Default 1. */
  readonly rollout: number;
  /** A Deployment gets more pods, or less. Default 6. */
  readonly scale: number;
  /** A Service is deleted with its slices, or a new one comes. Default 2. */
  readonly service: number;
  /** A node is lost: its pods are not ready, after 30 seconds they are replaced on other nodes, after 60 it is back. Default 0.02. */
  readonly nodeLoss: number;
  /** An object is written without a change that matters: another resourceVersion, a heartbeat. Default 40. */
  readonly noise: number;
}

export type ChurnKind = keyof ChurnMix;

export interface ChurnOptions {
  /** Same cluster, same options, same events. A whole number from 0. Default 1. */
  readonly seed?: number;
  /**
   * Events, so objects written or removed, a second, on average over the run: what a change brings later is counted in. Default 10. One lost node may
   * bring more at once than a second has room for; after it comes less.
   */
  readonly ratePerSecond?: number;
  /** What is not given has its default; 0 never happens. */
  readonly mix?: Partial<ChurnMix>;
  /** Ends after this much simulated time. Default: never. */
  readonly durationMs?: number;
  /** Ends with the change that brings the number of events to this. Default: never. */
  readonly maxEvents?: number;
}

export const defaultChurnMix: ChurnMix = {
  flip: 40,
  replace: 10,
  rollout: 1,
  scale: 6,
  service: 2,
  nodeLoss: 0.02,
  noise: 40,
};

export interface ChurnPlan {
  readonly seed: number;
  readonly ratePerSecond: number;
  readonly mix: ChurnMix;
  readonly durationMs: number;
  readonly maxEvents: number;
}

/** @throws InvalidArgumentError naming the field. */
export function churnPlan(options: ChurnOptions): ChurnPlan {
  const { ratePerSecond = 10, durationMs, maxEvents } = options;
  if (!(ratePerSecond > 0 && ratePerSecond <= 1e6)) {
    throw new InvalidArgumentError('ratePerSecond', `${show(ratePerSecond)} is not above 0 and at most 1,000,000`);
  }
  const mix = { ...defaultChurnMix, ...options.mix };
  for (const [kind, weight] of Object.entries(mix)) {
    if (!Object.hasOwn(defaultChurnMix, kind)) throw new InvalidArgumentError(`mix.${kind}`, 'there is no such change');
    if (!(weight >= 0 && weight <= 1e9)) throw new InvalidArgumentError(`mix.${kind}`, `${show(weight)} is no weight`);
  }
  if (Object.values(mix).every((weight) => weight === 0)) {
    throw new InvalidArgumentError('mix', 'every weight is 0, so nothing could happen');
  }
  const limit = (field: string, value: number | undefined): number =>
    value === undefined ? Number.POSITIVE_INFINITY : whole(field, value, 0, Number.MAX_SAFE_INTEGER);
  return {
    seed: whole('seed', options.seed ?? 1, 0, Number.MAX_SAFE_INTEGER),
    ratePerSecond,
    mix,
    durationMs: limit('durationMs', durationMs),
    maxEvents: limit('maxEvents', maxEvents),
  };
}
