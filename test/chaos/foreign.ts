/** What others have on the node, where nothing of ours ever is. */
import type { Operation } from '../../lib/operations.ts';
import type { FakeTables } from '../../lib/testing/fake-tables.ts';
import { ip } from '../harness/records.ts';

export type ForeignKind = 'service' | 'fwmark' | 'set' | 'address';

export function isForeign(address: string): boolean {
  return address.startsWith('172.31.');
}

/** The first time it comes, then it changes, then it is gone. Returns what has been done to the tables. */
export function changeForeign(tables: FakeTables, kind: ForeignKind, number: number): readonly Operation[] {
  const way = wayOf(kind, number);
  const preparation = kind === 'address' ? [{ verb: 'ensure-link', name: 'others0' } as const] : [];
  for (const operation of preparation) tables.apply(operation);
  // The first that was not done before; the last one ends it.
  const next = way.find((operation) => tables.apply(operation) === undefined);
  return next === undefined ? preparation : [...preparation, next];
}

function wayOf(kind: ForeignKind, number: number): readonly Operation[] {
  switch (kind) {
    case 'set': {
      const set = { name: `OTHERS-${number}`, type: 'hash:ip', family: 'IPv4' } as const;
      return [
        { verb: 'create-set', set },
        { verb: 'remove-set', name: set.name },
      ];
    }
    case 'address': {
      // Loopback: no node port is served there.
      const address = { link: 'others0', address: ip(`127.7.0.${number + 1}`), prefixLength: 32 };
      return [
        { verb: 'add-address', address },
        { verb: 'remove-address', link: address.link, address: address.address, prefixLength: 32 },
      ];
    }
    default: {
      const key =
        kind === 'fwmark'
          ? ({ fwmark: number + 1, family: 'IPv4' } as const)
          : ({ protocol: 'tcp', address: ip('172.31.1.1'), port: 80 + number } as const);
      const destination = { address: ip('10.9.9.9'), port: 80, weight: 5, forward: 'masquerade' } as const;
      return [
        { verb: 'create-service', service: { key, scheduler: 'wlc', flags: 0, timeoutSeconds: 0 } },
        { verb: 'create-destination', key, destination },
        { verb: 'remove-service', key },
      ];
    }
  }
}
