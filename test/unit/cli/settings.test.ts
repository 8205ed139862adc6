/** The table of settings: flags by pflag's rules, what they become, what is said of those without effect, and its page in docs. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, test } from 'node:test';
import { Command } from 'commander';
import { type Asked, asked, checkedAsGiven } from '../../../lib/cli/proxier-options.ts';
import { allSettings } from '../../../lib/cli/settings/all-settings.ts';
import { isVerbose } from '../../../lib/cli/settings/draft.ts';
import { addSettings, normalized, verbosityOf } from '../../../lib/cli/settings/flags.ts';
import type { ProxierSettings } from '../../../lib/proxier/options.ts';
import { resolveOptions } from '../../../lib/proxier/options-schema.ts';
import { settingsTable } from '../../harness/settings-table.ts';
import { MemoryTerminal } from './memory-terminal.ts';

async function given(args: readonly string[], config?: string): Promise<Asked & { readonly stderr: string }> {
  const terminal = new MemoryTerminal();
  const command = new Command('x').exitOverride().configureOutput({ writeErr: () => {} });
  const flags = addSettings(command);
  command.parse(normalized(args), { from: 'user' });
  return { ...(await asked(flags, config, terminal)), stderr: terminal.stderr };
}

/** Every flag of kube-proxy that does something in IPVS mode, and what it becomes. */
const meanings: readonly (readonly [string[], ProxierSettings])[] = [
  [['--hostname-override=Node-A'], { nodeName: 'Node-A' }],
  [['--node-name', 'n1'], { nodeName: 'n1' }],
  [['--bind-address=192.168.1.10'], { bindAddress: '192.168.1.10' }],
  [['--service-proxy-name', 'mine'], { serviceProxyName: 'mine' }],
  [['--proxy-mode=ipvs'], {}],
  [['--cluster-cidr=10.244.0.0/16,fd00::/64'], { clusterCIDR: ['10.244.0.0/16', 'fd00::/64'] }],
  [['--cluster-cidr='], {}],
  [['--detect-local-mode=NodeCIDR'], { detectLocal: { mode: 'NodeCIDR' } }],
  [
    ['--detect-local-mode=BridgeInterface', '--pod-bridge-interface=cbr0'],
    { detectLocal: { mode: 'BridgeInterface', bridge: 'cbr0' } },
  ],
  [
    ['--pod-interface-name-prefix', 'veth', '--detect-local-mode', 'InterfaceNamePrefix'],
    { detectLocal: { mode: 'InterfaceNamePrefix', prefix: 'veth' } },
  ],
  [['--masquerade-all'], { masqueradeAll: true }],
  [['--masquerade_all=False'], { masqueradeAll: false }],
  [['--iptables-masquerade-bit=20'], { masqueradeBit: 20 }],
  [['--nodeport-addresses=10.0.0.0/8,192.168.0.0/16'], { nodePortAddresses: ['10.0.0.0/8', '192.168.0.0/16'] }],
  [
    ['--nodeport-addresses=10.0.0.0/8', '--nodeport-addresses=fd00::/8'],
    { nodePortAddresses: ['10.0.0.0/8', 'fd00::/8'] },
  ],
  [['--nodeport-addresses=primary'], { nodePortAddresses: ['primary'] }],
  [['--nodeport-addresses=all'], { nodePortAddresses: ['0.0.0.0/0', '::/0'] }],
  [['--ipvs-scheduler=wlc'], { scheduler: 'wlc' }],
  [['--ipvs-scheduler='], {}],
  [['--ipvs-sync-period=1m30s'], { syncPeriodMs: 90_000 }],
  [['--ipvs-min-sync-period=250ms'], { minSyncPeriodMs: 250 }],
  [['--ipvs-exclude-cidrs=10.1.0.0/16,10.2.0.0/16'], { excludeCIDRs: ['10.1.0.0/16', '10.2.0.0/16'] }],
  [['--ipvs-strict-arp'], { strictARP: true }],
  [
    ['--ipvs-tcp-timeout=2h', '--ipvs-tcpfin-timeout=1m', '--ipvs-udp-timeout=0'],
    { ipvsTimeouts: { tcpSeconds: 7200, tcpFinSeconds: 60, udpSeconds: 0 } },
  ],
  [
    ['--conntrack-max-per-core=0', '--conntrack-tcp-be-liberal', '--conntrack-udp-timeout=30s'],
    {
      conntrack: {
        ...{ maxPerCore: 0, min: 131_072, tcpEstablishedTimeoutSeconds: 86_400, tcpCloseWaitTimeoutSeconds: 3600 },
        ...{ tcpBeLiberal: true, udpTimeoutSeconds: 30 },
      },
    },
  ],
  [['--watch-nodes=all'], { watchNodes: 'all' }],
  [['--vip-binding=local-route'], { vipBinding: 'local-route' }],
  [['--external-local-fallback=none'], { externalLocalFallback: 'none' }],
  [['--source-ranges-of-other-family=allow'], { sourceRangesOfOtherFamily: 'allow' }],
  [['--allowed-external-ips='], { allowedExternalIPs: [] }],
  [['--drain-services', '--drain-timeout=5m'], { drainServices: true, drainTimeoutMs: 300_000 }],
  [['--ownership=all'], { ownership: 'all' }],
  [['--no-sysctls'], { applySysctls: false }],
  [['--ip-families=IPv6'], { families: ['IPv6'] }],
  [
    ['--iptables=nft', '--take-over', '--ignore-other-proxiers'],
    { iptables: 'nft', takeOver: true, ignoreOtherProxiers: true },
  ],
];

