/**
 * Packets after every single operation of the passes that bring, change and take away a load balancer IP, which is where a proxier may be
 * interrupted: who asks is answered as before the pass or as after it, and in no third way. So nobody gets in who must not, no back end sees
 * a client that it cannot answer, and no daemon of the host answers for a VIP. (Every kind of pass: test/property/windows.test.ts.)
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Batch } from '../../lib/kernel/batch.ts';
import { openSession } from '../../lib/kernel/linux-session.ts';
import type { KernelSession } from '../../lib/kernel/session.ts';
import { operationText } from '../../lib/kernel/text.ts';
import type { Operation } from '../../lib/operations.ts';
import type { ReconcileInit, ReconcileReply, ReconcileRequest } from '../../lib/reconcile/protocol.ts';
import { createHandler } from '../../lib/reconcile/worker-module.ts';
import type { ObjectRecord, ServiceBody } from '../../lib/records.ts';
import type { InlineHost } from '../../lib/thread/inline-host.ts';
import { openInlineHost } from '../../lib/thread/inline-host.ts';
import { defaultInit } from '../harness/default-init.ts';
import type { Outcome } from '../harness/netpeer.ts';
import { ip, nodeAddresses, service, servicePort, slice } from '../harness/records.ts';
import { addresses, clearTables, type PeerName, Topology } from '../harness/topology.ts';
import { WatchedWorld } from '../harness/watched-world.ts';
import { Watcher } from '../harness/watcher.ts';

const vip = '198.18.0.1';
const init: ReconcileInit = { ...defaultInit, nodePortAddresses: ['192.168.1.0/24'] };

const ports = [servicePort('a', 80, 'tcp', 30080), servicePort('b', 81)];
const endpoints = [{ address: addresses.p1.ipv4, local: true }, { address: addresses.p3.ipv4 }];
const slicePorts = [
  { name: 'a', protocol: 'tcp' as const, port: 8080 },
  { name: 'b', protocol: 'tcp' as const, port: 9090 },
];
/** Pods of this node, and the node itself. The client is somebody else. */
const closed = ['10.244.1.0/24', '192.168.1.10/32'];

function web(body: Partial<ServiceBody> = {}): ObjectRecord {
  const ranges = { hasSourceRanges: true, sourceRanges: closed };
  return service({ ports, loadBalancerIPs: [ip(vip)], ...ranges, ...body }, 'ns1/web');
}

interface Pass {
  readonly name: string;
  readonly change: readonly ObjectRecord[];
}

const appearing: readonly Pass[] = [
  {
    name: 'a load balancer IP with source ranges appears',
    change: [web(), slice(endpoints, { key: 'ns1/web-1', service: 'ns1/web', ports: slicePorts })],
  },
];
const changing: readonly Pass[] = [
  { name: 'its source ranges are lifted', change: [web({ hasSourceRanges: false, sourceRanges: [] })] },
  {
    name: 'its policy becomes Local',
    change: [web({ hasSourceRanges: false, sourceRanges: [], externalPolicyLocal: true })],
  },
  { name: 'its policy becomes Cluster again', change: [web({ hasSourceRanges: false, sourceRanges: [] })] },
  {
    name: 'a port goes, and the VIP stays',
    change: [web({ hasSourceRanges: false, sourceRanges: [], ports: ports.slice(0, 1) })],
  },
];
const going: readonly Pass[] = [
  {
    name: 'another Service takes the VIP over, with source ranges',
    change: [
      service(null, 'ns1/web'),
      service(
        {
          ...{ clusterIPs: [ip('10.96.0.11')], loadBalancerIPs: [ip(vip)], ports: [servicePort('a', 80)] },
          ...{ hasSourceRanges: true, sourceRanges: closed },
        },
        'ns1/next',
      ),
      slice([{ address: addresses.p2.ipv4, local: true }], {
        ...{ key: 'ns1/next-1', service: 'ns1/next', ports: slicePorts },
      }),
    ],
  },
  { name: 'it goes', change: [service(null, 'ns1/next')] },
];

/** Who asks, all the time. The host has daemons of its own on ports 80 and 81 of all its addresses. */
const questions: readonly { readonly from: PeerName; readonly address: string; readonly port: number }[] = [
  { from: 'client', address: vip, port: 80 },
  { from: 'client', address: vip, port: 81 },
  { from: 'client', address: addresses.n1.ipv4, port: 30080 },
  { from: 'p2', address: vip, port: 80 },
];

