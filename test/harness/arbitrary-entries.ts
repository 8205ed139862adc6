/** Entries of sets that the kernel takes, in canonical text, for differential tests. */
import fc from 'fast-check';
import { readAddress } from '../../lib/kernel/address-bytes.ts';
import { joinOptions } from '../../lib/kernel/set-options.ts';
import type { IpFamily, SetType } from '../../lib/types.ts';

export const setTypes: readonly SetType[] = [
  'hash:ip',
  'hash:net',
  'hash:ip,port',
  'hash:ip,port,ip',
  'hash:ip,port,net',
  'hash:net,iface',
  'bitmap:port',
];

/** Bytes of an address of which only the first `length` bits may be set. Never of 0.0.0.0/8, and never IPv4 in disguise. */
function network(family: IpFamily, length: fc.Arbitrary<number>): fc.Arbitrary<{ text: string; length: number }> {
  const size = family === 'IPv4' ? 4 : 16;
  const byte = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 255 }));
  const first = family === 'IPv4' ? fc.integer({ min: 1, max: 223 }) : fc.integer({ min: 0x20, max: 0xfe });
  return fc
    .tuple(first, fc.array(byte, { minLength: size - 1, maxLength: size - 1 }), length)
    .map(([head, rest, bits]) => {
      const bytes = Uint8Array.of(head, ...rest);
      for (let bit = bits; bit < 8 * size; bit++) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) & ~(0x80 >> (bit & 7));
      return { text: readAddress(bytes, 0, family), length: bits };
    });
}

/** With `hasOptions`: time-outs and comments too. */
export function anyEntry(type: SetType, family: IpFamily, hasOptions: boolean): fc.Arbitrary<string> {
  const full = family === 'IPv4' ? 32 : 128;
  const ip = network(family, fc.constant(full)).map(({ text }) => text);
  const net = network(family, fc.integer({ min: 8, max: full })).map(({ text, length }) =>
    length === full ? text : `${text}/${length}`,
  );
  const port = fc.integer({ min: 0, max: 65535 });
  const service = fc
    .tuple(fc.constantFrom('tcp', 'udp', 'sctp'), port)
    .map(([protocol, number]) => `${protocol}:${number}`);
  const iface = fc.constantFrom('eth0', 'br-lan.5', 'physdev:eth1', 'v@h#1');
  const fields: Record<SetType, readonly fc.Arbitrary<string>[]> = {
    'hash:ip': [ip],
    'hash:net': [net],
    'hash:ip,port': [ip, service],
    'hash:ip,port,ip': [ip, service, ip],
    'hash:ip,port,net': [ip, service, net],
    'hash:net,iface': [fc.oneof(net, fc.constant(family === 'IPv4' ? '0.0.0.0/0' : '::/0')), iface],
    'bitmap:port': [port.map(String)],
  };
  const nomatch = fields[type].includes(net) || type === 'hash:net,iface' ? fc.boolean() : fc.constant(false);
  const timeout = fc.option(fc.oneof(fc.constant(0), fc.integer({ min: 7200, max: 2_147_483 })), { nil: undefined });
  const comment = fc.option(
    fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' }).map((text) => text.replace(/["\p{Cc}]/gu, '.')),
    { nil: undefined },
  );
  const options = hasOptions ? fc.tuple(timeout, comment) : fc.constant([undefined, undefined] as const);
  return fc.tuple(fc.tuple(...fields[type]), nomatch, options).map(([parts, isNomatch, [timeoutSeconds, text]]) =>
    joinOptions(parts.join(','), isNomatch, {
      ...(timeoutSeconds === undefined ? {} : { timeoutSeconds }),
      ...(text === undefined ? {} : { comment: text }),
    }),
  );
}
