/** Any history of records, faults, restarts, meddling and other people's services ends with the kernel that the last records ask for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ProxierError } from '../../../lib/errors.ts';
import type { Operation } from '../../../lib/operations.ts';
import { ownershipOf } from '../../../lib/plan/ledger.ts';
import type { EndpointDrain, ReconcileInit } from '../../../lib/reconcile/protocol.ts';
import type { ObjectRecord, ServiceBody } from '../../../lib/records.ts';
import type { FakeService } from '../../../lib/testing/fake-ipvs.ts';
import type { FakeKernel, FakeRead, Fault } from '../../../lib/testing/fake-kernel.ts';
import type { IpAddress, Protocol } from '../../../lib/types.ts';
import { runs } from '../../harness/runs.ts';
import { foreignService, ip, newKernel, service, slice, World } from './world.ts';

type Step =
  | {
      readonly kind: 'service';
      readonly id: number;
      readonly ip: number;
      readonly port: number;
      readonly nodePort: number;
      readonly protocol: Protocol;
      readonly vips?: Vips;
    }
  | {
      readonly kind: 'slice';
      readonly id: number;
      readonly of: number;
      readonly endpoints: readonly number[];
      readonly protocol: Protocol;
      readonly local: boolean;
    }
  | { readonly kind: 'removeService' | 'removeSlice'; readonly id: number }
  | { readonly kind: 'fault'; readonly fault: Fault; readonly skip: number; readonly times: number }
  | { readonly kind: 'readFault'; readonly read: FakeRead }
  | { readonly kind: 'pass'; readonly ms: number }
  | { readonly kind: 'restart'; readonly vipBinding: ReconcileInit['vipBinding'] }
  | { readonly kind: 'resync' }
  /** A record that arrives while a full pass waits for iptables. */
  | { readonly kind: 'together'; readonly id: number; readonly endpoints: readonly number[] }
  /** Endpoints that somebody asks to drain, in the place of those before. */
  | { readonly kind: 'drain'; readonly endpoints: readonly number[] }
  | { readonly kind: 'connections'; readonly pick: number; readonly count: number }
  | { readonly kind: 'rulesFault'; readonly call: 'save' | 'restore'; readonly times: number }
  | {
      readonly kind: 'foreign' | 'foreignGone';
      readonly ip: number;
      readonly port: number;
      readonly protocol: Protocol;
    }
  | {
      readonly kind: 'meddle';
      readonly what: 'service' | 'destination' | 'entry' | 'address' | 'link' | 'route';
      readonly pick: number;
    };

interface Vips {
  readonly externalIPs: readonly string[];
  readonly loadBalancerIPs: readonly string[];
  readonly sourceRanges: readonly string[] | null;
  readonly externalPolicyLocal: boolean;
}

/** One may be wanted as both, one is on an interface of the node. Ranges with and without this node, which decides about a rule. */
const vips: fc.Arbitrary<Vips> = fc.record({
  externalIPs: fc.subarray(['198.18.0.1', '198.18.0.2']),
  loadBalancerIPs: fc.subarray(['198.18.0.2', '198.18.0.3', '192.168.1.10']),
  sourceRanges: fc.option(fc.subarray(['10.0.0.0/8', '0.0.0.0/0'])),
  externalPolicyLocal: fc.boolean(),
});

function vipBody({ externalIPs, loadBalancerIPs, sourceRanges, externalPolicyLocal }: Vips): Partial<ServiceBody> {
  return {
    externalIPs: externalIPs.map(ip),
    loadBalancerIPs: loadBalancerIPs.map(ip),
    sourceRanges: sourceRanges ?? [],
    hasSourceRanges: sourceRanges !== null,
    externalPolicyLocal,
  };
}

