/** The state of a simulated cluster as Kubernetes objects, with the fields an API server gives them. */
import type { JsonObject } from '../../kube/json.ts';
import type { IpFamily } from '../../types.ts';
import { addressIn, type PodAddresses } from './address-plan.ts';
import type { NodeState, PodState, ServiceState, SliceState } from './cluster-state.ts';
import { nameSuffix, uidOf } from './cluster-state.ts';

/** The simulated clocks begin here. */
export const EPOCH_MS: number = Date.UTC(2026, 0, 1);

const SERVICE_NAME_LABEL = 'kubernetes.io/service-name';

export function timeText(atMs: number): string {
  return new Date(EPOCH_MS + Math.floor(atMs)).toISOString();
}

export function serviceObject(service: ServiceState): JsonObject {
  const { namespace, name, id, traits, version, createdMs } = service;
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name,
      namespace,
      uid: uidOf(1, id),
      resourceVersion: String(version),
      creationTimestamp: timeText(createdMs),
      labels: { app: name },
      ...(traits.scheduler === '' ? {} : { annotations: { 'ipvs-proxier.io/scheduler': traits.scheduler } }),
    },
    spec: traits.type === 'ExternalName' ? externalNameSpec(name) : serviceSpec(service),
    status: { loadBalancer: ingressOf(service) },
  };
}

function externalNameSpec(name: string): JsonObject {
  return { type: 'ExternalName', externalName: `${name}.example.com`, sessionAffinity: 'None' };
}

function serviceSpec({ name, traits }: ServiceState): JsonObject {
  const { families, ports, type } = traits;
  const clusterIPs = families.map((family) => addressIn('cluster', family, traits.cluster));
  const external = families.map((family) => addressIn('external', family, traits.external));
  const isExternal = type !== 'ClusterIP' || traits.external > 0;
  return {
    type,
    clusterIP: clusterIPs[0],
    clusterIPs,
    ipFamilies: families,
    ipFamilyPolicy: families.length > 1 ? 'PreferDualStack' : 'SingleStack',
    ports: ports.map(({ name: portName, protocol, port, targetPort, nodePort }) => ({
      ...(ports.length === 1 && portName === 'http' ? {} : { name: portName }),
      protocol,
      port,
      targetPort,
      ...(nodePort === 0 ? {} : { nodePort }),
    })),
    selector: { app: name },
    internalTrafficPolicy: traits.internalLocal ? 'Local' : 'Cluster',
    ...(isExternal ? { externalTrafficPolicy: traits.externalLocal ? 'Local' : 'Cluster' } : {}),
    ...(traits.external === 0 ? {} : { externalIPs: external }),
    ...(traits.healthCheckNodePort === 0 ? {} : { healthCheckNodePort: traits.healthCheckNodePort }),
    ...(traits.sourceRanges ? { loadBalancerSourceRanges: ['203.0.113.0/24', '2001:db8:9::/48'] } : {}),
    ...(traits.preferClose ? { trafficDistribution: 'PreferClose' } : {}),
    ...(traits.clientIP
      ? { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 10_800 } } }
      : { sessionAffinity: 'None' }),
  };
}

function ingressOf({ traits }: ServiceState): JsonObject {
  if (traits.loadBalancer === 0) return {};
  return {
    ingress: traits.families.map((family) => ({
      ip: addressIn('loadBalancer', family, traits.loadBalancer),
      ipMode: 'VIP',
    })),
  };
}

export function sliceObject(service: ServiceState, slice: SliceState, pods: PodAddresses): JsonObject {
  const { namespace, name, id, traits } = service;
  const { family } = slice;
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: slice.name,
      namespace,
      uid: `${uidOf(2, id)}-${slice.name.slice(-5)}`,
      resourceVersion: String(slice.version),
      labels: {
        app: name,
        'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
        [SERVICE_NAME_LABEL]: name,
      },
      ownerReferences: [{ apiVersion: 'v1', kind: 'Service', name, uid: uidOf(1, id), controller: true }],
    },
    addressType: family,
    ports: traits.ports.map(({ name: portName, protocol, targetPort }) => ({
      name: traits.ports.length === 1 && portName === 'http' ? '' : portName,
      protocol,
      port: targetPort,
    })),
    endpoints: slice.pods.map((pod) => endpointOf(service, pod, family, pods)),
  };
}

function endpointOf(service: ServiceState, pod: PodState, family: IpFamily, pods: PodAddresses): JsonObject {
  const { node, ready, terminating } = pod;
  return {
    addresses: [pods.address(family, node.index, pod.host)],
    // A pod that ends goes on serving when its node does; the node's own word counts for those of a node that was lost.
    conditions: { ready: ready && !terminating, serving: ready, terminating },
    nodeName: node.name,
    zone: node.zone,
    ...(service.traits.preferClose ? { hints: { forZones: [{ name: node.zone }] } } : {}),
    targetRef: {
      kind: 'Pod',
      namespace: service.namespace,
      name: `${service.name}-${nameSuffix(pod.id)}`,
      uid: uidOf(3, pod.id),
    },
  };
}

export interface NodeView {
  readonly families: readonly IpFamily[];
  readonly pods: PodAddresses;
  /** Of its last heartbeat. */
  readonly atMs: number;
}

export function nodeObject(node: NodeState, { families, pods, atMs }: NodeView): JsonObject {
  const { name, zone, index, ready, version } = node;
  const podCIDRs = families.map((family) => pods.cidr(family, index));
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      uid: uidOf(4, index),
      resourceVersion: String(version),
      creationTimestamp: timeText(0),
      labels: { 'kubernetes.io/hostname': name, 'topology.kubernetes.io/zone': zone },
    },
    spec: { podCIDR: podCIDRs[0], podCIDRs },
    status: {
      addresses: [
        ...families.map((family) => ({ type: 'InternalIP', address: addressIn('node', family, index + 1) })),
        { type: 'Hostname', address: name },
      ],
      conditions: [
        {
          type: 'Ready',
          status: ready ? 'True' : 'Unknown',
          lastHeartbeatTime: timeText(atMs),
          reason: ready ? 'KubeletReady' : 'NodeStatusUnknown',
        },
      ],
    },
  };
}
