/** What the frontends have in common that answer on an address of their own: external IPs and load balancer IPs. */
import { familyOf } from '../../address.ts';
import type { ServicePortSpec } from '../../model/service-port.ts';
import type { IpAddress } from '../../types.ts';
import type { FrontendContext } from './frontend.ts';

/** Those of the service port's family, each once. */
export function vipsOf(port: ServicePortSpec, addresses: readonly IpAddress[]): readonly IpAddress[] {
  return [...new Set(addresses)].filter((address) => familyOf(address) === port.family);
}

/**
 * Why an address is not served: bound here, an address of another Node would become local, and that Node unreachable (behaviour.md 2.10). One
 * that is on an interface of this node is local already.
 */
export function refusal(what: string, address: IpAddress, context: FrontendContext): string | undefined {
  if (context.isInterfaceAddress(address)) return undefined;
  const node = context.otherNodeWith(address);
  if (node === undefined) return undefined;
  return `${what} ${address} is an address of Node ${node}: it is not served, for this node could not reach ${node} any more. Use an address that no Node has`;
}