describe('packets after every operation of a pass', () => {
  let topology: Topology;
  let session: KernelSession;
  let host: InlineHost<ReconcileRequest, ReconcileReply>;
  /** The same reconciler on the fake kernel, which says what is sent. */
  let world: WatchedWorld;
  const sent: Operation[] = [];
  const said: ObjectRecord[] = [];
  const watchers: Watcher[] = [];
  let stream: Watcher | undefined;

  before(async () => {
    await clearTables();
    topology = await Topology.create();
    for (const pod of ['p1', 'p2', 'p3'] as const) await topology.serve(pod, 'tcp:8080', 'tcp:9090');
    await topology.serve('n1', 'tcp:80', 'tcp:81');
    host = await openInlineHost({ createHandler }, init);
    await host.call({ kind: 'start', nowMs: 0 });
    session = openSession();
    world = new WatchedWorld(init);
    await world.start();
    await world.change([nodeAddresses(addresses.n1.ipv4)]);
    const { afterEach } = world.kernel;
    world.kernel.afterEach = (operation) => {
      afterEach?.(operation);
      sent.push(operation);
    };
    for (const { from, address, port } of questions) {
      const options = { count: 0, intervalMs: 10, timeoutMs: 100 };
      watchers.push(new Watcher(topology.startAsking(from, 'tcp', address, port, options)));
    }
  });

  after(async () => {
    for (const watcher of watchers) await watcher.stop();
    session?.close();
    await host?.close();
    await topology?.[Symbol.asyncDispose]();
    await clearTables();
  });

  /**
   * What each is told from now on: the first outcome may be of before. A single time-out says little where somebody has answered so far, as
   * the test kernel may just have been slow.
   */
  async function answers(count: number, old: readonly ReadonlySet<string>[] = []): Promise<ReadonlySet<string>[]> {
    const starts = watchers.map(({ outcomes }) => outcomes.length);
    return Promise.all(
      watchers.map(async (watcher, index) => {
        const start = (starts[index] ?? 0) + 1;
        const timeouts = old[index]?.has(nobody) === true ? 1 : count + 3;
        const told = (): readonly Outcome[] => watcher.outcomes.slice(start);
        const isKnown = await watcher.until(() => {
          const some = told();
          return some.filter(({ kind }) => kind !== 'timeout').length >= count || some.length >= timeouts;
        });
        assert.ok(isKnown, `nothing became of ${JSON.stringify(questions[index])}`);
        const answered = told().filter(({ kind }) => kind !== 'timeout');
        return new Set(answered.length === 0 ? [nobody] : answered.map(outcomeText));
      }),
    );
  }

  function write(operation: Operation): void {
    const { failures } = session.run(new Batch().push(operation));
    assert.deepEqual(failures, []);
  }

  const stepped = ({ name, change }: Pass): void => {
    test(name, async () => {
      const old = await answers(4);
      sent.length = 0;
      said.push(...change);
      await world.change(change);
      await world.pass(2000);
      const operations = sent.splice(0);
      assert.ok(operations.length > 0);
      const between: { readonly operation: string; readonly seen: readonly ReadonlySet<string>[] }[] = [];
      for (const operation of operations) {
        write(operation);
        between.push({ operation: operationText(operation), seen: await answers(2, old) });
      }
      const now = await answers(4);
      for (const { operation, seen } of between) {
        seen.forEach((outcomes, index) => {
          const expected = new Set([...(old[index] ?? []), ...(now[index] ?? [])]);
          for (const outcome of outcomes) {
            const { from, address, port } = questions[index] ?? {};
            assert.ok(
              expected.has(outcome),
              `after ${operation}: ${from} asks ${address}:${port}: ${outcome}, and not ${[...expected].join(' or ')}`,
            );
          }
        });
      }
    });
  };

  appearing.forEach(stepped);
  test('a connection is opened, and kept through all that changes while its Service is there', async () => {
    const options = { count: 0, intervalMs: 50, keep: true };
    stream = new Watcher(topology.startAsking('p2', 'tcp', '10.96.0.10', 80, options));
    assert.ok(await stream.until(({ length }) => length > 0));
  });
  changing.forEach(stepped);
  test('every request over the connection was answered, by one pod', async () => {
    assert.ok(stream !== undefined);
    const { length } = stream.outcomes;
    assert.ok(await stream.until((outcomes) => outcomes.length > length));
    await stream.stop();
    assert.deepEqual(stream.failures, []);
    const names = new Set(stream.outcomes.map((outcome) => (outcome.kind === 'answered' ? outcome.name : '')));
    assert.equal(names.size, 1, [...names].join());
  });
  going.forEach(stepped);

  test('a real reconciler finds what was written as it would have written it', async () => {
    const message = { records: said, allSynced: true };
    const { report } = await host.call({ kind: 'records', nowMs: 500, message });
    assert.deepEqual([report?.operations, report?.failures], [0, []]);
  });
});

/** Refused or dropped: that a refusal is told is not promised, ICMP has a rate limit. */
const nobody = 'nobody';

/**
 * Whose back end answered and whom it took for the client. Which of two is chance; one on another node that saw the client itself cannot
 * answer it.
 */
function outcomeText(outcome: Outcome): string {
  if (outcome.kind !== 'answered') return nobody;
  const owner = { p1: 'web', p3: 'web', p2: 'next' }[outcome.name] ?? outcome.name;
  return `${owner} saw ${outcome.source === outcome.local ? 'the client' : 'the node'}`;
}
