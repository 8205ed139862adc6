/**
 * The real kube-proxy's dumps against what a Proxier puts into the real kernel, one manifest after the other in one network namespace: each
 * must come out entry for entry, whatever was there before. What differs on purpose is what the rules of
 * test/harness/kube-proxy-differences.ts explain. And a Proxier that finds kube-proxy's tables writes that difference and nothing else.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Proxier, type SyncReport } from '../../lib/index.ts';
import { differencesOf } from '../harness/kube-proxy-differences.ts';
import {
  createdSet,
  fixtureDump,
  fixtureFolder,
  fixtureNames,
  fixtureObjects,
  type KubeProxyDump,
} from '../harness/kube-proxy-dump.ts';
import type { Tables } from '../harness/kube-proxy-model.ts';
import { clusterOf } from '../harness/object-records.ts';
import { ip } from '../harness/records.ts';
import { restoreDump } from '../harness/restore-dump.ts';
import { ruleLines } from '../harness/rule-lines.ts';
import { runTool } from '../harness/run-tool.ts';
import { clearTables } from '../harness/topology.ts';

async function lines(program: string, ...args: string[]): Promise<string[]> {
  return (await runTool(program, args)).split('\n').filter((line) => line !== '');
}

/** Somebody else's, there all the time. */
const foreign = ['-A -t 172.31.1.1:80 -s wlc', '-A -f 77 -s rr'];

/** What is there; the virtual services of others apart, which must be there. */
async function tables(): Promise<Tables & Pick<KubeProxyDump, 'created'>> {
  const ipvs = await lines('ipvsadm', '-Sn');
  const ipset = await lines('ipset', 'save');
  const bound = await lines('ip', '-o', 'addr', 'show', 'dev', 'kube-ipvs0');
  for (const line of foreign) assert.ok(ipvs.includes(line), line);
  return {
    ipvs: ipvs.filter((line) => !foreign.includes(line)).sort(),
    sets: ipset.filter((line) => line.startsWith('add ')).sort(),
    created: ipset
      .filter((line) => line.startsWith('create '))
      .map(createdSet)
      .sort(),
    addresses: bound.map((line) => / inet6? ([^/]+)\//.exec(line)?.[1] ?? '').sort(),
    rules: new Map([
      ['IPv4', ruleLines(await lines('iptables-legacy-save'))],
      ['IPv6', ruleLines(await lines('ip6tables-legacy-save'))],
    ]),
  };
}

/** How many lines only one of them has. */
function differing(some: readonly string[], others: readonly string[]): number {
  return some.filter((line) => !others.includes(line)).length + others.filter((line) => !some.includes(line)).length;
}

/** A Proxier with the fixture's manifest, until it is done. In this thread: what is written is the same, and a worker takes the test kernel seconds to start. */
async function runProxier(name: string): Promise<SyncReport> {
  const manifests = join(fixtureFolder, `${name}.json`);
  const handle = await new Proxier({ nodeName: 'node-a', manifests, drainTimeoutMs: 0, thread: 'inline' }).run();
  try {
    assert.deepEqual(handle.report.failures, []);
    // What was there before and is left draining goes at the first drain tick.
    for (let report = handle.report; report.draining > 0; ) report = await handle.resync();
    return handle.report;
  } finally {
    await handle.stop();
  }
}

function unexplained(name: string, ours: Tables): readonly unknown[] {
  const interfaceAddresses = ['192.168.50.10', 'fd00:50::10'].map(ip);
  const cluster = { ...clusterOf(fixtureObjects(name), 'node-a'), interfaceAddresses };
  return differencesOf(fixtureDump(name), ours, cluster).filter(({ rule }) => rule === undefined);
}

describe('manifests that the real kube-proxy was given', () => {
  before(async () => {
    await clearTables();
    await runTool('ip', ['link', 'set', 'lo', 'up']);
    await runTool('ip', ['link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0-peer']);
    await runTool('ip', ['addr', 'add', '192.168.50.10/24', 'dev', 'eth0']);
    await runTool('ip', ['addr', 'add', 'fd00:50::10/64', 'dev', 'eth0', 'nodad']);
    await runTool('ip', ['link', 'set', 'eth0', 'up']);
    await addForeign();
  });

  after(async () => {
    await runTool('ip', ['link', 'delete', 'eth0'], { mayFail: true });
    await clearTables();
  });

  async function addForeign(): Promise<void> {
    await runTool('ipvsadm', ['-R'], { input: `${foreign.join('\n')}\n` });
  }

  for (const name of fixtureNames())
    test(name, async () => {
      await runProxier(name);
      const dump = fixtureDump(name);
      const ours = await tables();
      assert.deepEqual(ours.created, dump.created);
      assert.deepEqual(unexplained(name, ours), []);
      const wanted = [...dump.sysctls].filter(
        ([key]) => key.startsWith('net.ipv4.vs.') || key === 'net.ipv4.ip_forward',
      );
      for (const [key, value] of wanted) assert.equal((await lines('sysctl', '-n', key))[0], value, key);
    });

  for (const name of fixtureNames())
    test(`${name}, taken over from kube-proxy: nothing that is right is written`, async () => {
      await clearTables();
      await addForeign();
      await restoreDump(name);
      const { byVerb } = await runProxier(name);
      const dump = fixtureDump(name);
      const ours = await tables();
      const written = (verbs: RegExp): number =>
        Object.entries(byVerb).reduce((sum, [verb, count]) => sum + (verbs.test(verb) ? count : 0), 0);
      const counts = {
        ipvs: written(/-(service|destination)$/),
        entries: written(/-entry$/),
        addresses: written(/-address$/),
        others: written(/-(set|sets|link|local-route|services)$/),
      };
      assert.deepEqual(counts, {
        ipvs: differing(dump.ipvs, ours.ipvs),
        entries: differing(dump.sets, ours.sets),
        addresses: differing(dump.addresses, ours.addresses),
        others: differing(dump.created, ours.created),
      });
      assert.deepEqual(unexplained(name, ours), []);
    });
});
