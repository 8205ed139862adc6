/** Any history of operations has the same outcomes and the same end on the fake kernel and on a real one. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { Batch } from '../../../lib/kernel/batch.ts';
import type { KernelSession } from '../../../lib/kernel/session.ts';
import type { Operation } from '../../../lib/operations.ts';
import { FakeKernel } from '../../../lib/testing/fake-kernel.ts';
import type { Destination, LinkAddress, LocalRoute, ServiceKey, SetSpec, VirtualService } from '../../../lib/types.ts';
import { holds } from '../arbitrary-kernel.ts';
import { type Bed, canonical, clear, ip, type OpenBed, OTHER_OWNER, OWNER, outcomes, stateOf, tcp } from './bed.ts';
import { fakeBed } from './fake-bed.ts';

const sequences = 60;
const operationsEach = 40;

// So few names that operations meet again and again.
const keys: fc.Arbitrary<ServiceKey> = fc.constantFrom<ServiceKey[]>(
  tcp('10.99.0.1', 80),
  tcp('fd99::1', 80),
  { protocol: 'udp', address: ip('10.99.0.1'), port: 80 },
  { fwmark: 7, family: 'IPv4' },
);
const services: fc.Arbitrary<VirtualService> = fc.record({
  key: keys,
  scheduler: fc.constantFrom('rr', 'wrr', 'sh', 'mh', 'none', 'no-such'),
  flags: fc.constantFrom(0, 1, 4, 0x18, 0x3f),
  timeoutSeconds: fc.constantFrom(0, 60, 10800),
});
const destinations: fc.Arbitrary<Destination> = fc
  .record({
    address: fc.constantFrom('10.98.0.1', '10.98.0.2', '224.0.0.1', 'fd98::1', 'fe80::1').map(ip),
    port: fc.constantFrom(80, 81),
    weight: fc.constantFrom(0, 1, 100),
    upperThreshold: fc.constantFrom(0, 10),
    kind: fc.constantFrom<Pick<Destination, 'forward' | 'tunnel'>[]>(
      { forward: 'tunnel' },
      { forward: 'tunnel', tunnel: { type: 'gue', port: 6080 } },
      { forward: 'tunnel', tunnel: { type: 'gre', checksum: true } },
    ),
  })
  // Only tunnels go from one family to the other, and the library says so before the kernel does.
  .map(({ kind, ...rest }) => ({ ...rest, ...kind }));

const setNames = fc.constantFrom('CF-A', 'CF-B', 'CF-C');
const entries: Readonly<Record<'hash:ip' | 'hash:net' | 'hash:ip,port' | 'bitmap:port', readonly string[]>> = {
  'hash:ip': ['10.0.0.1', '10.0.0.2', '10.0.0.3', '0.0.0.0'],
  'hash:net': ['10.0.0.0/29', '10.0.0.0/30', '10.0.0.0/30 nomatch', '10.0.0.1'],
  'hash:ip,port': ['10.0.0.1,tcp:80', '10.0.0.1,udp:80', '10.0.0.2,tcp:80', '10.0.0.3,tcp:80'],
  'bitmap:port': ['80', '81'],
};
type Type = keyof typeof entries;
const types = fc.constantFrom<Type[]>('hash:ip', 'hash:net', 'hash:ip,port', 'bitmap:port');
const specs: fc.Arbitrary<SetSpec> = fc
  .record({
    name: setNames,
    type: types,
    maxElements: fc.constantFrom(0, 2, 3, 8),
    timeoutSeconds: fc.constantFrom(undefined, undefined, 0, 400_000),
    comment: fc.boolean(),
  })
  .map(({ timeoutSeconds, ...rest }) => ({
    ...rest,
    family: 'IPv4' as const,
    ...(timeoutSeconds === undefined ? {} : { timeoutSeconds }),
  }));
const entryWrites: fc.Arbitrary<Operation> = fc
  .record({
    verb: fc.constantFrom('add-entry' as const, 'add-entry' as const, 'remove-entry' as const),
    name: setNames,
    type: types,
  })
  .chain(({ verb, name, type }) =>
    fc
      .record({
        entry: fc.constantFrom(...entries[type]),
        options: fc.constantFrom('', '', '', ' timeout 200000', ' comment "c"'),
      })
      .map(({ entry, options }) => ({
        verb,
        set: { name, type, family: 'IPv4' as const },
        entry: `${entry}${options}`,
      })),
  );

const links = fc.constantFrom('cf0', 'cf0', 'cf1');
const addresses: fc.Arbitrary<LinkAddress> = fc
  .record({
    link: links,
    place: fc.constantFrom<[string, number][]>(
      ...[
        ['10.99.0.1', 32],
        ['10.99.0.1', 24],
        ['10.99.0.2', 24],
        ['10.99.0.3', 24],
      ].map(([a, p]): [string, number] => [String(a), Number(p)]),
      ...[
        ['fd99::1', 128],
        ['fd99::2', 128],
        ['ff02::1', 128],
      ].map(([a, p]): [string, number] => [String(a), Number(p)]),
    ),
    scope: fc.constantFrom<('global' | 'host')[]>('global', 'global', 'host'),
    life: fc.constantFrom<Partial<LinkAddress>[]>(
      {},
      {},
      { deprecated: true },
      { validSeconds: 400_000, preferredSeconds: 200_000 },
    ),
    noPrefixRoute: fc.boolean(),
  })
  .map(({ place: [address, prefixLength], life, ...rest }) => ({
    ...rest,
    address: ip(address),
    prefixLength,
    ...life,
  }));
const routes: fc.Arbitrary<LocalRoute> = fc
  .record({
    place: fc.constantFrom<[string, number][]>(['10.97.0.0', 24], ['10.99.0.1', 32], ['fd97::', 64]),
    protocol: fc.constantFrom(OWNER, OWNER, OTHER_OWNER),
    link: fc.constantFrom('lo', 'lo', 'cf0'),
    sourced: fc.constantFrom(false, false, true),
  })
  .map(({ place: [address, prefixLength], sourced, ...rest }) => ({
    ...rest,
    address: ip(address),
    prefixLength,
    ...(sourced ? { source: ip(address.includes(':') ? 'fd99::1' : '10.99.0.1') } : {}),
  }));

const operations: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({
    verb: fc.constantFrom('create-service' as const, 'update-service' as const, 'ensure-service' as const),
    service: services,
  }),
  fc.record({ verb: fc.constantFrom('remove-service' as const, 'zero-service' as const), key: keys }),
  fc.record({
    verb: fc.constantFrom('create-destination' as const, 'update-destination' as const, 'ensure-destination' as const),
    key: keys,
    destination: destinations,
  }),
  fc.record({ verb: fc.constant('remove-destination' as const), key: keys, destination: destinations }),
  fc.record({ verb: fc.constantFrom('create-set' as const, 'ensure-set' as const), set: specs }),
  fc.record({ verb: fc.constantFrom('remove-set' as const, 'flush-set' as const), name: setNames }),
  fc.record({ verb: fc.constant('swap-sets' as const), name: setNames, other: setNames }),
  fc.record({ verb: fc.constant('rename-set' as const), name: setNames, newName: setNames }),
  ...[entryWrites, entryWrites, entryWrites],
  fc.record({
    verb: fc.constantFrom('ensure-link' as const, 'ensure-link' as const, 'remove-link' as const),
    name: links,
  }),
  fc.record({ verb: fc.constantFrom('add-address' as const, 'ensure-address' as const), address: addresses }),
  fc.record({ verb: fc.constant('remove-address' as const), address: addresses }).map(({ verb, address }) => ({
    ...{ verb, link: address.link, address: address.address, prefixLength: address.prefixLength },
  })),
  fc.record({ verb: fc.constantFrom('add-local-route' as const, 'remove-local-route' as const), route: routes }),
  { weight: 1, arbitrary: fc.constantFrom<Operation[]>({ verb: 'flush-services' }, { verb: 'zero-services' }) },
);

/** In batches of several lengths: an ensure waits for the end of its own. */
const histories: fc.Arbitrary<readonly (readonly Operation[])[]> = fc
  .record({
    all: fc.array(operations, { minLength: operationsEach, maxLength: operationsEach, size: 'max' }),
    cut: fc.integer({ min: 1, max: operationsEach }),
  })
  .map(({ all, cut }) => [all.slice(0, cut), all.slice(cut)].filter((part) => part.length > 0));

function lived(session: KernelSession, history: readonly (readonly Operation[])[]): { told: string[]; state: string } {
  const told: string[] = [];
  for (const part of history) {
    const batch = new Batch();
    for (const operation of part) batch.push(operation);
    const lines = batch.toString().trimEnd().split('\n');
    for (const [index, outcome] of outcomes(batch, session.run(batch)).entries())
      told.push(`${lines[index]} # ${outcome}`);
    told.push('-- end of batch');
  }
  return { told, state: canonical(stateOf(session)) };
}

export function registerHistories(name: string, open: OpenBed): void {
  let bed: Bed | undefined;
  before(async () => {
    bed = await open();
  });
  after(() => bed?.close());

  test(`histories: ${name} end alike`, { timeout: 3_600_000 }, async (context) => {
    assert.ok(bed !== undefined);
    const { session } = bed;
    await holds(context, sequences, histories, async (history) => {
      clear(session);
      const fake = fakeBed(new FakeKernel()).session;
      const [here, there] = [lived(fake, history), lived(session, history)];
      assert.deepEqual(here.told, there.told);
      assert.deepEqual(JSON.parse(here.state), JSON.parse(there.state), here.told.join('\n'));
    });
    clear(session);
  });
}