const id = fc.integer({ min: 0, max: 3 });
const protocol = fc.constantFrom<Protocol>('tcp', 'udp', 'sctp');
const quiet: fc.Arbitrary<Step>[] = [
  fc.record(
    {
      kind: fc.constant('service' as const),
      id,
      ip: fc.integer({ min: 0, max: 2 }),
      port: fc.constantFrom(80, 443),
      nodePort: fc.constantFrom(0, 0, 30080, 30443),
      protocol,
      vips,
    },
    { requiredKeys: ['kind', 'id', 'ip', 'port', 'nodePort', 'protocol'] },
  ),
  fc.record({
    kind: fc.constant('slice' as const),
    id,
    of: id,
    endpoints: fc.uniqueArray(fc.integer({ min: 1, max: 5 }), { maxLength: 4 }),
    protocol,
    local: fc.boolean(),
  }),
  fc.record({ kind: fc.constantFrom('removeService' as const, 'removeSlice' as const), id }),
  fc.record({ kind: fc.constant('pass' as const), ms: fc.constantFrom(50, 1000, 5000, 40_000) }),
  fc.record({
    kind: fc.constant('restart' as const),
    vipBinding: fc.constantFrom('address' as const, 'local-route' as const),
  }),
];
const slow: fc.Arbitrary<Step>[] = [
  fc.record({
    kind: fc.constant('drain' as const),
    endpoints: fc.uniqueArray(fc.integer({ min: 1, max: 5 }), { maxLength: 2 }),
  }),
  fc.record({
    kind: fc.constant('connections' as const),
    pick: fc.nat(),
    count: fc.constantFrom(0, 1, 1, 1),
  }),
];
const foreignKinds = fc.constantFrom('foreign' as const, 'foreign' as const, 'foreignGone' as const);
const others: fc.Arbitrary<Step>[] = [
  // 10.96.0.(10 + ip), 192.168.1.10: where our VIPs and node ports are.
  fc.record({
    kind: foreignKinds,
    ip: fc.integer({ min: 0, max: 3 }),
    port: fc.constantFrom(80, 443, 8443, 30080),
    protocol,
  }),
  fc.record({
    kind: fc.constant('together' as const),
    id,
    endpoints: fc.uniqueArray(fc.integer({ min: 1, max: 5 }), { maxLength: 4 }),
  }),
];
const rough: fc.Arbitrary<Step>[] = [
  fc.record({
    kind: fc.constant('fault' as const),
    fault: fc.constantFrom<Fault>('lost', 'dropped', 'ENOMEM', 'ENOENT', 'ESRCH', 'EEXIST', 'EINVAL'),
    skip: fc.integer({ min: 0, max: 12 }),
    times: fc.integer({ min: 1, max: 4 }),
  }),
  fc.record({
    kind: fc.constant('readFault' as const),
    read: fc.constantFrom<FakeRead>('services', 'entries', 'addresses', 'destinations', 'links', 'localRoutes'),
  }),
  fc.constant({ kind: 'resync' as const }),
  fc.record({
    kind: fc.constant('rulesFault' as const),
    call: fc.constantFrom('save' as const, 'restore' as const),
    times: fc.integer({ min: 1, max: 3 }),
  }),
];
const meddling: fc.Arbitrary<Step> = fc.record({
  kind: fc.constant('meddle' as const),
  what: fc.constantFrom(
    'service' as const,
    'destination' as const,
    'entry' as const,
    'address' as const,
    'link' as const,
    'route' as const,
  ),
  pick: fc.nat(),
});

const serviceKey = (index: number): string => `ns1/s${index}`;

class History {
  readonly records = new Map<string, ObjectRecord>();
  readonly world: World;
  /** Virtual services of others, as they made them. */
  readonly foreign = new Map<string, FakeService>();

  #rulesFaults = { save: 0, restore: 0 };
  #drains: readonly EndpointDrain[] = [];

