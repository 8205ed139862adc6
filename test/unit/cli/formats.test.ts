import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatCleanup } from '../../../lib/cli/format-cleanup.ts';
import { formatReport } from '../../../lib/cli/format-report.ts';
import { formatStatus } from '../../../lib/cli/format-status.ts';
import { createLogger } from '../../../lib/cli/logger.ts';
import { readStatus } from '../../../lib/cli/read-status.ts';
import { parseDuration } from '../../../lib/duration.ts';
import { openKernel } from '../../../lib/kernel/index.ts';
import type { CleanupReport } from '../../../lib/reconcile/cleanup.ts';
import { emptyReport } from '../proxier/scripted-host.ts';
import { FakeNode, webSource } from '../proxier/setup.ts';
import { MemoryTerminal } from './memory-terminal.ts';

test('durations as Kubernetes writes them', () => {
  const good = { '30s': 30_000, '500ms': 500, '1m30s': 90_000, '1.5h': 5_400_000, '0': 0, '0s': 0 };
  for (const [text, ms] of Object.entries(good)) assert.equal(parseDuration(text), ms, text);
  for (const text of ['30', '', 's', '-1s', '1 s', '1d', '1s2', 'ms1'])
    assert.equal(parseDuration(text), undefined, text);
});

test('status shows the tables in columns, and whose they are', async () => {
  const node = new FakeNode();
  await (await node.proxier(webSource()).run()).stop();
  const [web] = node.kernel.outside.services.values();
  assert.ok(web !== undefined && 'address' in web.service.key);
  const key = {
    ...web.service.key,
    port: 8443,
    address: [...node.kernel.outside.addresses.values()][0]?.address ?? web.service.key.address,
  };
  node.kernel.outside.apply({
    verb: 'create-service',
    service: { key, scheduler: 'wlc', flags: 1, timeoutSeconds: 300 },
  });
  node.kernel.outside.apply({
    verb: 'create-service',
    service: { key: { fwmark: 7, family: 'IPv4' }, scheduler: 'rr', flags: 0, timeoutSeconds: 0 },
  });
  await using kernel = await openKernel({ session: node.kernel.session() });
  const status = await readStatus(kernel);
  const lines = formatStatus(status).split('\n');
  assert.match(lines[0] ?? '', /^PROT +ADDRESS:PORT +SCHEDULER +FLAGS +OWNER$/);
  const at = lines.findIndex((line) => /^tcp +10\.96\.0\.10:80 +rr +- +ours$/.test(line));
  assert.ok(at > 0, lines.join('\n'));
  assert.match(lines[at + 1] ?? '', /^ +-> 10\.244\.[12]\.[57]:8080 +masquerade +1 +0 +0$/);
  assert.ok(
    lines.some((line) => /^tcp +192\.168\.1\.10:8443 +wlc +persistent 300s +foreign$/.test(line)),
    lines.join('\n'),
  );
  assert.ok(lines.some((line) => /^fwm +7 IPv4 +rr +- +foreign$/.test(line)));
  assert.ok(lines.includes('3 virtual services (2 foreign), 2 destinations'));
  assert.ok(lines.some((line) => /^KUBE-CLUSTER-IP +hash:ip,port +IPv4 +1$/.test(line)));
  assert.ok(lines.some((line) => /^KUBE-NODE-PORT-TCP +bitmap:port +- +0$/.test(line)));
  assert.ok(lines.includes('1 addresses on kube-ipvs0: 10.96.0.10'));
});

test('a report says what was done by verb, what failed and why, and nothing forged', () => {
  assert.match(formatReport(emptyReport), /^0 operations\n0 rule tables and 0 sysctls written\n/);
  const text = formatReport({
    ...emptyReport,
    operations: 3,
    byVerb: { 'create-service': 1, 'create-destination': 2 },
    unknown: 1,
    failures: [
      {
        object: 'tcp 10.96.0.10:80',
        operation: 'ipvsadm -A -t 10.96.0.10:80',
        error: { code: 'ERR_NETLINK', message: 'ENOMEM\nforged' },
        attempts: 1,
        retryInMs: 100,
      },
    ],
  });
  assert.match(text, /^3 operations: 1 create-service, 2 create-destination\n/);
  assert.match(
    text,
    /\nfailed: ipvsadm -A -t 10\.96\.0\.10:80: ENOMEM forged \(ERR_NETLINK\)\n1 operations without an answer/,
  );
});

test('log lines are one line each, levels and stacks as asked', () => {
  const now = (): Date => new Date(0);
  const text = new MemoryTerminal();
  const logger = createLogger(text, { format: 'text', verbose: false, now });
  logger.debug({}, 'hidden');
  logger.warn({ object: 'a\nb', count: 2, err: new Error('why') }, 'evil\u001b[31m\nname');
  const expected = '1970-01-01T00:00:00.000Z WARN  evil [31m name object="a\\nb" count=2 err=why\n';
  assert.equal(text.stderr, expected);
  const json = new MemoryTerminal();
  createLogger(json, { format: 'json', verbose: true, now }).debug({ err: new Error('why') }, 'm');
  const line: unknown = JSON.parse(json.stderr);
  assert.ok(typeof line === 'object' && line !== null && 'err' in line && /Error: why\n +at/.test(String(line.err)));
});

test('a clean-up: a dry run is commands in the order they are run, a real one is counted; failures and what is left are named', () => {
  const report: CleanupReport = {
    dryRun: true,
    operations: [
      { verb: 'remove-link', text: 'ip link del kube-ipvs0' },
      { verb: 'remove-service', text: 'ipvsadm -D -t 10.96.0.10:80' },
      { verb: 'remove-set', text: 'ipset destroy KUBE-CLUSTER-IP' },
    ],
    rules: [{ backend: 'nft', family: 'IPv6', text: '*nat\n-X KUBE-SERVICES\nCOMMIT\n' }],
    failures: [
      {
        object: 'rules IPv4 (legacy)',
        operation: 'iptables-legacy-save',
        error: { code: 'ERR_IPTABLES', message: 'locked' },
      },
    ],
    left: ["virtual service tcp 1.2.3.4:80 is somebody else's"],
  };
  assert.equal(
    formatCleanup(report),
    [
      'ip link del kube-ipvs0',
      'ipvsadm -D -t 10.96.0.10:80',
      "ip6tables-nft-restore --noflush <<'END'\n*nat\n-X KUBE-SERVICES\nCOMMIT\nEND",
      'ipset destroy KUBE-CLUSTER-IP',
      '# dry run: 3 operations, 1 rule sets',
      '# failed: rules IPv4 (legacy): iptables-legacy-save: locked (ERR_IPTABLES)',
      "# left alone: virtual service tcp 1.2.3.4:80 is somebody else's\n",
    ].join('\n'),
  );
  assert.equal(
    formatCleanup({ ...report, dryRun: false, left: [] }),
    '3 operations: 1 remove-link, 1 remove-service, 1 remove-set\nrules removed: IPv6 (nft)\nfailed: rules IPv4 (legacy): iptables-legacy-save: locked (ERR_IPTABLES)\n',
  );
  assert.equal(
    formatCleanup({ dryRun: false, operations: [], rules: [], failures: [], left: [] }),
    'nothing to remove\n',
  );
});
