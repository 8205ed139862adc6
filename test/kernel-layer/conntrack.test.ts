/** Connection tracking on a real kernel, judged by the conntrack tool. In this process's network namespace: leaves the table empty. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import fc from 'fast-check';
import { parseAddress } from '../../lib/address.ts';
import { Batch } from '../../lib/kernel/batch.ts';
import { openKernel } from '../../lib/kernel/client.ts';
import { openSession } from '../../lib/kernel/linux-session.ts';
import { type KernelSession, readAll } from '../../lib/kernel/session.ts';
import { connectionText } from '../../lib/kernel/text-route.ts';
import { matchesFilter } from '../../lib/testing/fake-connections.ts';
import type { Connection, ConnectionFilter, ConnectionTuple, IpAddress } from '../../lib/types.ts';
import { runTool } from '../harness/run-tool.ts';

function ip(text: string): IpAddress {
  const parsed = parseAddress(text);
  assert.ok(parsed !== undefined, text);
  return parsed;
}

interface Wanted {
  readonly protocol: 'udp' | 'tcp' | 'sctp';
  readonly from: string;
  readonly to: string;
  readonly port: number;
  /** Where the answers come from, when it is another address than `to`. */
  readonly endpoint?: string;
  readonly mark?: number;
  readonly zone?: number;
}

const CONNECTIONS: readonly Wanted[] = [
  { protocol: 'udp', from: '10.1.0.1', to: '10.96.0.10', port: 53, endpoint: '10.244.0.5' },
  { protocol: 'udp', from: '10.1.0.2', to: '10.96.0.10', port: 53, endpoint: '10.244.0.6', mark: 0x4000 },
  { protocol: 'udp', from: '10.1.0.1', to: '10.96.0.11', port: 53, zone: 7 },
  { protocol: 'tcp', from: '10.1.0.1', to: '10.96.0.10', port: 80, endpoint: '10.244.0.5' },
  { protocol: 'sctp', from: '10.1.0.1', to: '10.96.0.10', port: 9 },
  { protocol: 'udp', from: 'fd01::1', to: 'fd96::10', port: 53, endpoint: 'fd24::5' },
  { protocol: 'tcp', from: 'fd01::1', to: 'fd96::10', port: 80 },
  { protocol: 'sctp', from: 'fd01::1', to: 'fd96::10', port: 9 },
];
const STATE = { udp: [], tcp: ['--state', 'ESTABLISHED'], sctp: ['--state', 'ESTABLISHED'] } as const;

async function insert({ protocol, from, to, port, endpoint = to, mark, zone }: Wanted): Promise<void> {
  await runTool('conntrack', [
    ...['-I', '-p', protocol, '-s', from, '-d', to, '--sport', '4711', '--dport', String(port)],
    ...['-r', endpoint, '-q', from, '--reply-port-src', String(port), '--reply-port-dst', '4711', '-t', '6000'],
    ...STATE[protocol],
    ...(protocol === 'sctp' ? ['--orig-vtag', '1', '--reply-vtag', '2'] : []),
    ...(mark === undefined ? [] : ['--mark', String(mark)]),
    ...(zone === undefined ? [] : ['--zone', String(zone)]),
  ]);
}

/** `protocol source port destination port answers-from zone mark`, sorted. */
async function shown(): Promise<string[]> {
  const text = `${await runTool('conntrack', ['-L', '-f', 'ipv4'])}${await runTool('conntrack', ['-L', '-f', 'ipv6'])}`;
  const lines = text.split('\n').flatMap((line) => {
    const [protocol = ''] = line.split(' ');
    const field = (name: string) =>
      [...line.matchAll(new RegExp(` ${name}=(\\S+)`, 'g'))].map(([, value]) => value ?? '');
    const [source, answers] = field('src');
    if (protocol === '' || source === undefined) return [];
    const zone = field('zone')[0] ?? '0';
    return [
      `${protocol} ${source} ${field('sport')[0]} ${field('dst')[0]} ${field('dport')[0]} ${answers} ${zone} ${field('mark')[0] ?? '0'}`,
    ];
  });
  return [...new Set(lines)].sort();
}

