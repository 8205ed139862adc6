/**
 * What to make of an addition that found a local route in its place. The kernel compares an IPv4 route whole, so that EEXIST says that exactly
 * this one is there. Of IPv6 routes to the same prefix it compares the next hops and nothing else (fib6_add_rt2node of net/ipv6/ip6_fib.c):
 * there EEXIST may be somebody else's route, and only a read tells.
 */
import { familyOf } from '../address.ts';
import { NetlinkError } from '../errors.ts';
import type { LocalRoute, LocalRouteState } from '../types.ts';
import { Batch } from './batch.ts';
import { Errno } from './errno.ts';
import type { Settled } from './set-policy.ts';

export interface RouteKernel {
  /** Runs the operations of the batch as they are; one code each, as the addon gives it. */
  run(batch: Batch): readonly number[];
  /** All local routes, whoever's. */
  localRoutes(): readonly LocalRouteState[];
}

/** An addition that the kernel answered with EEXIST. */
export interface TakenRoute {
  /** Its place in the batch. */
  readonly index: number;
  readonly route: LocalRoute;
}

const DONE: Settled = { code: 0 };
/** A route that stood in the way and is gone when it is looked for: the addition is repeated. */
const ROUNDS = 3;
/** RTPROT_KERNEL: the routes that come with addresses, which have a metric of their own and are in nobody's way. */
const KERNELS_OWN = 2;

/** What became of the additions, each by its index; `batch` is what they are part of, and has been run. */
export function settleTakenRoutes(
  kernel: RouteKernel,
  batch: Batch,
  taken: readonly TakenRoute[],
): ReadonlyMap<number, Settled> {
  const settled = new Map<number, Settled>();
  const settle = (found: (one: TakenRoute, at: number) => Settled | undefined): void => {
    open = open.filter((one, at) => {
      const answer = found(one, at);
      if (answer !== undefined) settled.set(one.index, answer);
      return answer === undefined;
    });
  };
  let open = taken;
  settle(({ route }) => (familyOf(route.address) === 'IPv4' ? DONE : undefined));
  for (let round = 0; open.length > 0; round++) {
    const holders = readHolders(kernel);
    if (holders === undefined || round === ROUNDS) {
      const reason =
        holders === undefined ? 'a route is there, and whose could not be read' : 'another route comes and goes there';
      settle(() => ({ code: Errno.EEXIST, reason }));
      break;
    }
    settle(({ route }) => answer(route, holders.get(placeOf(route)) ?? []));
    if (round === 0 && open.length > 0) settle(overtaken(batch));
    if (open.length === 0) break;
    const again = new Batch(open.length);
    for (const { route } of open) again.addLocalRoute(route);
    const codes = kernel.run(again);
    settle((_one, at) => (codes[at] === Errno.EEXIST ? undefined : { code: codes[at] ?? Errno.EEXIST }));
  }
  return settled;
}

function readHolders(kernel: RouteKernel): Map<string, LocalRouteState[]> | undefined {
  let states: readonly LocalRouteState[];
  try {
    states = kernel.localRoutes();
  } catch (error) {
    if (error instanceof NetlinkError) return undefined;
    throw error;
  }
  const holders = new Map<string, LocalRouteState[]>();
  for (const state of states) {
    if (state.protocol === KERNELS_OWN) continue;
    const place = placeOf(state);
    const others = holders.get(place);
    if (others === undefined) holders.set(place, [state]);
    else others.push(state);
  }
  return holders;
}

/** Undefined: nothing is there any more. */
function answer({ protocol, source }: LocalRoute, holders: readonly LocalRouteState[]): Settled | undefined {
  const own = holders.filter((holder) => holder.protocol === protocol);
  if (own.some((holder) => holder.source === source)) return DONE;
  const [holder] = [...own, ...holders];
  if (holder === undefined) return undefined;
  const reason =
    holder.protocol === protocol
      ? `the route is there with ${holder.source === undefined ? 'no source' : `the source ${holder.source}`}: remove it first`
      : `the route is there and belongs to protocol ${holder.protocol} (ip -6 route show table local proto ${holder.protocol}): ` +
        'have it removed there, or choose another prefix or link';
  return { code: Errno.EEXIST, reason };
}

/** What was there was removed later in the same batch, or its link was: the addition had been what it asked for. */
function overtaken(batch: Batch): (one: TakenRoute) => Settled | undefined {
  const removals = new Map<string, number>();
  let index = 0;
  for (const operation of batch) {
    if (operation.verb === 'remove-link') removals.set(operation.name, index);
    if (operation.verb === 'remove-local-route') {
      removals.set(`${placeOf(operation.route)} ${operation.route.protocol}`, index);
    }
    index++;
  }
  return ({ index: at, route }) => {
    const last = Math.max(
      removals.get(`${placeOf(route)} ${route.protocol}`) ?? -1,
      removals.get(route.link ?? 'lo') ?? -1,
    );
    return last > at ? DONE : undefined;
  };
}

function placeOf({ address, prefixLength, link = 'lo' }: LocalRoute): string {
  return `${address}/${prefixLength} ${link}`;
}
