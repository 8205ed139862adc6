/** Kubernetes objects for tests, with what a test does not care about filled in. */
type Fields = { readonly [key: string]: unknown };

export function service(
  name: string,
  spec: Fields = {},
  rest: Fields = {},
  metadata: Fields = {},
): {
  kind: 'Service';
  apiVersion: 'v1';
  metadata: { name: string; namespace: string; uid: string };
  spec: Fields;
} {
  return {
    kind: 'Service',
    apiVersion: 'v1',
    metadata: { name, namespace: 'ns1', uid: `uid-${name}`, ...metadata },
    spec: { clusterIP: '10.96.0.10', ports: [{ name: 'p80', port: 80 }], ...spec },
    ...rest,
  };
}

export function slice(
  name: string,
  fields: Fields = {},
  labels: Fields = { 'kubernetes.io/service-name': 'svc1' },
): {
  kind: 'EndpointSlice';
  apiVersion: 'discovery.k8s.io/v1';
  metadata: { name: string; namespace: string; uid: string; labels: Fields };
} {
  return {
    kind: 'EndpointSlice',
    apiVersion: 'discovery.k8s.io/v1',
    metadata: { name, namespace: 'ns1', uid: `uid-${name}`, labels },
    ...{
      addressType: 'IPv4',
      ports: [{ name: 'p80', port: 8080, protocol: 'TCP' }],
      endpoints: [{ addresses: ['10.244.1.5'], nodeName: 'n1' }],
    },
    ...fields,
  };
}

export function node(
  name: string,
  fields: Fields = {},
): { kind: 'Node'; apiVersion: 'v1'; metadata: { name: string; uid: string } } {
  return { kind: 'Node', apiVersion: 'v1', metadata: { name, uid: `uid-${name}` }, ...fields };
}