function line({ original, reply, zone, mark }: Connection): string {
  const { protocol, source, sourcePort, destination, destinationPort } = original;
  return `${protocol} ${source} ${sourcePort} ${destination} ${destinationPort} ${reply.source} ${zone} ${mark}`;
}

describe('conntrack', () => {
  let session: KernelSession;
  /** Without the zoned one where the kernel has no zones (CONFIG_NF_CONNTRACK_ZONES). */
  let connections = CONNECTIONS;
  let zones = true;
  const all = (filter?: ConnectionFilter) => readAll(session.connections(filter));
  const flush = () => runTool('conntrack', ['-F']);

  before(async () => {
    session = openSession();
    // Asks for the modules of every protocol and both families.
    await flush();
    const zoned = CONNECTIONS.filter(({ zone }) => zone !== undefined);
    zones = (await Promise.allSettled(zoned.map(insert))).every(({ status }) => status === 'fulfilled');
    if (!zones) connections = CONNECTIONS.filter(({ zone }) => zone === undefined);
  });
  beforeEach(async () => {
    await flush();
    for (const wanted of connections) await insert(wanted);
  });
  after(async () => {
    await flush();
    session.close();
  });

  test('what the tool made is read back whole, and every filter takes what it says', async () => {
    const listed = all();
    assert.equal(listed.length, connections.length);
    assert.deepEqual(listed.map(line).sort(), await shown());
    assert.ok(listed.every(({ id, timeoutSeconds }) => id !== 0 && timeoutSeconds > 0 && timeoutSeconds <= 6000));
    assert.equal(new Set(listed.map(({ id }) => id)).size, listed.length);
    const filters: ConnectionFilter[] = [
      { family: 'IPv4' },
      { family: 'IPv6' },
      { protocol: 'udp' },
      { protocol: 'udp', originalDestinationPort: 53 },
      { family: 'IPv4', protocol: 'sctp' },
      { originalSource: ip('10.1.0.1') },
      { originalDestination: ip('10.96.0.10') },
      { originalDestination: ip('fd96::10'), protocol: 'tcp', originalDestinationPort: 80, originalSourcePort: 4711 },
      { replySource: ip('10.244.0.5') },
      { replySource: ip('10.244.0.5'), protocol: 'udp', replySourcePort: 53 },
      { replySource: ip('fd24::5'), replyDestination: ip('fd01::1'), protocol: 'udp', replyDestinationPort: 4711 },
      { family: 'IPv4', protocol: 'udp', originalDestinationPort: 80 },
      { zone: 7 },
      { family: 'IPv4', zone: 0 },
      { mark: { value: 0x4000, mask: 0x4000 } },
      { mark: { value: 0, mask: 0x4000 }, protocol: 'udp' },
      { protocol: 'icmp' },
    ];
    for (const filter of filters) {
      const wanted = listed.filter((connection) => matchesFilter(connection, filter));
      assert.deepEqual(all(filter).map(line).sort(), wanted.map(line).sort(), JSON.stringify(filter));
    }
  });

  test('a removal takes what it names and nothing else, in any order, again and again', async () => {
    const byTuple = all();
    const other = (tuple: ConnectionTuple): ConnectionTuple => ({ ...tuple, sourcePort: tuple.sourcePort + 1 });
    const misses = new Batch();
    for (const { original, zone, id } of byTuple) {
      misses.removeConnection(other(original), { zone });
      misses.removeConnection(original, { zone, id: (id ^ 1) >>> 0 });
      if (zones) misses.removeConnection(original, { zone: zone + 1 });
    }
    assert.deepEqual(session.run(misses).failures, []);
    assert.deepEqual((await shown()).length, byTuple.length);
    // By the original tuple, and by the reply's, with and without the id.
    for (const [index, { original, reply, zone, id }] of byTuple.entries()) {
      const tuple = index % 2 === 0 ? original : reply;
      const batch = new Batch().removeConnection(tuple, { zone, ...(index % 3 === 0 ? { id } : {}) });
      const { failures, applied } = session.run(batch.removeConnection(tuple, { zone }));
      assert.deepEqual([failures, applied], [[], 2]);
      assert.deepEqual(
        await shown(),
        byTuple
          .slice(index + 1)
          .map(line)
          .sort(),
      );
    }
  });

  test('whatever removals are run, the table keeps every connection that none of them names', async () => {
    const table = all();
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            at: fc.nat(table.length - 1),
            twist: fc.constantFrom('none', 'port', 'address', 'zone', 'id', 'protocol' as const),
          }),
          { maxLength: 12 },
        ),
        async (removals) => {
          const batch = new Batch();
          const named = new Set<Connection>();
          const before = all();
          for (const { at, twist } of removals) {
            const connection = before[at % Math.max(before.length, 1)];
            if (connection === undefined) break;
            const { original, zone, id } = connection;
            const protocol = original.protocol === 'udp' ? 'tcp' : 'udp';
            const source = original.source.includes(':') ? ip('fd01::99') : ip('10.1.0.99');
            if (twist === 'port') batch.removeConnection({ ...original, sourcePort: 9999 }, { zone });
            else if (twist === 'address') batch.removeConnection({ ...original, source }, { zone });
            else if (twist === 'zone')
              batch.removeConnection(original, zones ? { zone: 4000 } : { zone, id: (id ^ 1) >>> 0 });
            else if (twist === 'id') batch.removeConnection(original, { zone, id: (id ^ 0x55) >>> 0 });
            else if (twist === 'protocol') batch.removeConnection({ ...original, protocol, sourcePort: 5 }, { zone });
            else {
              batch.removeConnection(original, { zone, id });
              named.add(connection);
            }
          }
          assert.deepEqual(session.run(batch).failures, []);
          const wanted = before.filter((connection) => !named.has(connection));
          assert.deepEqual(all().map(line).sort(), wanted.map(line).sort());
          for (const wanted of connections) await insert(wanted).catch(() => {});
        },
      ),
      { numRuns: 6 },
    );
  });

  test('many by a predicate, up to a limit; the async client does the same over a worker', async () => {
    const first = session.removeConnections({ protocol: 'udp' }, ({ zone }) => zone === 0, { max: 2 });
    assert.deepEqual([first.removed, first.failed, first.limited], [2, 0, true]);
    const second = session.removeConnections({ protocol: 'udp' }, () => true);
    assert.deepEqual([second.removed, second.limited], [zones ? 2 : 1, false]);
    await using kernel = await openKernel();
    const left = await kernel.conntrack.list();
    assert.deepEqual(left.map(line).sort(), await shown());
    const slices: Connection[] = [];
    for await (const slice of kernel.conntrack.stream({ family: 'IPv6' })) slices.push(...slice);
    assert.deepEqual(slices.map(({ original }) => original.protocol).sort(), ['sctp', 'tcp']);
    const gone = await kernel.conntrack.removeWhere({}, ({ original }) => original.protocol === 'tcp');
    assert.deepEqual([gone.examined, gone.removed, gone.failures], [4, 2, []]);
    assert.deepEqual(
      (await kernel.conntrack.list()).map(({ original }) => original.protocol),
      ['sctp', 'sctp'],
    );
    const stop = AbortSignal.abort(new Error('enough'));
    await assert.rejects(
      kernel.conntrack.removeWhere({}, () => true, { signal: stop }),
      /enough/,
    );
  });

  test('the text of a removal is a command that does the same', async () => {
    for (const { original: tuple, zone } of all()) {
      const args = connectionText({ verb: 'remove-connection', tuple, zone }).split(' ');
      await runTool('conntrack', ['-D', ...args]);
    }
    assert.deepEqual(all(), []);
  });
});