  constructor(kernel: FakeKernel, init: ConstructorParameters<typeof World>[1] = {}) {
    this.world = new World(kernel, init);
    const { iptables } = this.world;
    const [save, restore] = [iptables.save.bind(iptables), iptables.restore.bind(iptables)];
    const meet = (call: 'save' | 'restore'): void => {
      this.#rulesFaults[call] -= 1;
      if (this.#rulesFaults[call] >= 0) throw new ProxierError('ERR_IPTABLES', `${call} failed`);
    };
    iptables.save = async (family) => {
      meet('save');
      return save(family);
    };
    iptables.restore = async (family, text) => {
      meet('restore');
      return restore(family, text);
    };
  }

  heal(): void {
    this.world.kernel.heal();
    this.#rulesFaults = { save: 0, restore: 0 };
  }

  async begin(): Promise<void> {
    // A fault may meet the start itself: the proxier then starts again.
    for (let attempt = 0; ; attempt += 1) {
      try {
        await this.world.start();
        break;
      } catch (error) {
        if (attempt > 20) throw error;
        this.world.die();
      }
    }
    if (this.#drains.length > 0) await this.drain(this.#drains);
    const message = { records: [...this.records.values()], snapshot: 'whole', allSynced: true } as const;
    await this.world.send({ kind: 'records', nowMs: this.world.nowMs, message });
  }

  async drain(endpoints: readonly EndpointDrain[]): Promise<void> {
    this.#drains = endpoints;
    await this.world.send({ kind: 'drain', nowMs: this.world.nowMs, endpoints });
  }

  async say(record: ObjectRecord): Promise<void> {
    const name = `${record.kind} ${record.key}`;
    if (record.body === null) this.records.delete(name);
    else this.records.set(name, record);
    const message = { records: [record], allSynced: true };
    await this.world.send({ kind: 'records', nowMs: this.world.nowMs, message });
  }

  async take(step: Step): Promise<void> {
    const { world } = this;
    switch (step.kind) {
      case 'service': {
        const { port, nodePort, protocol } = step;
        const body = step.vips === undefined ? {} : vipBody(step.vips);
        const options = { port, nodePort, protocol, createdMs: 1 + step.id, body };
        return this.say(service(serviceKey(step.id), `10.96.0.${10 + step.ip}`, options));
      }
      case 'slice': {
        const addresses = step.endpoints.map((index) => `10.244.1.${index}`);
        return this.say(
          slice(`ns1/x${step.id}`, serviceKey(step.of), addresses, { protocol: step.protocol, local: step.local }),
        );
      }
      case 'removeService':
        return this.say(service(serviceKey(step.id), null));
      case 'removeSlice':
        return this.say(slice(`ns1/x${step.id}`, '', null));
      case 'fault': {
        let skip = step.skip;
        return world.kernel.failNext(
          ({ verb }) => {
            // To the session this is a thing that is there, or gone, already: a kernel that says so of another is none.
            const isDone =
              (verb.startsWith('remove-') && (step.fault === 'ENOENT' || step.fault === 'ESRCH')) ||
              ((verb === 'add-address' || verb === 'add-local-route') && step.fault === 'EEXIST');
            skip -= 1;
            return skip < 0 && !isDone;
          },
          step.fault,
          step.times,
        );
      }
      case 'readFault':
        return world.kernel.failRead(step.read, 'ENOBUFS');
      case 'pass':
        await world.pass(step.ms);
        return;
      case 'restart':
        world.die();
        world.init = { ...world.init, vipBinding: step.vipBinding };
        this.#handOver();
        return this.begin();
      case 'resync':
        await world.resync();
        return;
      case 'together': {
        const full = world.resync();
        const addresses = step.endpoints.map((index) => `10.244.1.${index}`);
        await this.say(slice(`ns1/x${step.id}`, serviceKey(step.id), addresses));
        await full;
        return;
      }
      case 'drain':
        return this.drain(
          step.endpoints.map((index) => ({ id: index, address: ip(`10.244.1.${index}`), timeoutMs: 5000, held: true })),
        );
      case 'connections': {
        const all = destinationsOf(world.kernel);
        const [service, destination] = all[step.pick % Math.max(1, all.length)] ?? [];
        if (service === undefined || destination === undefined) return;
        return world.kernel.setConnections(service, destination, step.count, 0);
      }
      case 'rulesFault':
        this.#rulesFaults[step.call] = step.times;
        return;
      case 'foreign':
        return this.#foreign(step.ip, step.port, step.protocol);
      case 'foreignGone':
        this.foreign.delete(foreignText(step));
        world.kernel.outside.services.delete(foreignText(step));
        return;
      case 'meddle':
        return meddle(world.kernel, step.what, step.pick);
    }
  }

  /** Where there is none. */
  #foreign(index: number, port: number, protocol: Protocol): void {
    const { outside } = this.world.kernel;
    const name = foreignText({ ip: index, port, protocol });
    if (outside.services.has(name)) return;
    foreignService(this.world.kernel, foreignAddress(index), port, protocol);
    const made = outside.clone().services.get(name);
    if (made !== undefined) this.foreign.set(name, made);
  }

  /** The limit of the ledger: what a new process finds beside our addresses, tuples and node ports is ours to it. */
  #handOver(): void {
    const { services, sets, addresses } = this.world.kernel.outside;
    const nodeAddresses = [...addresses.values()].filter(({ link }) => link !== 'kube-ipvs0').map((one) => one.address);
    const ledger = {
      sets: new Map([...sets].map(([name, { entries }]) => [name, entries])),
      vipAddresses: new Set(boundVips(this.world.kernel)),
      interfaceAddresses: new Set(nodeAddresses),
    };
    for (const [name, { service }] of this.foreign) {
      if (services.has(name) && ownershipOf(service.key, ledger) === 'ours') this.foreign.delete(name);
    }
  }

