/** Addresses on a link as iproute2 can write them, and their text in its notation. */
import fc from 'fast-check';
import type { AddressScope, LinkAddress, LinkAddressState } from '../../lib/types.ts';
import { addresses, families, longTimes, roundedSeconds } from './arbitrary-kernel.ts';

const lifetimes = fc.oneof(
  { weight: 3, arbitrary: fc.constant({}) },
  { weight: 1, arbitrary: fc.constant({ deprecated: true }) },
  { weight: 1, arbitrary: longTimes.map((validSeconds) => ({ validSeconds })) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(longTimes, longTimes)
      .map(([a, b]) => ({ validSeconds: Math.max(a, b), preferredSeconds: Math.min(a, b) })),
  },
);

/** One scope for all of one length: Linux refuses two in the same subnet (`__inet_insert_ifa` of net/ipv4/devinet.c). */
function scopeOf(prefixLength: number): AddressScope {
  return (['global', 'site', 'link', 'host'] as const)[prefixLength % 4] ?? 'global';
}

export function addressBatches(link: string): fc.Arbitrary<readonly LinkAddress[]> {
  const one = families.chain((family) =>
    fc
      .record({
        address: addresses(family, 97),
        prefixLength: fc.integer({ min: 1, max: family === 'IPv4' ? 32 : 128 }),
        lifetime: lifetimes,
        noDad: fc.boolean(),
        noPrefixRoute: fc.boolean(),
      })
      .map(({ address, prefixLength, lifetime, noDad, noPrefixRoute }): LinkAddress => {
        const common = { link, address, prefixLength, noPrefixRoute, ...lifetime };
        return family === 'IPv4' ? { ...common, scope: scopeOf(prefixLength) } : { ...common, noDad };
      }),
  );
  return fc.uniqueArray(one, { minLength: 100, maxLength: 100, selector: ({ address }) => address });
}

/** What is compared: one line per address, times rounded. `ip addr add` understands it. */
export function addressText(address: LinkAddress): string {
  const { validSeconds = 'forever', scope = 'global' } = address;
  const preferred = address.deprecated === true ? 0 : (address.preferredSeconds ?? validSeconds);
  const flags = `${address.noDad === true ? ' nodad' : ''}${address.noPrefixRoute === true ? ' noprefixroute' : ''}`;
  const times = `valid_lft ${validSeconds} preferred_lft ${preferred}`;
  return `${address.address}/${address.prefixLength} dev ${address.link} scope ${scope} ${times}${flags}`;
}

export function readAddressText({ validSeconds, preferredSeconds, deprecated, ...state }: LinkAddressState): string {
  return addressText({
    ...state,
    deprecated,
    ...(validSeconds !== undefined && { validSeconds: roundedSeconds(validSeconds) }),
    ...(preferredSeconds !== undefined && !deprecated && { preferredSeconds: roundedSeconds(preferredSeconds) }),
  });
}

const forever = 2 ** 32 - 1;

/** One `addr_info` of `ip -j addr`, checked field by field. */
export function jsonAddressText(link: string, info: Readonly<Record<string, unknown>>): string {
  const time = (name: string): string => {
    const seconds = Number(info[name]);
    return seconds === forever ? 'forever' : String(roundedSeconds(seconds));
  };
  const flags = ['nodad', 'noprefixroute'].map((flag) => (info[flag] === true ? ` ${flag}` : '')).join('');
  // Of an IPv4 address that is valid for ever, Linux says the flag alone (`inet_fill_ifaddr`).
  const preferred = info['deprecated'] === true ? 0 : time('preferred_life_time');
  const times = `valid_lft ${time('valid_life_time')} preferred_lft ${preferred}`;
  return `${info['local']}/${info['prefixlen']} dev ${link} scope ${info['scope']} ${times}${flags}`;
}
