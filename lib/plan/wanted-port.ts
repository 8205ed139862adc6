/** Service port → what it asks of the kernel, with its content hash. */
import type { ServicePort } from '../model/service-port.ts';
import { clusterIpFrontend } from './frontends/cluster-ip.ts';
import { type Destinations, destinationLists } from './frontends/destinations.ts';
import { externalIpFrontend } from './frontends/external-ip.ts';
import { type FrontendContext, type FrontendMaker, lacksScheduler } from './frontends/frontend.ts';
import { healthCheck } from './frontends/health-check.ts';
import { loadBalancerFrontend } from './frontends/load-balancer.ts';
import { loopBack } from './frontends/loop-back.ts';
import { nodePortFrontend } from './frontends/node-port.ts';
import { addHash, hashText, nameHash } from './hash.ts';
import { destinationId } from './state.ts';
import type { WantedPort, WantedService } from './wanted.ts';

const makers: readonly FrontendMaker[] = [
  loopBack,
  clusterIpFrontend,
  externalIpFrontend,
  loadBalancerFrontend,
  nodePortFrontend,
  healthCheck,
];

export function wantedPort(port: ServicePort, context: FrontendContext): WantedPort {
  const lists = destinationLists(port, context.externalLocalFallback);
  const frontends = makers.map((make) => make(port, lists, context));
  const content = {
    virtualServices: withCommons(joined(frontends.map(({ virtualServices }) => virtualServices)), port),
    entries: joined(frontends.map(({ entries }) => entries)),
    addresses: joined(frontends.map(({ addresses }) => addresses)),
    outFilters: joined(frontends.map(({ outFilters }) => outFilters)),
    warnings: joined([lists.warnings, schedulerWarnings(port, context), ...frontends.map(({ warnings }) => warnings)]),
  };
  return { id: port.id, family: port.family, ...content, hash: contentHash(port, content) };
}

/** What all virtual services of a port have in common beside their destinations. */
function withCommons(services: readonly WantedService[], port: ServicePort): readonly WantedService[] {
  const drainTimeoutMs = port.protocol === 'tcp' ? port.body.tuning?.drainTimeoutMs : undefined;
  if (port.protocol !== 'udp' && drainTimeoutMs === undefined) return services;
  const commons = {
    ...(drainTimeoutMs === undefined ? {} : { drainTimeoutMs }),
    ...(port.protocol === 'udp' ? { serving: new Set(port.endpoints.serving.map(destinationId)) } : {}),
  };
  return services.map((service) => ({ ...service, ...commons }));
}

function schedulerWarnings({ body }: ServicePort, context: FrontendContext): readonly string[] {
  if (!lacksScheduler(body, context)) return nothing;
  const name = body.tuning?.scheduler;
  const message = `this kernel has no IPVS scheduler ${JSON.stringify(name)}, so ${context.scheduler} does its work: load its module (modprobe ip_vs_${name}), or ask for another one`;
  return [message];
}

/** One list of all, without a copy where a single one has something: there is a list for each of very many service ports. */
function joined<T>(lists: readonly (readonly T[])[]): readonly T[] {
  const filled = lists.filter(({ length }) => length > 0);
  const [first = nothing, ...rest] = filled;
  return rest.length === 0 ? first : first.concat(...rest);
}

const nothing: readonly never[] = [];

/** Creation time included: it decides conflicts, so the same content of a younger Service is not the same. */
function contentHash(port: ServicePort, content: Omit<WantedPort, 'id' | 'family' | 'hash'>): number {
  const lists = new Map<Destinations, number>();
  let sum = commonsHash(content.virtualServices[0]);
  for (const wanted of content.virtualServices) sum = addHash(sum, serviceHash(wanted, lists));
  for (const { set, entry } of content.entries) sum = addHash(sum, hashText(`entry ${set} ${entry}`));
  for (const address of content.addresses) sum = addHash(sum, hashText(`address ${address}`));
  for (const service of content.outFilters) sum = addHash(sum, hashText(`out-filter ${service}`));
  for (const warning of content.warnings) sum = addHash(sum, hashText(`warning ${warning}`));
  return nameHash(`${port.id} ${port.body.createdMs}`, sum);
}

function commonsHash(any: WantedService | undefined): number {
  let sum = any?.drainTimeoutMs === undefined ? 0 : hashText(`drain ${any.drainTimeoutMs}`);
  for (const id of any?.serving ?? []) sum = addHash(sum, hashText(`serving ${id}`));
  return sum;
}

function serviceHash(wanted: WantedService, lists: Map<Destinations, number>): number {
  const { scheduler, flags, timeoutSeconds } = wanted.service;
  const known = lists.get(wanted.destinations);
  const destinations = known ?? destinationsHash(wanted.destinations);
  if (known === undefined) lists.set(wanted.destinations, destinations);
  return nameHash(`service ${wanted.id} ${wanted.kind} ${scheduler} ${flags} ${timeoutSeconds}`, destinations);
}

function destinationsHash(destinations: Destinations): number {
  let sum = 0;
  for (const [id, { weight, forward, upperThreshold = 0, lowerThreshold = 0 }] of destinations) {
    sum = addHash(sum, hashText(`destination ${id} ${forward} ${weight} ${upperThreshold} ${lowerThreshold}`));
  }
  return sum;
}
