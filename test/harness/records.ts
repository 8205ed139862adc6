/** Records by hand, with the defaults of the acceptance tests (behaviour.md 10): ns1/svc1, 10.96.0.10, p80 80/TCP → 8080. */
import { parseAddress } from '../../lib/address.ts';
import { Planner, type PlanOptions } from '../../lib/plan/planner.ts';
import {
  EndpointBit,
  type NodeAddressesRecord,
  type NodeBody,
  type NodeRecord,
  type ObjectRecord,
  type RecordMessage,
  type ServiceBody,
  type ServicePortBody,
  type ServiceRecord,
  type SliceBody,
  type SliceRecord,
} from '../../lib/records.ts';
import type { IpAddress, IpFamily, Protocol } from '../../lib/types.ts';
import { defaultInit } from './default-init.ts';

export function ip(text: string): IpAddress {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`not an address: ${text}`);
  return address;
}

let seq = 0;

function header(key: string): { source: string; seq: number; key: string; uid: string } {
  seq += 1;
  return { source: 'api', seq, key, uid: key };
}

export function servicePort(name: string, port: number, protocol: Protocol = 'tcp', nodePort = 0): ServicePortBody {
  return { name, protocol, port, nodePort };
}

export const serviceDefaults: ServiceBody = {
  createdMs: 1000,
  clusterIPs: [ip('10.96.0.10')],
  ports: [servicePort('p80', 80)],
  externalIPs: [],
  loadBalancerIPs: [],
  sourceRanges: [],
  hasSourceRanges: false,
  affinitySeconds: 0,
  internalPolicyLocal: false,
  externalPolicyLocal: false,
  healthCheckNodePort: 0,
};

export function service(body: Partial<ServiceBody> | null = {}, key = 'ns1/svc1', source = 'api'): ServiceRecord {
  return {
    ...header(key),
    source,
    kind: 'service',
    body: body === null ? null : { ...serviceDefaults, ...body },
  };
}

export interface EndpointShape {
  readonly address: string;
  /** Default: ready and serving. */
  readonly conditions?: number;
  readonly local?: boolean;
  readonly zones?: readonly string[];
  readonly nodes?: readonly string[];
  readonly weight?: number;
}

export const ready: number = EndpointBit.ready | EndpointBit.serving;
export const servingTerminating: number = EndpointBit.serving | EndpointBit.terminating;
export const e1: EndpointShape = { address: '10.244.1.5', local: true };
export const e2: EndpointShape = { address: '10.244.2.7' };

export interface SliceShape {
  readonly key?: string;
  readonly service?: string;
  readonly family?: IpFamily;
  readonly ports?: SliceBody['ports'];
  readonly source?: string;
}

export function slice(endpoints: readonly EndpointShape[] | null, shape: SliceShape = {}): SliceRecord {
  const base = { ...header(shape.key ?? 'ns1/svc1-a'), source: shape.source ?? 'api', kind: 'slice' as const };
  if (endpoints === null) return { ...base, body: null };
  const zoned = endpoints.some(({ zones }) => zones !== undefined);
  const weighted = endpoints.some(({ weight }) => weight !== undefined);
  const noded = endpoints.some(({ nodes }) => nodes !== undefined);
  return {
    ...base,
    body: {
      service: shape.service ?? 'ns1/svc1',
      family: shape.family ?? 'IPv4',
      ports: shape.ports ?? [{ name: 'p80', protocol: 'tcp', port: 8080 }],
      addresses: endpoints.map(({ address }) => ip(address)),
      conditions: endpoints.map(({ conditions = ready, local }) => conditions | (local ? EndpointBit.local : 0)),
      ...(weighted ? { weights: endpoints.map(({ weight }) => weight ?? 1) } : {}),
      ...(zoned ? { zoneHints: endpoints.map(({ zones }) => zones ?? []) } : {}),
      ...(noded ? { nodeHints: endpoints.map(({ nodes }) => nodes ?? []) } : {}),
    },
  };
}

export function node(body: Partial<NodeBody> | null = {}, key = 'n1'): NodeRecord {
  const defaults: NodeBody = { self: true, zone: 'z1', addresses: [ip('192.168.1.10')], podCIDRs: ['10.244.1.0/24'] };
  return { ...header(key), kind: 'node', body: body === null ? null : { ...defaults, ...body } };
}

export function nodeAddresses(...addresses: string[]): NodeAddressesRecord {
  const texts = addresses.length > 0 ? addresses : ['192.168.1.10', '172.17.0.1'];
  return { ...header('n1'), kind: 'nodeAddresses', body: { addresses: texts.map(ip) } };
}

export function message(...records: ObjectRecord[]): RecordMessage {
  return { records, allSynced: true };
}

export const planDefaults: PlanOptions = { ...defaultInit, families: ['IPv4', 'IPv6'] };

/** A planner that has taken in these records, projected. */
export function plannerOf(records: readonly ObjectRecord[], options: Partial<PlanOptions> = {}): Planner {
  const planner = new Planner({ ...planDefaults, ...options });
  planner.apply(message(...records));
  planner.project();
  return planner;
}
