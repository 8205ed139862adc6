/**
 * What the kernel makes of an entry: its attributes are those of the type it was written for. A set takes it when it has all that its own
 * type needs, and nothing that its type does not know.
 */
import { type Cidr, familyOf, fullPrefix, parseAddress, parseCidr } from '../address.ts';
import type { SplitEntry } from '../kernel/set-options.ts';
import type { SetRef, SetType } from '../types.ts';
import type { ErrnoName } from './fake-errors.ts';

type Field = 'ip' | 'net' | 'port' | 'ip2' | 'net2' | 'iface';

/** In the order of ipset's notation. */
const fields: Readonly<Record<SetType, readonly Field[]>> = {
  'hash:ip': ['ip'],
  'hash:net': ['net'],
  'hash:ip,port': ['ip', 'port'],
  'hash:ip,port,ip': ['ip', 'port', 'ip2'],
  'hash:ip,port,net': ['ip', 'port', 'net2'],
  'hash:net,iface': ['net', 'iface'],
  'bitmap:port': ['port'],
};

/** Types whose entries fit this one too, although they were written for another. */
const guests: Readonly<Partial<Record<SetType, SetType>>> = {
  'hash:ip': 'hash:net',
  'hash:net': 'hash:ip',
  'hash:ip,port,net': 'hash:ip,port,ip',
};

/** One entry; or, in a hash:ip, every address of a network. */
export type Held = { readonly body: string } | { readonly range: Cidr } | { readonly refusal: ErrnoName };

/** The entry as this set would hold it, or why it cannot. */
export function asHeldBy(set: SetRef, ref: SetRef, { body, nomatch }: SplitEntry): Held {
  const bitmap = set.type === 'bitmap:port';
  const fits = set.type === ref.type || guests[set.type] === ref.type;
  // An address of the other family is another attribute.
  if (!fits || (!bitmap && set.family !== ref.family)) return { refusal: 'IPSET_ERR_PROTOCOL' };
  if (nomatch && netField(set.type) < 0) return { refusal: 'IPSET_ERR_PROTOCOL' };
  if (set.type !== 'hash:ip') return { body };
  const range = parseCidr(body);
  if (range === undefined) return { body };
  return range.family === 'IPv4' ? { range } : { refusal: 'IPSET_ERR_INVALID_CIDR' };
}

/** In a hash:ip it means an empty place. The kernel looks at this last. */
export function isEmptyPlace({ type }: SetRef, held: Exclude<Held, { readonly refusal: ErrnoName }>): boolean {
  const first = 'range' in held ? held.range.address : held.body;
  return type === 'hash:ip' && (first === '0.0.0.0' || first === '::');
}

function netField(type: SetType): number {
  return fields[type].findIndex((field) => field === 'net' || field === 'net2');
}

/** Every address of an IPv4 network. */
export function* addressesOf({ address, prefixLength }: Cidr): Generator<string, void, undefined> {
  const first = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  for (let at = first; at < first + 2 ** (32 - prefixLength); at++) {
    yield [24, 16, 8, 0].map((shift) => Math.floor(at / 2 ** shift) % 256).join('.');
  }
}

/** What is looked for in a test, in order: a whole address is in every network around it, the narrowest first; a network only is itself. */
export function* networksAround({ type }: SetRef, body: string): Generator<string, void, undefined> {
  yield body;
  const at = netField(type);
  const parts = body.split(',');
  const address = at < 0 ? undefined : parseAddress(parts[at] ?? '');
  if (address === undefined) return;
  const full = fullPrefix(familyOf(address));
  for (let prefix = full - 1; prefix >= 0; prefix--) {
    const network = parseCidr(`${address}/${prefix}`)?.text ?? '';
    yield parts.map((part, index) => (index === at ? network : part)).join(',');
  }
}
