/**
 * The cluster that is measured: TCP Services with one cluster IP each, as `floor/floor.c` writes them, the first two of them those that everything
 * else needs; as records for the reconciler, and as objects for a Proxier.
 */
import { EndpointBit, type ObjectRecord, type RecordMessage } from '../../lib/records.ts';
import type { IpAddress } from '../../lib/types.ts';
import { pod, vip } from '../workload.ts';

/** As many as the pump puts into a message. */
const MESSAGE = 2000;
const READY = EndpointBit.ready | EndpointBit.serving;

let seq = 0;

export function keyOf(service: number): string {
  if (service === 0) return 'default/kubernetes';
  return service === 1 ? 'kube-system/kube-dns' : `bench/service-${service}`;
}

/** The addresses of a Service's endpoints. */
export function podsOf(service: number, endpoints: number): IpAddress[] {
  return Array.from({ length: endpoints }, (_, index) => pod(service * endpoints + index));
}

export function serviceRecord(service: number): ObjectRecord {
  const key = keyOf(service);
  return {
    ...{ source: 'bench', seq: ++seq, kind: 'service', key, uid: `service-${service}` },
    body: {
      createdMs: 0,
      clusterIPs: [vip(service)],
      ports: [{ name: 'http', protocol: 'tcp', port: 80, nodePort: 0 }],
      externalIPs: [],
      loadBalancerIPs: [],
      sourceRanges: [],
      hasSourceRanges: false,
      affinitySeconds: 0,
      internalPolicyLocal: false,
      externalPolicyLocal: false,
      healthCheckNodePort: 0,
    },
  };
}

/** @param slice Number of the slice within its Service. */
export function sliceRecord(service: number, addresses: readonly IpAddress[], slice: number = 0): ObjectRecord {
  const key = keyOf(service);
  return {
    ...{ source: 'bench', seq: ++seq, kind: 'slice', key: `${key}-${slice}`, uid: `slice-${service}-${slice}` },
    body: {
      service: key,
      family: 'IPv4',
      ports: [{ name: 'http', protocol: 'tcp', port: 8080 }],
      addresses,
      conditions: addresses.map(() => READY),
    },
  };
}

/** Everything, in messages as the pump makes them: only the last one says that the lists are complete. */
export function* messages(from: number, to: number, endpoints: number): Generator<RecordMessage> {
  let records: ObjectRecord[] = [];
  for (let service = from; service < to; service++) {
    records.push(serviceRecord(service), sliceRecord(service, podsOf(service, endpoints)));
    if (records.length < MESSAGE || service === to - 1) continue;
    yield { records, allSynced: false };
    records = [];
  }
  yield { records, allSynced: true };
}

/** The same as one snapshot. */
export function snapshot(services: number, endpoints: number): RecordMessage {
  const records = [...messages(0, services, endpoints)].flatMap((message) => message.records);
  return { records, snapshot: 'whole', allSynced: true };
}

/** One Service and its slice change: nothing else is said. */
export function change(...records: readonly ObjectRecord[]): RecordMessage {
  return { records, allSynced: true };
}

/** With `metadata`, as a fake API server asks for them. */
interface KubeObject<Kind extends string> {
  readonly [field: string]: unknown;
  readonly kind: Kind;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly [field: string]: unknown };
}

export function nodeObject(): KubeObject<'Node'> {
  const status = { addresses: [{ type: 'InternalIP', address: '192.168.1.10' }] };
  return { kind: 'Node', metadata: { name: 'bench' }, spec: { podCIDRs: ['10.244.0.0/24'] }, status };
}

export function serviceObject(service: number): KubeObject<'Service'> {
  const [namespace = '', name = ''] = keyOf(service).split('/');
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name,
      namespace,
      uid: `service-${service}`,
      creationTimestamp: '2026-01-01T00:00:00Z',
      labels: { app: name },
    },
    spec: {
      type: 'ClusterIP',
      clusterIP: vip(service),
      clusterIPs: [vip(service)],
      ipFamilies: ['IPv4'],
      ports: [{ name: 'http', protocol: 'TCP', port: 80, targetPort: 8080 }],
      selector: { app: name },
    },
  };
}

export function sliceObject(service: number, addresses: readonly IpAddress[]): KubeObject<'EndpointSlice'> {
  const [namespace = '', name = ''] = keyOf(service).split('/');
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${name}-0`,
      namespace,
      uid: `slice-${service}`,
      labels: {
        'kubernetes.io/service-name': name,
        'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
      },
    },
    addressType: 'IPv4',
    ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
    endpoints: addresses.map((address, index) => ({
      addresses: [address],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: `node-${index}`,
      zone: `zone-${index % 3}`,
      targetRef: { kind: 'Pod', namespace, name: `${name}-${index}`, uid: `pod-${service}-${index}` },
    })),
  };
}