  /** None of theirs is ever touched. */
  checkForeign(): void {
    for (const [name, made] of this.foreign) {
      assert.deepEqual(this.world.kernel.outside.services.get(name), made, `${name} is not ours`);
    }
  }
}

function foreignAddress(index: number): string {
  return index === 3 ? '192.168.1.10' : `10.96.0.${10 + index}`;
}

function foreignText({ ip: index, port, protocol }: { ip: number; port: number; protocol: Protocol }): string {
  return `${protocol} ${foreignAddress(index)}:${port}`;
}

function meddle({ outside }: FakeKernel, what: string, pick: number): void {
  const one = <T>(all: readonly T[]): T | undefined => all[pick % Math.max(1, all.length)];
  if (what === 'link') outside.removeLink('kube-ipvs0');
  const id = one([...outside.services.keys()].filter((key) => key !== foreignId));
  const node = id === undefined ? undefined : outside.services.get(id);
  if (what === 'service' && id !== undefined) outside.services.delete(id);
  if (what === 'destination') node?.destinations.clear();
  if (what === 'entry') one([...outside.sets.values()])?.entries.clear();
  const address = one([...outside.addresses.keys()].filter((key) => key.startsWith('kube-ipvs0')));
  if (what === 'address' && address !== undefined) outside.addresses.delete(address);
  const route = one([...outside.localRoutes.keys()]);
  if (what === 'route' && route !== undefined) outside.localRoutes.delete(route);
}

/** One that is bound in both ways is there twice. */
function boundVips({ outside }: FakeKernel): IpAddress[] {
  return [
    ...[...outside.addresses.values()].filter(({ link }) => link === 'kube-ipvs0'),
    ...outside.localRoutes.values(),
  ].map(({ address }) => address);
}

function destinationsOf({ outside }: FakeKernel): [string, string][] {
  return [...outside.services].flatMap(([service, { destinations }]) =>
    [...destinations.keys()].map((destination): [string, string] => [service, destination]),
  );
}

const foreignId = 'tcp 172.31.1.1:80';
function kernelWithForeign(): FakeKernel {
  const kernel = newKernel();
  const key = { protocol: 'tcp', address: ip('172.31.1.1'), port: 80 } as const;
  kernel.outside.apply({ verb: 'create-service', service: { key, scheduler: 'wlc', flags: 0, timeoutSeconds: 0 } });
  return kernel;
}

/** What a first start on an untouched kernel makes of the records. */
async function ideal({ records, foreign, world: { init } }: History): Promise<string> {
  const history = new History(kernelWithForeign());
  history.world.init = init;
  for (const [name, record] of records) history.records.set(name, record);
  for (const [name, made] of foreign) history.world.kernel.outside.services.set(name, made);
  await history.begin();
  return history.world.kernel.dump();
}

async function live(steps: readonly Step[], kernel: FakeKernel, init: Partial<ReconcileInit> = {}): Promise<History> {
  const history = new History(kernel, init);
  const { afterEach } = kernel;
  kernel.afterEach = (operation) => {
    afterEach?.(operation);
    history.checkForeign();
  };
  await history.begin();
  for (const step of steps) await history.take(step);
  history.heal();
  await history.drain([]);
  for (const [key, destination] of destinationsOf(kernel)) kernel.setConnections(key, destination, 0, 0);
  const report = await history.world.resync();
  assert.deepEqual(report.failures, []);
  await history.world.pass(5000);
  return history;
}

