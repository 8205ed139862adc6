/** What a session reads over rtnetlink: links, addresses, local routes, and what changes of the first two. */
import { ProxierError } from '../errors.ts';
import type {
  ChangeEvent,
  ChangeGroup,
  LinkAddressState,
  LinkState,
  LocalRouteFilter,
  LocalRouteState,
} from '../types.ts';
import { DumpKind, type NativeDump } from './binding.ts';
import { checkedGroups } from './check.ts';
import { type IndexedAddress, readAddressState, readLinkState, readLocalRouteState } from './decode-route.ts';
import { ownerOf } from './encode-route.ts';
import { type DumpName, dumpError, type Owner, SliceCursor } from './record-cursor.ts';
import { RecordReader } from './record-reader.ts';
import type { Cursor, ListOptions, Monitor } from './session.ts';
import { CHANGE_REMOVED, Opcode } from './wire.ts';

interface Bytes {
  readonly bytes: Uint8Array;
  readonly length: number;
}

type Slices<T> = readonly (readonly T[])[];

/** What this needs of the session. */
export interface RouteDumps extends Owner {
  /** Reads a dump whole, again when things changed under it. */
  whole<T>(kind: number, name: DumpName, decode: (reader: RecordReader) => T, argument?: Bytes): Slices<T>;
  /** Reads a dump one receive at a time. Throws EINTR when things changed under it. */
  inSlices<T>(
    kind: number,
    name: DumpName,
    decode: (reader: RecordReader) => T | undefined,
    argument?: Bytes,
  ): Cursor<T>;
  /** Opens the socket of a monitor: a dump without an end, or a code. */
  changes(): NativeDump | number;
  /** The buffer that all reads of the session share. */
  readonly buffer: Uint8Array;
}

const LINKS: DumpName = { command: 'RTM_GETLINK', object: 'links' };
const ADDRESSES: DumpName = { command: 'RTM_GETADDR', object: 'addresses' };
const CHANGES: DumpName = { command: 'NETLINK_ADD_MEMBERSHIP', object: 'changes of links and addresses' };
/** Slices that one drain reads at most: what comes faster than that is left for the next. */
const SLICES_AT_ONCE = 16;

export function readLinks(dumps: RouteDumps): Cursor<LinkState> {
  return new SliceCursor(dumps, dumps.whole(DumpKind.links, LINKS, readLinkState));
}

export function readAddresses(dumps: RouteDumps, { inSlices = false }: ListOptions = {}): Cursor<LinkAddressState> {
  if (inSlices) return dumps.inSlices(DumpKind.addresses, ADDRESSES, namedBy(linkNames(dumps), readAddressState));
  return new SliceCursor(dumps, withLinkNames(dumps, dumps.whole(DumpKind.addresses, ADDRESSES, readAddressState)));
}

export function readLocalRoutes(
  dumps: RouteDumps,
  filter: LocalRouteFilter,
  { inSlices = false }: ListOptions = {},
): Cursor<LocalRouteState> {
  const name = { command: 'RTM_GETROUTE', object: 'local routes' };
  const argument = { bytes: Uint8Array.of(ownerOf(filter)), length: 1 };
  if (inSlices) {
    return dumps.inSlices(DumpKind.localRoutes, name, namedBy(linkNames(dumps), readLocalRouteState), argument);
  }
  const slices = dumps.whole(DumpKind.localRoutes, name, readLocalRouteState, argument);
  return new SliceCursor(dumps, withLinkNames(dumps, slices));
}

/** A link that went between the two dumps took what was on it with it. */
function withLinkNames<T extends { readonly linkIndex: number }>(
  dumps: RouteDumps,
  slices: Slices<T>,
): Slices<T & { readonly link: string }> {
  const names = linkNames(dumps);
  return slices.map((slice) =>
    slice.flatMap((one) => {
      const link = names.get(one.linkIndex);
      return link === undefined ? [] : [{ ...one, link }];
    }),
  );
}

function namedBy<T extends { readonly linkIndex: number }>(
  names: ReadonlyMap<number, string>,
  decode: (reader: RecordReader) => T,
): (reader: RecordReader) => (T & { readonly link: string }) | undefined {
  return (reader) => {
    const one = decode(reader);
    const link = names.get(one.linkIndex);
    return link === undefined ? undefined : { ...one, link };
  };
}

function linkNames(dumps: RouteDumps): Map<number, string> {
  const links = dumps.whole(DumpKind.links, LINKS, readLinkState).flat();
  return new Map(links.map(({ index, name }) => [index, name]));
}

export class KernelMonitor implements Monitor {
  readonly #dumps: RouteDumps;
  readonly #groups: ReadonlySet<ChangeGroup>;
  /** Messages about addresses have the number of the link. Its name is from here, so links are always listened to. */
  #names: Map<number, string>;
  #socket: NativeDump | undefined;

  constructor(dumps: RouteDumps, groups: readonly ChangeGroup[]) {
    this.#dumps = dumps;
    this.#groups = checkedGroups('groups', groups);
    const socket = dumps.changes();
    if (typeof socket === 'number') throw dumpError(socket, CHANGES);
    this.#socket = socket;
    // After joining, so that no link comes between.
    this.#names = linkNames(dumps);
  }

  drain(): readonly ChangeEvent[] {
    if (this.#dumps.closed || this.#socket === undefined) {
      throw new ProxierError('ERR_CLOSED', 'the monitor, or its session, is closed');
    }
    const events: ChangeEvent[] = [];
    for (let slices = 0; slices < SLICES_AT_ONCE; slices++) {
      const { buffer } = this.#dumps;
      const length = this.#socket.next(buffer);
      if (length < 0) throw dumpError(length, CHANGES);
      if (length === 0) break;
      // Copied: looking up the name of a link reads into the same buffer.
      const reader = new RecordReader(buffer.slice(0, length));
      while (reader.next()) this.#read(reader, events);
    }
    return events;
  }

  close(): void {
    this.#socket?.close();
    this.#socket = undefined;
  }

  #read(reader: RecordReader, events: ChangeEvent[]): void {
    const change = reader.flags === CHANGE_REMOVED ? 'removed' : 'set';
    switch (reader.opcode) {
      case Opcode.linkState: {
        const link = readLinkState(reader);
        // The name of a removed link stays for the messages about its addresses that come behind it.
        this.#names.set(link.index, link.name);
        if (this.#groups.has('link')) events.push({ kind: 'link', change, link });
        break;
      }
      case Opcode.addressState: {
        if (!this.#groups.has('address')) break;
        const address = this.#named(readAddressState(reader));
        if (address !== undefined) events.push({ kind: 'address', change, address });
        break;
      }
      case Opcode.changesLost:
        this.#names = linkNames(this.#dumps);
        events.push({ kind: 'lost' });
        break;
    }
  }

  #named(address: IndexedAddress): LinkAddressState | undefined {
    const link = this.#names.get(address.linkIndex);
    return link === undefined ? undefined : { ...address, link };
  }
}
