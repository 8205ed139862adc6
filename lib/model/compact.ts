/**
 * Bodies of records as they are kept. Each message brings its own copy of every text and of every list, and of very many Services and slices most
 * say the same of their ports, and nothing of the rest: that is kept once.
 */
import type { ServiceBody, ServicePortBody, SliceBody, SlicePortBody } from '../records.ts';

const none: readonly never[] = [];

/** Then they are not so alike, and it begins anew: what is kept of them for others is bounded. */
const mostLists = 1024;

export class Compactor {
  readonly #servicePorts = new Map<string, readonly ServicePortBody[]>();
  readonly #slicePorts = new Map<string, readonly SlicePortBody[]>();

  service(body: ServiceBody): ServiceBody {
    const { tuning } = body;
    const compact = {
      createdMs: body.createdMs,
      clusterIPs: body.clusterIPs,
      ports: this.#portsOfService(body.ports),
      externalIPs: orNone(body.externalIPs),
      loadBalancerIPs: orNone(body.loadBalancerIPs),
      sourceRanges: orNone(body.sourceRanges),
      hasSourceRanges: body.hasSourceRanges,
      affinitySeconds: body.affinitySeconds,
      internalPolicyLocal: body.internalPolicyLocal,
      externalPolicyLocal: body.externalPolicyLocal,
      healthCheckNodePort: body.healthCheckNodePort,
    };
    return tuning === undefined ? compact : { ...compact, tuning };
  }

  slice(body: SliceBody): SliceBody {
    if (body.weights !== undefined || body.zoneHints !== undefined || body.nodeHints !== undefined) return body;
    const { service, addresses, conditions } = body;
    const family = body.family === 'IPv4' ? 'IPv4' : 'IPv6';
    return { service, family, ports: this.#portsOfSlice(body.ports), addresses, conditions };
  }

  /** Node ports are of one Service each. */
  #portsOfService(ports: readonly ServicePortBody[]): readonly ServicePortBody[] {
    if (ports.some(({ nodePort }) => nodePort !== 0)) return ports;
    return known(this.#servicePorts, ports);
  }

  #portsOfSlice(ports: readonly SlicePortBody[]): readonly SlicePortBody[] {
    return known(this.#slicePorts, ports);
  }
}

/** The list of the same ports in the same order that came first. */
function known<Port extends SlicePortBody>(
  lists: Map<string, readonly Port[]>,
  ports: readonly Port[],
): readonly Port[] {
  let text = '';
  for (const { name, protocol, port } of ports) text += `${protocol}:${port}:${name.length}:${name},`;
  const list = lists.get(text);
  if (list !== undefined) return list;
  if (lists.size === mostLists) lists.clear();
  lists.set(text, ports);
  return ports;
}

function orNone<T>(list: readonly T[]): readonly T[] {
  return list.length === 0 ? none : list;
}
