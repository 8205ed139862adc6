/** Why a service port is served as it is: its frontends with the policy that counts for each, and its endpoints with what came of them. */
import { familyOf } from '../address.ts';
import type { EndpointVerdict } from '../model/explain-endpoints.ts';
import type { Verdict } from '../model/explain-reasons.ts';
import type { ServicePort } from '../model/service-port.ts';
import type { ObjectKey } from '../records.ts';
import type { IpAddress } from '../types.ts';
import { type ServiceId, type ServiceNode, serviceId } from './state.ts';
import type { FrontendKind, ServicePortId, WantedPort, WantedService } from './wanted.ts';

export interface PortExplanation {
  /** `IPv4 ns1/svc1:p80/tcp` */
  readonly port: ServicePortId;
  /** Those that the Service asks for, served or not. */
  readonly frontends: readonly FrontendExplanation[];
  /** Every endpoint of every EndpointSlice of the Service and family, used or not. */
  readonly endpoints: readonly EndpointExplanation[];
}

export interface FrontendExplanation {
  readonly kind: FrontendKind;
  /** `tcp 10.96.0.10:80`; the address of a node port that no address of this node was chosen for is `*`. */
  readonly service: ServiceId;
  /** There is a virtual service, made for this frontend and no other. */
  readonly isServed: boolean;
  /** Which endpoints it leads to; `none`: it is not served, or leads nowhere because the policy is Local. */
  readonly list: 'cluster' | 'local' | 'none';
  /** In words: the policy that counts, or why it is not served. */
  readonly why: string;
}

/** A list that no frontend of the service port looks at is left out. */
export interface EndpointExplanation {
  readonly address: IpAddress;
  /** The endpoint's own port; 0 = its slice has no port of this name and protocol. */
  readonly port: number;
  readonly slice: ObjectKey;
  /** 0 = no new connections. */
  readonly weight: number;
  readonly cluster?: Verdict;
  readonly local?: Verdict;
}

export interface ExplainContext {
  readonly externalLocalFallback: 'cluster' | 'none';
  /** What is made for those that want a virtual service, one of them. */
  winnerOf(service: ServiceId): { readonly port: ServicePortId; readonly wanted: ServiceNode } | undefined;
}

export function explainPort(
  port: ServicePort,
  wanted: WantedPort,
  endpoints: readonly EndpointVerdict[],
  context: ExplainContext,
): PortExplanation {
  const served = wanted.virtualServices.map((service) => explainServed(port, service, context));
  const { internalPolicyLocal, externalPolicyLocal } = port.body;
  const isExternal = wanted.virtualServices.some(({ kind }) => kind !== 'cluster-ip');
  const usesCluster = served.some(({ list }) => list === 'cluster');
  const usesLocal = internalPolicyLocal || (externalPolicyLocal && isExternal);
  return {
    port: wanted.id,
    frontends: [...served, ...unserved(port, wanted)],
    endpoints: endpoints.map(({ cluster, local, ...endpoint }) => ({
      ...endpoint,
      ...(usesCluster && { cluster }),
      ...(usesLocal && { local }),
    })),
  };
}

function explainServed(port: ServicePort, wanted: WantedService, context: ExplainContext): FrontendExplanation {
  const { kind, id: service } = wanted;
  const winner = context.winnerOf(service);
  if (winner !== undefined && winner.wanted !== wanted) {
    const winning = winner.port === port.id ? 'another frontend of this service port' : winner.port;
    return { kind, service, isServed: false, list: 'none', why: `served for ${winning}, which comes first` };
  }
  return { kind, service, isServed: true, ...(kind === 'cluster-ip' ? internal(port) : external(port, context)) };
}

function internal({ body, endpoints }: ServicePort): Pick<FrontendExplanation, 'list' | 'why'> {
  if (!body.internalPolicyLocal) return { list: 'cluster', why: 'internalTrafficPolicy Cluster' };
  const isEmpty = endpoints.local.length === 0;
  const why = 'internalTrafficPolicy Local';
  return isEmpty ? { list: 'none', why: `${why}, and no endpoint of this node can be used` } : { list: 'local', why };
}

function external(
  { body, endpoints }: ServicePort,
  { externalLocalFallback }: ExplainContext,
): Pick<FrontendExplanation, 'list' | 'why'> {
  if (!body.externalPolicyLocal) return { list: 'cluster', why: 'externalTrafficPolicy Cluster' };
  if (endpoints.local.length > 0) return { list: 'local', why: 'externalTrafficPolicy Local' };
  const why = 'externalTrafficPolicy Local, and no endpoint of this node can be used';
  return externalLocalFallback === 'cluster'
    ? { list: 'cluster', why: `${why}; externalLocalFallback is cluster` }
    : { list: 'none', why };
}

/** What the Service asks for in this family and `plan` made nothing of. */
function unserved(port: ServicePort, wanted: WantedPort): FrontendExplanation[] {
  const { body, family, protocol } = port;
  const made = new Set(wanted.virtualServices.map(({ id }) => id));
  const asked: FrontendExplanation[] = [];
  const ask = (kind: FrontendKind, addresses: readonly IpAddress[], why: string): void => {
    for (const address of addresses) {
      if (familyOf(address) !== family) continue;
      const service = serviceId({ protocol, address, port: port.port });
      if (!made.has(service)) asked.push({ kind, service, isServed: false, list: 'none', why });
    }
  };
  ask('load-balancer', body.loadBalancerIPs, 'the warnings say why');
  ask('external-ip', body.externalIPs, 'the warnings say why');
  if (port.nodePort !== 0 && !wanted.virtualServices.some(({ kind }) => kind === 'node-port')) {
    const why = 'no address of this node is there for node ports';
    asked.push({ kind: 'node-port', service: `${protocol} *:${port.nodePort}`, isServed: false, list: 'none', why });
  }
  return asked;
}