/** What must hold at every moment of a history that nobody meddles with: a bound address shows no port of the host's own. */
function checkMoment(kernel: FakeKernel, operation: Operation, mayFail: boolean): void {
  const { sets, services } = kernel.outside;
  const bound = new Set(boundVips(kernel));
  for (const address of bound) {
    assert.ok(sets.get('KUBE-IPVS-IPS')?.entries.has(address), `${address} is bound and not protected`);
    // An address that could not be unbound stays behind, protected, and so does one whose next virtual service waits for its rule; none is
    // bound before what serves it is there.
    const mayWait = mayFail || address.startsWith('198.18.');
    if (mayWait && boundBy(operation) !== address) continue;
    const served = [...services.values()].some(({ service: { key } }) => 'address' in key && key.address === address);
    assert.ok(served, `${address} is bound and nothing serves it`);
  }
  for (const entry of mayFail ? [] : (sets.get('KUBE-CLUSTER-IP')?.entries ?? [])) {
    const [address = '', protocol = '', port = ''] = entry.split(/[,:]/);
    assert.ok(
      ![...bound].some((vip) => vip === address) || services.has(`${protocol} ${address}:${port}`),
      `${entry} lets packets to a host port through`,
    );
  }
}

function boundBy(operation: Operation): IpAddress | undefined {
  if (operation.verb === 'add-address') return operation.address.address;
  return operation.verb === 'add-local-route' ? operation.route.address : undefined;
}

test('without faults: as wanted at every moment, and in the end', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(...quiet), { maxLength: 25 }), async (steps) => {
      const kernel = kernelWithForeign();
      kernel.afterEach = (operation) => checkMoment(kernel, operation, false);
      const history = await live(steps, kernel);
      assert.equal(kernel.dump(), await ideal(history));
    }),
    { numRuns: runs(150) },
  );
});

test('with refusals, lost answers and unreadable tables: never unprotected, and right in the end', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(...quiet, ...rough), { maxLength: 30 }), async (steps) => {
      const kernel = kernelWithForeign();
      kernel.afterEach = (operation) => checkMoment(kernel, operation, true);
      const history = await live(steps, kernel);
      assert.equal(kernel.dump(), await ideal(history));
    }),
    { numRuns: runs(200) },
  );
});

test('with Services and endpoints that drain: reachable and protected while they do, and right in the end', async () => {
  const init = { drainServices: true, drainTimeoutMs: 20_000 };
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(...quiet, ...slow, ...rough), { maxLength: 30 }), async (steps) => {
      const kernel = kernelWithForeign();
      const mayFail = steps.some(({ kind }) => kind.endsWith('ault'));
      kernel.afterEach = (operation) => checkMoment(kernel, operation, mayFail);
      const history = await live(steps, kernel, init);
      assert.equal(kernel.dump(), await ideal(history));
    }),
    { numRuns: runs(200) },
  );
});

test('beside others who have virtual services on our addresses, and with records during passes: theirs stay, ours are right', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(...quiet, ...others, ...rough), { maxLength: 30 }), async (steps) => {
      const kernel = kernelWithForeign();
      const history = await live(steps, kernel);
      history.checkForeign();
      // An address bound for a port that has gone stays while a contested one is wanted there.
      const withoutShared = (dump: string): string =>
        [...history.foreign.values()].reduce((text, { service: { key } }) => {
          const address = 'address' in key ? key.address : '';
          return text
            .replaceAll(`add KUBE-IPVS-IPS ${address}\n`, '')
            .replaceAll(new RegExp(`^(kube-ipvs0|local) ${address}/32 .*\\n`, 'gm'), '')
            .trimEnd();
        }, dump.trimEnd());
      assert.equal(withoutShared(kernel.dump()), withoutShared(await ideal(history)));
    }),
    { numRuns: runs(300) },
  );
});

test('with somebody meddling on top: right in the end', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(...quiet, ...rough, meddling), { maxLength: 30 }), async (steps) => {
      const kernel = kernelWithForeign();
      const history = await live(steps, kernel);
      assert.equal(kernel.dump(), await ideal(history));
    }),
    { numRuns: runs(200) },
  );
});
