/**
 * Why each endpoint of a service port is used or is not: what `mergeEndpoints` and `selectEndpoints` decide, with the reasons. Kept apart from
 * them because they run for every event, and this runs when somebody asks.
 */
import { hostPort } from '../address.ts';
import type { ObjectKey, SliceBody } from '../records.ts';
import type { IpAddress } from '../types.ts';
import { type Endpoint, isOwnVip, mergeEndpoints, standing } from './endpoints.ts';
import type { Exclusions } from './exclusions.ts';
import { out, Reasons, type Verdict } from './explain-reasons.ts';
import type { ServicePort, ServicePortRef } from './service-port.ts';
import type { NodePlace } from './topology.ts';

export interface EndpointVerdict {
  readonly address: IpAddress;
  /** 0 = the slice has no port of the service port's name and protocol. */
  readonly port: number;
  /** `namespace/name` of the EndpointSlice. */
  readonly slice: ObjectKey;
  /** 0 = no new connections. */
  readonly weight: number;
  /** For traffic of policy Cluster. */
  readonly cluster: Verdict;
  /** For traffic of policy Local. */
  readonly local: Verdict;
}

interface Candidate {
  readonly slice: ObjectKey;
  readonly endpoint: Endpoint;
}

/** One verdict for each endpoint of each slice of the family, in the order of slice names and of each slice. */
export function explainEndpoints(
  slices: ReadonlyMap<ObjectKey, SliceBody>,
  servicePort: ServicePort,
  place: NodePlace,
  exclusions: Exclusions,
): readonly EndpointVerdict[] {
  const { family, portName, protocol, body } = servicePort;
  const mine = [...slices].filter(([, slice]) => slice.family === family).sort(([a], [b]) => (a < b ? -1 : 1));
  const candidates = mine.flatMap(([key, slice]) => candidatesOf(key, slice, servicePort));
  const winners = winnersOf(candidates);
  const merged = mergeEndpoints(slices, family, portName, protocol).filter((endpoint) => !isOwnVip(endpoint, body));
  const reasons = new Reasons(exclusions.applyTo(merged), place);
  /** Why an endpoint is in neither list, whatever the others are. */
  const outright = (candidate: Candidate): string | undefined => {
    const { slice, endpoint } = candidate;
    const winner = winners.get(endpoint.id);
    if (endpoint.port === 0 || winner === undefined) {
      return `port name does not match: ${portsOf(slices.get(slice))}, the Service's is ${named(servicePort)}`;
    }
    if (winner !== candidate) return replaced(endpoint, winner, slice);
    if (isOwnVip(endpoint, body)) return 'its address is a virtual IP of the Service itself';
    return exclusions.has(endpoint) ? 'taken out by drain()' : undefined;
  };
  return candidates.map((candidate) => {
    const { slice, endpoint } = candidate;
    const { address, port, weight } = endpoint;
    const why = outright(candidate);
    const lists =
      why === undefined
        ? { cluster: reasons.cluster(endpoint), local: reasons.local(endpoint) }
        : { cluster: out(why), local: out(why) };
    return { address, port, slice, weight, ...lists };
  });
}

function candidatesOf(slice: ObjectKey, body: SliceBody, ref: ServicePortRef): Candidate[] {
  const matching = body.ports.filter(({ name, protocol }) => name === ref.portName && protocol === ref.protocol);
  const ports = matching.length > 0 ? matching.map(({ port }) => port) : [0];
  return ports.flatMap((port) =>
    body.addresses.map((address, index) => ({
      slice,
      endpoint: {
        id: hostPort(address, port),
        address,
        port,
        conditions: body.conditions[index] ?? 0,
        weight: body.weights?.[index] ?? 1,
        zoneHints: body.zoneHints?.[index] ?? [],
        nodeHints: body.nodeHints?.[index] ?? [],
      },
    })),
  );
}

/** The one that counts for each `address:port`; of equals the first. */
function winnersOf(candidates: readonly Candidate[]): ReadonlyMap<string, Candidate> {
  const winners = new Map<string, Candidate>();
  for (const candidate of candidates) {
    const id = candidate.endpoint.id;
    const known = winners.get(id);
    if (known !== undefined && standing(known.endpoint.conditions) >= standing(candidate.endpoint.conditions)) continue;
    winners.set(id, candidate);
  }
  return winners;
}

function replaced({ conditions }: Endpoint, winner: Candidate, slice: ObjectKey): string {
  const where = winner.slice === slice ? 'listed twice in this slice' : `in slice ${winner.slice}`;
  const isBetter = standing(winner.endpoint.conditions) > standing(conditions);
  return `replaced by the same address ${where}${isBetter ? ', which is in a better condition' : ''}`;
}

function portsOf(slice: SliceBody | undefined): string {
  const ports = slice?.ports ?? [];
  if (ports.length === 0) return 'the slice has no ports';
  return `the slice has ${ports.map(({ name, protocol }) => named({ portName: name, protocol })).join(', ')}`;
}

function named({ portName, protocol }: Pick<ServicePortRef, 'portName' | 'protocol'>): string {
  return `"${portName}"/${protocol}`;
}
