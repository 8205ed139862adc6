/** What others do to the host, and what the host is asked for, on a real kernel: T25, T76, time-outs, sysctls, schedulers it lacks. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { Batch } from '../../lib/kernel/batch.ts';
import { openSession } from '../../lib/kernel/linux-session.ts';
import { type KernelSession, readAll } from '../../lib/kernel/session.ts';
import { serviceId } from '../../lib/plan/state.ts';
import type { ReconcileEvent, ReconcileInit, ReconcileReply, ReconcileRequest } from '../../lib/reconcile/protocol.ts';
import { createHandler } from '../../lib/reconcile/worker-module.ts';
import type { ObjectRecord, ServiceTuning } from '../../lib/records.ts';
import type { Handler } from '../../lib/thread/host.ts';
import { defaultInit } from '../harness/default-init.ts';
import { runTool } from '../harness/run-tool.ts';
import { clearTables } from '../harness/topology.ts';
import { ip, service } from '../unit/reconcile/world.ts';

const link = 'host-node0';
const init: ReconcileInit = {
  ...defaultInit,
  syncPeriodMs: 3_600_000,
  nodePortAddresses: ['192.168.78.0/24'],
  strictARP: true,
  ipvsTimeouts: { tcpSeconds: 0, tcpFinSeconds: 60, udpSeconds: 0 },
  conntrack: { udpStreamTimeoutSeconds: 100 },
};
/** The kernel's own; another test may have set others. */
const kernelTimeouts = { tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 300 };
const settings = [
  'net/ipv4/conf/all/arp_ignore',
  'net/ipv4/conf/all/arp_announce',
  'net/netfilter/nf_conntrack_udp_timeout_stream',
];

function tuned(record: ObjectRecord, tuning: ServiceTuning): ObjectRecord {
  return record.kind === 'service' && record.body !== null ? { ...record, body: { ...record.body, tuning } } : record;
}

function read(key: string): string {
  return readFileSync(`/proc/sys/${key}`, 'utf8').trim();
}

describe('the host', () => {
  let session: KernelSession;
  let handler: Handler<ReconcileRequest, ReconcileReply>;
  let nowMs = 1_000_000;
  let asBefore: readonly string[];
  const events: ReconcileEvent[] = [];

  async function send(request: ReconcileRequest): Promise<void> {
    const reply = await handler.handle(request);
    assert.deepEqual(reply.report?.failures ?? [], []);
    events.push(...reply.events);
  }

  async function nextSecond(): Promise<void> {
    nowMs += 1000;
    await send({ kind: 'tick', nowMs });
  }

  function services(): string[] {
    return readAll(session.services())
      .flatMap(({ key, scheduler }) => ('fwmark' in key ? [] : [`${serviceId(key)} ${scheduler}`]))
      .sort();
  }

  function vips(): string[] {
    return readAll(session.addresses())
      .filter((address) => address.link === 'kube-ipvs0')
      .map(({ address }) => address);
  }

  const onNode = (address: string) => ({ link, address: ip(address), prefixLength: 24 });

  before(async () => {
    await clearTables();
    await runTool('ip', ['link', 'add', link, 'type', 'dummy']);
    await runTool('ip', ['addr', 'add', '192.168.78.10/24', 'dev', link]);
    await runTool('modprobe', ['nf_conntrack']);
    asBefore = settings.map(read);
    session = openSession();
    session.run(new Batch().setTimeouts(kernelTimeouts));
    handler = createHandler(init);
    await send({ kind: 'start', nowMs });
    const records = [tuned(service('ns1/web', '10.96.0.10', { nodePort: 30080 }), { scheduler: 'nosuch' })];
    await send({ kind: 'records', nowMs, message: { records, allSynced: true } });
  });

  after(async () => {
    await handler?.close?.();
    session?.run(new Batch().setTimeouts(kernelTimeouts));
    session?.close();
    settings.forEach((key, index) => {
      writeFileSync(`/proc/sys/${key}`, asBefore?.[index] ?? '');
    });
    await runTool('ip', ['link', 'del', link], { mayFail: true });
    await clearTables();
  });

  test('has the settings that were asked for', () => {
    assert.deepEqual(settings.map(read), ['1', '2', '100']);
    assert.deepEqual(session.timeouts(), { ...kernelTimeouts, tcpFinSeconds: 60 });
  });

  test('lacks a scheduler: that Service has the default one, and the warning says so', () => {
    assert.deepEqual(services(), ['tcp 10.96.0.10:80 rr', 'tcp 192.168.78.10:30080 rr']);
    const warnings = events.flatMap((event) => (event.kind === 'warning' ? [event] : []));
    assert.match(
      warnings.find(({ object }) => object === 'service ns1/web')?.message ?? '',
      /no IPVS scheduler "nosuch"/,
    );
  });

  test('gets an address, and loses one: node ports follow (T25)', async () => {
    session.run(new Batch().addAddress(onNode('192.168.78.11')).removeAddress(link, ip('192.168.78.10'), 24));
    await nextSecond();
    assert.ok(!services().some((text) => text.includes('192.168.78.10')), services().join());
    session.run(new Batch().addAddress(onNode('192.168.78.12')));
    await nextSecond();
    assert.ok(services().includes('tcp 192.168.78.12:30080 rr'), services().join());
  });

  test('loses a VIP, or the VIP device: they are put back (T76)', async () => {
    session.run(new Batch().removeAddress('kube-ipvs0', ip('10.96.0.10'), 32));
    assert.deepEqual(vips(), []);
    await nextSecond();
    assert.deepEqual(vips(), ['10.96.0.10']);
    session.run(new Batch().removeLink('kube-ipvs0'));
    await nextSecond();
    assert.deepEqual(vips(), ['10.96.0.10']);
  });
});