describe('flags', () => {
  for (const [args, settings] of meanings) {
    test(args.join(' '), async () => {
      const what = await given(args);
      assert.deepEqual(what.settings, settings);
      assert.equal(what.stderr, '', 'nothing has to be said of it');
      assert.doesNotThrow(() => resolveOptions({ ...what.settings, inCluster: true }));
    });
  }

  test('one without effect is accepted, and named once with the reason', async () => {
    const unserved = allSettings.filter(({ group, flag }) => group === 'no effect' && flag !== undefined);
    assert.ok(unserved.length > 15);
    for (const { flag, argument, help } of unserved) {
      const { settings, stderr } = await given([argument === undefined ? `--${flag}` : `--${flag}=1`]);
      assert.deepEqual(settings, {});
      const lines = stderr.trim().split('\n');
      assert.equal(lines.length, 1, flag);
      assert.ok(lines[0]?.includes(`--${flag} `) && lines[0].includes(help), lines[0]);
    }
  });

  test('what the chosen mode does not look at is said and no error, as with kube-proxy', async () => {
    const { settings, stderr } = await given(
      '--detect-local-mode=NodeCIDR --cluster-cidr=10.0.0.0/8 --pod-bridge-interface=cbr0'.split(' '),
    );
    assert.deepEqual(settings, { detectLocal: { mode: 'NodeCIDR' } });
    assert.match(stderr, /clusterCIDR 10\.0\.0\.0\/8: mode NodeCIDR does not look at it/);
    assert.match(stderr, /--pod-bridge-interface cbr0: only --detect-local-mode BridgeInterface looks at it/);
    assert.deepEqual((await given(['--nodeport-addresses=localhost,10.0.0.0/8'])).settings, {
      nodePortAddresses: ['10.0.0.0/8'],
    });
  });

  test('a bad value is named as it was given', async () => {
    const what = await given(['--node-name', 'n/1']);
    await assert.rejects(
      checkedAsGiven(what, async () => resolveOptions({ ...what.settings, inCluster: true })),
      /--node-name: "n\/1" is not the name of a Node/,
    );
  });

  test("-v is klog's, with and without a number", async () => {
    for (const [args, level] of [
      [['-v=2'], 2],
      [['--v=4'], 4],
      [['-v', '6'], 6],
      [['-v'], 4],
      [['--verbose'], 4],
      [['-v5'], 5],
      [[], 0],
    ] as const) {
      assert.equal(verbosityOf(args), level, args.join(' '));
      assert.equal(isVerbose((await given(args)).draft), level >= 4);
    }
  });

  test('the oom score is left alone unless asked for', async () => {
    assert.equal((await given([])).oomScoreAdj, undefined);
    assert.equal((await given(['--oom-score-adj=-500'])).oomScoreAdj, -500);
    assert.equal((await given(['--oom-score-adj', '-998'])).oomScoreAdj, -998);
  });
});

describe('the table', () => {
  test('no flag, alias, field or option is there twice', () => {
    for (const names of [
      allSettings.flatMap(({ flag, aliases = [] }) => [...(flag === undefined ? [] : [flag]), ...aliases]),
      allSettings.flatMap(({ field }) => field ?? []),
      allSettings.flatMap(({ option }) => option ?? []),
    ]) {
      assert.deepEqual([...new Set(names)], names);
    }
  });

  test('docs/configuration.md has it, line for line', () => {
    const page = readFileSync(resolve(import.meta.dirname, '../../../../docs/configuration.md'), 'utf8');
    for (const line of settingsTable()) {
      assert.ok(page.includes(`${line}\n`), `docs/configuration.md lacks, or has otherwise:\n${line}`);
    }
  });
});
