/** Local routes as iproute2 can write them, and their text in its notation. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parseAddress } from '../../lib/address.ts';
import type { IpFamily, LocalRoute } from '../../lib/types.ts';
import { families, networks } from './arbitrary-kernel.ts';

/** Loopback's own: the one address that every host has. Its IPv6 one, of scope host, is for routes over lo alone. */
const ownAddress: Readonly<Record<IpFamily, string>> = { IPv4: '127.0.0.1', IPv6: '::1' };
/** From static on, some of them with names in /etc/iproute2/rt_protos; 2, the kernel's own, is never among them. */
const owners = fc.oneof(fc.constantFrom(4, 11, 16, 186, 255), fc.integer({ min: 4, max: 255 }));

/** Of a kind that has one place for each: to the kernel an IPv6 route to a prefix over a link is the same, whoever's it is. */
export function routeBatches(link: string): fc.Arbitrary<readonly LocalRoute[]> {
  const one = families.chain((family) =>
    fc
      .record({
        network: networks(family, 4),
        protocol: owners,
        link: fc.constantFrom('lo', link),
        sourced: fc.boolean(),
      })
      .map(({ network, sourced, ...rest }): LocalRoute => {
        const [text = '', length = family === 'IPv4' ? '32' : '128'] = network.split('/');
        const address = parseAddress(text);
        const source = parseAddress(ownAddress[family]);
        assert.ok(address !== undefined && source !== undefined, network);
        return {
          address,
          prefixLength: Number(length),
          ...rest,
          ...(sourced && (family === 'IPv4' || rest.link === 'lo') && { source }),
        };
      }),
  );
  const selector = ({ address, prefixLength, link: over }: LocalRoute): string => `${address}/${prefixLength} ${over}`;
  return fc.uniqueArray(one, { minLength: 100, maxLength: 100, selector });
}

/** What is compared: one line per route. `ip route append local` understands it. */
export function routeText({ address, prefixLength, link = 'lo', protocol, source }: LocalRoute): string {
  const from = source === undefined ? '' : ` src ${source}`;
  return `${address}/${prefixLength} dev ${link} table local proto ${protocol}${from}`;
}

/** RTN_LOCAL, as `-N` has it. */
const LOCAL = 2;

/** One route of `ip -N -j route show table local`, checked field by field; undefined for the kernel's own, and for those of another type. */
export function jsonRouteText(route: Readonly<Record<string, unknown>>): string | undefined {
  const { type, dst, dev, protocol, prefsrc } = route;
  if (Number(type) !== LOCAL || Number(protocol) < 4) return undefined;
  const text = String(dst);
  const prefix = text.includes('/') ? text : `${text}/${text.includes(':') ? 128 : 32}`;
  return `${prefix} dev ${dev} table local proto ${protocol}${prefsrc === undefined ? '' : ` src ${prefsrc}`}`;
}
