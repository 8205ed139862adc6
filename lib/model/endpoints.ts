/** EndpointSlices of one Service → the endpoints of one service port (behaviour.md 1.3). */
import { hostPort } from '../address.ts';
import { EndpointBit, type ObjectKey, type ServiceBody, type SliceBody } from '../records.ts';
import type { IpAddress, Protocol } from '../types.ts';

export interface Endpoint {
  /** `10.244.1.5:8080`, `[fd00::5]:8080`: made once, and kept by everybody. */
  readonly id: string;
  readonly address: IpAddress;
  /** The endpoint's own port, 1..65535. */
  readonly port: number;
  /** Bits of {@link EndpointBit}. */
  readonly conditions: number;
  /** 0 to 65535: 0 = no new connections. */
  readonly weight: number;
  /** Names of zones the endpoint is meant for; empty = no hint. */
  readonly zoneHints: readonly string[];
  /** Names of nodes the endpoint is meant for; empty = no hint. */
  readonly nodeHints: readonly string[];
}

const noHints: readonly string[] = [];

/** One endpoint of a slice, by its place in the columns; undefined = there is none. */
export function endpointAt(slice: SliceBody, index: number, port: number): Endpoint | undefined {
  const address = slice.addresses[index];
  if (address === undefined) return undefined;
  return {
    id: hostPort(address, port),
    address,
    port,
    conditions: slice.conditions[index] ?? 0,
    weight: slice.weights?.[index] ?? 1,
    zoneHints: slice.zoneHints?.[index] ?? noHints,
    nodeHints: slice.nodeHints?.[index] ?? noHints,
  };
}

export function isReady(endpoint: Endpoint): boolean {
  return (endpoint.conditions & EndpointBit.ready) !== 0;
}

export function isServing(endpoint: Endpoint): boolean {
  return (endpoint.conditions & EndpointBit.serving) !== 0;
}

export function isServingTerminating(endpoint: Endpoint): boolean {
  const both = EndpointBit.serving | EndpointBit.terminating;
  return (endpoint.conditions & both) === both;
}

export function isLocal(endpoint: Endpoint): boolean {
  return (endpoint.conditions & EndpointBit.local) !== 0;
}

/**
 * Which of two entries with the same `address:port` counts. One that is not terminating beats one that is (an address reused by a
 * new pod beats the old one), then ready, then serving. Equals: the one met first. Weight and hints are those of the one that counts.
 */
export function standing(conditions: number): number {
  const alive = (conditions & EndpointBit.terminating) === 0 ? 4 : 0;
  const ready = (conditions & EndpointBit.ready) === 0 ? 0 : 2;
  const serving = (conditions & EndpointBit.serving) === 0 ? 0 : 1;
  return alive + ready + serving;
}

/**
 * The endpoints of the port with this name and protocol, from all slices of a Service and family, merged by `address:port`
 * and sorted by its text. Slices count in the order of their keys, so the outcome does not depend on the order of events.
 */
export function mergeEndpoints(
  slices: ReadonlyMap<ObjectKey, SliceBody>,
  family: SliceBody['family'],
  portName: string,
  protocol: Protocol,
): readonly Endpoint[] {
  const byId = new Map<string, Endpoint>();
  const inOrder = slices.size === 1 ? slices : [...slices].sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [, slice] of inOrder) {
    if (slice.family !== family) continue;
    for (const slicePort of slice.ports) {
      if (slicePort.name !== portName || slicePort.protocol !== protocol) continue;
      addEndpoints(byId, slice, slicePort.port);
    }
  }
  return [...byId].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, endpoint]) => endpoint);
}

function addEndpoints(byId: Map<string, Endpoint>, slice: SliceBody, port: number): void {
  for (let index = 0; index < slice.addresses.length; index += 1) {
    const endpoint = endpointAt(slice, index, port);
    if (endpoint === undefined) continue;
    const known = byId.get(endpoint.id);
    if (known !== undefined && standing(known.conditions) >= standing(endpoint.conditions)) continue;
    byId.set(endpoint.id, endpoint);
  }
}

/** An address of the Service itself: packets sent there would come back to be sent there again. */
export function isOwnVip(
  { address }: Pick<Endpoint, 'address'>,
  { clusterIPs, externalIPs, loadBalancerIPs }: ServiceBody,
): boolean {
  return clusterIPs.includes(address) || externalIPs.includes(address) || loadBalancerIPs.includes(address);
}
