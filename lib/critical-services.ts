/** Which Services everything else on a node waits for: they are handed in and written before all others. */
import type { ObjectKey } from './records.ts';

/** The API server's own Service (pkg/controlplane of kube-apiserver makes it): nothing in a cluster works without it. */
const apiServer: ObjectKey = 'default/kubernetes';
/** Cluster DNS is a Service here, by whatever name (kube-dns, coredns, rke2-coredns-rke2-coredns): its port tells it. */
const systemNamespace = 'kube-system/';
const dnsPort = 53;

/**
 * The API server's Service, and cluster DNS.
 *
 * @param key `namespace/name` of the Service.
 * @param ports Of the Service, or as many of them as are looked at.
 */
export function isCritical(key: ObjectKey, ports: Iterable<{ readonly port: number }>): boolean {
  if (key === apiServer) return true;
  if (!key.startsWith(systemNamespace)) return false;
  for (const { port } of ports) if (port === dnsPort) return true;
  return false;
}
