/** Addresses, local routes and connections in the notation of `ip` and `conntrack`. */
import type { ConntrackOperation } from '../operations.ts';
import type { ConnectionTuple, LinkAddress, LocalRoute } from '../types.ts';

/** `10.96.0.10/32 dev kube-ipvs0 scope host`. What a field that is absent stands for is left out. */
export function addressText(address: LinkAddress): string {
  let text = `${address.address}/${address.prefixLength} dev ${address.link}`;
  if (address.scope !== undefined && address.scope !== 'global') text += ` scope ${address.scope}`;
  if (address.noDad === true) text += ' nodad';
  if (address.noPrefixRoute === true) text += ' noprefixroute';
  if (address.validSeconds !== undefined) text += ` valid_lft ${address.validSeconds}`;
  const preferred = address.deprecated === true ? 0 : (address.preferredSeconds ?? address.validSeconds);
  if (preferred !== undefined) text += ` preferred_lft ${preferred}`;
  return text;
}

/** `local 10.96.0.0/16 dev lo table local proto 200`. */
export function localRouteText(route: LocalRoute): string {
  const { address, prefixLength, link = 'lo', protocol, source } = route;
  const text = `local ${address}/${prefixLength} dev ${link} table local proto ${protocol}`;
  return source === undefined ? text : `${text} src ${source}`;
}

function icmpText(protocol: string, icmp: NonNullable<ConnectionTuple['icmp']>): string {
  return ` --${protocol}-type ${icmp.type} --${protocol}-code ${icmp.code} --${protocol}-id ${icmp.id}`;
}

/**
 * `-p udp --orig-src 10.0.0.1 --orig-dst 10.96.0.10 --sport 4711 --dport 53`. The tool has no option for the id: with one, the kernel removes
 * less than the line would.
 */
export function connectionText(operation: ConntrackOperation): string {
  const { tuple, zone = 0 } = operation;
  let text = `-p ${tuple.protocol} --orig-src ${tuple.source} --orig-dst ${tuple.destination}`;
  if (tuple.icmp === undefined) text += ` --sport ${tuple.sourcePort} --dport ${tuple.destinationPort}`;
  else text += icmpText(tuple.protocol, tuple.icmp);
  return zone === 0 ? text : `${text} --zone ${zone}`;
}
