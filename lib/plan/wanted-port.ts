/** Service port → what it asks of the kernel. */
import type { Derivation, ServicePort, ServicePortSpec } from '../model/service-port.ts';
import { clusterIpFrontend } from './frontends/cluster-ip.ts';
import { destinationLists, simpleLists } from './frontends/destinations.ts';
import { externalIpFrontend } from './frontends/external-ip.ts';
import {
  type Frontend,
  type FrontendContext,
  type FrontendMaker,
  lacksScheduler,
  noFrontend,
} from './frontends/frontend.ts';
import { healthCheck } from './frontends/health-check.ts';
import { loadBalancerFrontend } from './frontends/load-balancer.ts';
import { nodePortFrontend } from './frontends/node-port.ts';
import { LivePort, type PortLists } from './live-port.ts';

const makers: readonly FrontendMaker[] = [
  clusterIpFrontend,
  externalIpFrontend,
  loadBalancerFrontend,
  nodePortFrontend,
  healthCheck,
];

export function wantedPort(port: ServicePort, context: FrontendContext): LivePort {
  return portOf(port, destinationLists(port, context.externalLocalFallback), context);
}

/** The same by the short way; undefined = it takes the long one. */
export function simplePort(
  simple: Extract<Derivation, { kind: 'simple' }>,
  context: FrontendContext,
): LivePort | undefined {
  const lists = simpleLists(simple, context.externalLocalFallback);
  return lists === undefined ? undefined : portOf(simple.spec, lists, context);
}

function portOf(spec: ServicePortSpec, lists: PortLists, context: FrontendContext): LivePort {
  const { id, family, service, portName, protocol, body } = spec;
  const drainTimeoutMs = protocol === 'tcp' ? body.tuning?.drainTimeoutMs : undefined;
  const { createdMs } = body;
  const port = new LivePort({ id, family, service, portName, protocol, createdMs, drainTimeoutMs });
  let all = noFrontend;
  for (const make of makers) all = joined(all, make(spec, lists, context, port));
  const warnings = join(join(lists.warnings, schedulerWarnings(spec, context)), all.warnings);
  port.fill({ ...all, warnings }, lists);
  return port;
}

function schedulerWarnings({ body }: ServicePortSpec, context: FrontendContext): readonly string[] {
  if (!lacksScheduler(body, context)) return nothing;
  const name = body.tuning?.scheduler;
  const message = `this kernel has no IPVS scheduler ${JSON.stringify(name)}, so ${context.scheduler} does its work: load its module (modprobe ip_vs_${name}), or ask for another one`;
  return [message];
}

/** Without a copy where one of them has nothing: of very many service ports most have one frontend. */
function joined(a: Frontend, b: Frontend): Frontend {
  if (a === noFrontend || b === noFrontend) return a === noFrontend ? b : a;
  return {
    virtualServices: join(a.virtualServices, b.virtualServices),
    entries: join(a.entries, b.entries),
    addresses: join(a.addresses, b.addresses),
    outFilters: join(a.outFilters, b.outFilters),
    warnings: join(a.warnings, b.warnings),
  };
}

function join<T>(a: readonly T[], b: readonly T[]): readonly T[] {
  if (a.length === 0 || b.length === 0) return a.length === 0 ? b : a;
  return a.concat(b);
}

const nothing: readonly never[] = [];
