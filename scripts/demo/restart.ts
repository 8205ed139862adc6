/** The proxier ends and starts again: traffic and tables do not notice. */
import type { ProxierHandle } from '../../lib/index.ts';
import { dumpTables, tableDifference } from '../../test/harness/tables.ts';
import { addresses } from '../../test/harness/topology.ts';
import { Watcher } from '../../test/harness/watcher.ts';
import type { Demo } from './main.ts';

export async function showRestart(demo: Demo, running: ProxierHandle): Promise<ProxierHandle> {
  const { story, topology, startProxier } = demo;
  story.chapter('The proxier stops and starts again');
  await running.settled();
  const one = new Watcher(
    topology.startAsking('p1', 'tcp', '10.96.0.10', 80, { count: 0, intervalMs: 20, keep: true }),
  );
  const many = new Watcher(
    topology.startAsking('client', 'tcp', addresses.n1.ipv4, 30080, { count: 0, intervalMs: 20 }),
  );
  await Promise.all([one, many].map((watcher) => watcher.until((outcomes) => outcomes.length > 0)));

  await running.stop();
  const before = await dumpTables();
  const proxier = await startProxier();
  const after = await dumpTables();

  await Promise.all([one.stop(), many.stop()]);
  const { operations, rulesWritten, sysctlsWritten } = proxier.report;
  story.claim(
    `started again, it found everything as it should be: ${operations} kernel operations, ${rulesWritten} rule tables, ${sysctlsWritten} sysctls written`,
    operations === 0 && rulesWritten === 0 && sysctlsWritten === 0,
    JSON.stringify(proxier.report.byVerb),
  );
  const changed = tableDifference(before, after);
  story.claim('ipvsadm, ipset, iptables and ip show the same as before', changed.length === 0, changed.join('\n'));
  story.claim(
    `${many.outcomes.length} new connections from outside, and ${one.outcomes.length} requests over one connection that was open all the time: none failed`,
    many.failures.length === 0 && one.failures.length === 0,
    [...many.failures, ...one.failures].map((failure) => JSON.stringify(failure)).join('\n'),
  );
  return proxier;
}
