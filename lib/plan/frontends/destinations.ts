/** The destination lists of a service port: which endpoints, at which weight, forwarded how. */
import { hostPort } from '../../address.ts';
import type { Endpoint } from '../../model/endpoints.ts';
import type { Derivation, ServicePort, ServicePortSpec } from '../../model/service-port.ts';
import { EndpointBit, type SliceBody } from '../../records.ts';
import type { ForwardMethod, SetEntry } from '../../types.ts';
import { DestinationList } from '../destination-list.ts';
import { loopBackEntry, noLoopBack, type PortLists } from '../live-port.ts';
import { type DestinationId, destinationId } from '../state.ts';

/**
 * behaviour.md 1.5. `fallback`: an external list that is local but has no local endpoint is the cluster list, as with kube-proxy
 * (kubernetes #93456), or empty. The internal one never falls back: internalTrafficPolicy Local is strict.
 */
export function destinationLists(port: ServicePort, fallback: 'cluster' | 'none'): PortLists {
  const { cluster, local, everyLocal, serving } = port.endpoints;
  const takesLocal = port.body.externalPolicyLocal && (local.length > 0 || fallback === 'none');
  const asked = port.body.tuning?.forward ?? 'masquerade';
  const misfit = asked === 'masquerade' ? undefined : [...cluster, ...local].find((one) => one.port !== port.port);
  const forward = misfit === undefined ? asked : 'masquerade';
  const lists = { cluster: destinationsOf(cluster, forward), local: destinationsOf(local, forward) };
  const external = takesLocal ? lists.local : lists.cluster;
  return {
    ...lists,
    external,
    nodePort: forward === 'masquerade' ? external : destinationsOf(takesLocal ? local : cluster, 'masquerade'),
    forward,
    serving: port.protocol === 'udp' ? new Set(serving.map(({ id }) => id)) : undefined,
    loopBack:
      everyLocal.length === 0 ? noLoopBack : new Set(everyLocal.map((one) => loopBackEntry(one, port.protocol))),
    warnings:
      misfit === undefined && port.circular.length === 0
        ? nothing
        : [
            ...(misfit === undefined ? [] : [misfitWarning(port, asked, misfit)]),
            ...port.circular.map(circularWarning),
          ],
  };
}

/**
 * The same of a service port whose endpoints are all in one slice and all chosen, in one go. Undefined: the slice says an endpoint twice, which
 * is for the long way to sort out.
 */
export function simpleLists(
  { spec, slice, targetPort }: Extract<Derivation, { kind: 'simple' }>,
  fallback: 'cluster' | 'none',
): PortLists | undefined {
  const { body, protocol } = spec;
  const cluster = new DestinationList();
  const local = body.internalPolicyLocal || body.externalPolicyLocal ? new DestinationList() : cluster;
  const serving = protocol === 'udp' ? new Set<DestinationId>() : undefined;
  const loopBack = slice === undefined ? noLoopBack : fill({ cluster, local, serving, slice, targetPort, spec });
  if (cluster.size !== (slice?.addresses.length ?? 0)) return undefined;
  const takesLocal = body.externalPolicyLocal && (local.size > 0 || fallback === 'none');
  const external = takesLocal ? local : cluster;
  const forward = body.tuning?.forward ?? 'masquerade';
  const nodePort = forward === 'masquerade' ? external : new DestinationList();
  return { cluster, local, external, nodePort, forward, serving, loopBack, warnings: nothing };
}

interface Filling extends Pick<PortLists, 'cluster' | 'local' | 'serving'> {
  readonly slice: SliceBody;
  readonly targetPort: number;
  readonly spec: ServicePortSpec;
}

/** Returns the entries of KUBE-LOOP-BACK. */
function fill({ cluster, local, serving, slice, targetPort: port, spec }: Filling): ReadonlySet<SetEntry> {
  let loopBack: Set<SetEntry> | undefined;
  for (let index = 0; index < slice.addresses.length; index += 1) {
    const address = slice.addresses[index];
    if (address === undefined) continue;
    const conditions = slice.conditions[index] ?? 0;
    const id = hostPort(address, port);
    const destination = { address, port, weight: slice.weights?.[index] ?? 1, forward: 'masquerade' } as const;
    cluster.put(id, destination);
    if (serving !== undefined && (conditions & EndpointBit.serving) !== 0) serving.add(id);
    if ((conditions & EndpointBit.local) === 0) continue;
    if (local !== cluster) local.put(id, destination);
    loopBack ??= new Set();
    loopBack.add(loopBackEntry(destination, spec.protocol));
  }
  return loopBack ?? noLoopBack;
}

const nothing: readonly never[] = [];

function destinationsOf(endpoints: readonly Endpoint[], forward: ForwardMethod): DestinationList {
  const list = new DestinationList();
  for (const { id, address, port, weight } of endpoints) list.put(id, { address, port, weight, forward });
  return list;
}

function circularWarning(endpoint: Endpoint): string {
  return `endpoint ${destinationId(endpoint)} is a virtual IP of the Service itself: it is skipped, for packets to it would come back`;
}

/** Of the endpoint only its port: endpoints come and go, and it would be another message for each. */
function misfitWarning(port: ServicePort, asked: ForwardMethod, misfit: Endpoint): string {
  return `${port.id}: forwarding by ${asked} keeps the port, and there are endpoints on port ${misfit.port}, not ${port.port}: packets are masqueraded instead. Give the Service and its endpoints the same port`;
}
