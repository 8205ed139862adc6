/** The node port of a service port: a virtual service on each node address, nothing bound (behaviour.md 2.2, 2.4). */
import type { ServicePortSpec } from '../../model/service-port.ts';
import type { IpAddress } from '../../types.ts';
import type { PortLists } from '../live-port.ts';
import { nodePortSets, type SetId, setName, tupleEntry } from '../sets.ts';
import type { WantedEntry, WantedPort } from '../wanted.ts';
import { type Frontend, type FrontendContext, noFrontend, wantedService } from './frontend.ts';

export function nodePortFrontend(
  port: ServicePortSpec,
  lists: PortLists,
  context: FrontendContext,
  owner: WantedPort,
): Frontend {
  if (port.nodePort === 0) return noFrontend;
  const addresses = context.nodePortAddresses(port.family);
  if (addresses.length === 0) return noFrontend;
  const virtualServices = addresses.map((address) =>
    wantedService('node-port', port, address, port.nodePort, lists.nodePort, context, owner),
  );
  const follows = virtualServices.map(({ id }) => id);
  const { all, local } = nodePortSets(port.protocol);
  const entries = entriesIn(all, port, addresses, follows);
  if (port.body.externalPolicyLocal) entries.push(...entriesIn(local, port, addresses, follows));
  return { ...noFrontend, virtualServices, entries };
}

/** A port bit for TCP and UDP; for SCTP, whose sets are hash:ip,port, an entry per address (kubernetes #77265). */
function entriesIn(
  id: SetId,
  port: ServicePortSpec,
  addresses: readonly IpAddress[],
  follows: readonly string[],
): WantedEntry[] {
  const set = setName(id, port.family);
  if (port.protocol !== 'sctp') return [{ set, entry: String(port.nodePort), follows, kind: 'node-port' }];
  return addresses.map((address, index) => ({
    set,
    entry: tupleEntry(address, port.protocol, port.nodePort),
    follows: follows.slice(index, index + 1),
    kind: 'node-port',
  }));
}
