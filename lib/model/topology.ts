/** Which endpoints of a service port this node may use (behaviour.md 1.5). */
import { type Endpoint, isLocal, isReady, isServing, isServingTerminating } from './endpoints.ts';
import type { EndpointLists } from './service-port.ts';

/** Where this node is. */
export interface NodePlace {
  readonly name: string;
  /** Empty = unknown: no endpoint is preferred by zone. */
  readonly zone: string;
}

export function selectEndpoints(all: readonly Endpoint[], place: NodePlace): EndpointLists {
  const everyLocal = all.filter(isLocal);
  return {
    cluster: orTerminating(nearby(all.filter(isReady), place), all),
    local: usable(everyLocal),
    serving: all.filter(isServing),
    everyLocal,
  };
}

/** Ready endpoints; without any, those that still serve while they terminate, so that a roll-out of the last pod drops nothing. */
function usable(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  return orTerminating(endpoints.filter(isReady), endpoints);
}

function orTerminating(chosen: readonly Endpoint[], all: readonly Endpoint[]): readonly Endpoint[] {
  return chosen.length > 0 ? chosen : all.filter(isServingTerminating);
}

/**
 * Hints bind only when every ready endpoint has them and one names this node (or its zone): a half-written set of hints, or
 * one that forgot this place, would leave it without endpoints. Node hints come first.
 */
function nearby(ready: readonly Endpoint[], place: NodePlace): readonly Endpoint[] {
  return (
    hinted(ready, (endpoint) => endpoint.nodeHints, place.name) ??
    hinted(ready, (endpoint) => endpoint.zoneHints, place.zone) ??
    ready
  );
}

function hinted(
  ready: readonly Endpoint[],
  hintsOf: (endpoint: Endpoint) => readonly string[],
  here: string,
): readonly Endpoint[] | undefined {
  if (here === '' || !ready.every((endpoint) => hintsOf(endpoint).length > 0)) return undefined;
  const near = ready.filter((endpoint) => hintsOf(endpoint).includes(here));
  return near.length > 0 ? near : undefined;
}
