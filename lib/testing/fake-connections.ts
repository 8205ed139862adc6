/** Connection tracking as the fake kernel keeps it. */
import { familyOf } from '../address.ts';
import type { ConntrackOperation } from '../operations.ts';
import type { Connection, ConnectionFilter, ConnectionTuple } from '../types.ts';

function sameTuple(a: ConnectionTuple, b: ConnectionTuple): boolean {
  return (
    a.protocol === b.protocol &&
    a.source === b.source &&
    a.sourcePort === b.sourcePort &&
    a.destination === b.destination &&
    a.destinationPort === b.destinationPort &&
    a.icmp?.type === b.icmp?.type &&
    a.icmp?.code === b.icmp?.code &&
    a.icmp?.id === b.icmp?.id
  );
}

/** The tuple is looked for in both directions; a connection of another id stays. Whether there was one. */
export function forgetConnection(connections: Set<Connection>, operation: ConntrackOperation): boolean {
  const { tuple, zone = 0, id } = operation;
  for (const connection of connections) {
    if (connection.zone !== zone || (id !== undefined && connection.id !== id)) continue;
    if (sameTuple(connection.original, tuple) || sameTuple(connection.reply, tuple))
      return connections.delete(connection);
  }
  return false;
}

export function matchesFilter({ original, reply, zone, mark }: Connection, filter: ConnectionFilter): boolean {
  const same = <T>(wanted: T | undefined, is: T): boolean => wanted === undefined || wanted === is;
  return (
    same(filter.family, familyOf(original.source)) &&
    same(filter.protocol, original.protocol) &&
    same(filter.originalSource, original.source) &&
    same(filter.originalSourcePort, original.sourcePort) &&
    same(filter.originalDestination, original.destination) &&
    same(filter.originalDestinationPort, original.destinationPort) &&
    same(filter.replySource, reply.source) &&
    same(filter.replySourcePort, reply.sourcePort) &&
    same(filter.replyDestination, reply.destination) &&
    same(filter.replyDestinationPort, reply.destinationPort) &&
    same(filter.zone, zone) &&
    (filter.mark === undefined || (mark & filter.mark.mask) >>> 0 === filter.mark.value)
  );
}
