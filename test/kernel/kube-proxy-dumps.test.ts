/**
 * The real kube-proxy's dumps against what a Proxier puts into the real kernel, one manifest after the other in one network namespace: each
 * must come out entry for entry, whatever was there before. What differs on purpose is what the rules of
 * test/harness/kube-proxy-differences.ts explain.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Proxier } from '../../lib/index.ts';
import { differencesOf } from '../harness/kube-proxy-differences.ts';
import { createdSet, fixtureDump, fixtureFolder, fixtureNames, fixtureObjects } from '../harness/kube-proxy-dump.ts';
import type { Tables } from '../harness/kube-proxy-model.ts';
import { clusterOf } from '../harness/object-records.ts';
import { ip } from '../harness/records.ts';
import { ruleLines } from '../harness/rule-lines.ts';
import { runTool } from '../harness/run-tool.ts';
import { clearTables } from '../harness/topology.ts';

async function lines(program: string, ...args: string[]): Promise<string[]> {
  return (await runTool(program, args)).split('\n').filter((line) => line !== '');
}

describe('manifests that the real kube-proxy was given', () => {
  before(async () => {
    await clearTables();
    await runTool('ip', ['link', 'set', 'lo', 'up']);
    await runTool('ip', ['link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0-peer']);
    await runTool('ip', ['addr', 'add', '192.168.50.10/24', 'dev', 'eth0']);
    await runTool('ip', ['addr', 'add', 'fd00:50::10/64', 'dev', 'eth0', 'nodad']);
    await runTool('ip', ['link', 'set', 'eth0', 'up']);
  });

  after(async () => {
    await runTool('ip', ['link', 'delete', 'eth0'], { mayFail: true });
    await clearTables();
  });

  for (const name of fixtureNames())
    test(name, async () => {
      const dump = fixtureDump(name);
      const manifests = join(fixtureFolder, `${name}.json`);
      // In this thread: what is written is the same, and a worker takes the test kernel seconds to start.
      const handle = await new Proxier({ nodeName: 'node-a', manifests, drainTimeoutMs: 0, thread: 'inline' }).run();
      try {
        assert.deepEqual(handle.report.failures, []);
        // What the manifest before left draining goes at the first drain tick.
        for (let report = handle.report; report.draining > 0; ) report = await handle.resync();
      } finally {
        await handle.stop();
      }
      const ipset = await lines('ipset', 'save');
      const created = ipset.filter((line) => line.startsWith('create ')).map(createdSet);
      assert.deepEqual(created.sort(), dump.created);
      const bound = await lines('ip', '-o', 'addr', 'show', 'dev', 'kube-ipvs0');
      const ours: Tables = {
        ipvs: (await lines('ipvsadm', '-Sn')).sort(),
        sets: ipset.filter((line) => line.startsWith('add ')).sort(),
        addresses: bound.map((line) => / inet6? ([^/]+)\//.exec(line)?.[1] ?? '').sort(),
        rules: new Map([
          ['IPv4', ruleLines(await lines('iptables-legacy-save'))],
          ['IPv6', ruleLines(await lines('ip6tables-legacy-save'))],
        ]),
      };
      const interfaceAddresses = ['192.168.50.10', 'fd00:50::10'].map(ip);
      const cluster = { ...clusterOf(fixtureObjects(name), 'node-a'), interfaceAddresses };
      const unexplained = differencesOf(dump, ours, cluster).filter(({ rule }) => rule === undefined);
      assert.deepEqual(unexplained, []);
      const wanted = [...dump.sysctls].filter(
        ([key]) => key.startsWith('net.ipv4.vs.') || key === 'net.ipv4.ip_forward',
      );
      for (const [key, value] of wanted) assert.equal((await lines('sysctl', '-n', key))[0], value, key);
    });
});
