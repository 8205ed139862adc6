/**
 * KUBE-IPVS-OUT-FILTER (behaviour.md 2.5, 4.5): what this node sends to a load balancer IP passes no INPUT chain, so where the source ranges
 * leave this node out a rule of its own drops it. One rule for each virtual service.
 */
import { familyOf, fullPrefix, parseAddress } from '../address.ts';
import type { AddressServiceKey, Protocol } from '../types.ts';
import type { RuleLine } from './rule-set.ts';
import { type ServiceId, serviceId } from './state.ts';

export const outFilterChain = 'KUBE-IPVS-OUT-FILTER';

const protocolNumbers: Readonly<Record<Protocol, number>> = { tcp: 6, udp: 17, sctp: 132 };

/**
 * The rule, as iptables-save prints it. A packet of the node's own has the VIP for its source, because the VIP is local; with a local route in
 * the place of an IPv6 address the kernel chooses another one of the node's.
 */
export function outFilterLine(key: AddressServiceKey, vipBinding: 'address' | 'local-route'): RuleLine {
  const { address, protocol, port } = key;
  const family = familyOf(address);
  const fromHere =
    vipBinding === 'local-route' && family === 'IPv6'
      ? '-m addrtype --src-type LOCAL'
      : `-s ${address}/${fullPrefix(family)}`;
  return `-A ${outFilterChain} ${fromHere} -m ipvs --vproto ${protocolNumbers[protocol]} --vaddr ${address} --vport ${port} -j DROP`;
}

/** The virtual service a rule of ours guards; undefined = it is none of ours. */
export function outFilterService(line: RuleLine): ServiceId | undefined {
  const [, proto, vaddr = '', port] = /--vproto (\d+) --vaddr (\S+) --vport (\d+) -j DROP$/.exec(line) ?? [];
  const address = parseAddress(vaddr);
  const protocol = (['tcp', 'udp', 'sctp'] as const).find((name) => String(protocolNumbers[name]) === proto);
  if (address === undefined || protocol === undefined) return undefined;
  return serviceId({ protocol, address, port: Number(port) });
}
