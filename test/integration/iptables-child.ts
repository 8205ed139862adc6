/** Runs in a network namespace of its own (`unshare -n`), where it may do to iptables what it likes; prints what it saw as JSON. */
import { ProxierError } from '../../lib/errors.ts';
import {
  detectIptables,
  type IptablesBackend,
  type IptablesOptions,
  presentIptables,
} from '../../lib/kernel/iptables.ts';
import { isIpvsModeChain, ruleRemoval } from '../../lib/plan/rule-removal.ts';

const families = ['IPv4', 'IPv6'] as const;

async function codeOf(work: Promise<unknown>): Promise<{ code: string; message: string }> {
  try {
    await work;
    return { code: 'none', message: '' };
  } catch (error) {
    if (error instanceof ProxierError) return { code: error.code, message: error.message };
    throw error;
  }
}

async function open(backend: IptablesOptions['backend'], probe = false): Promise<IptablesBackend> {
  return (await detectIptables({ backend, families, probe })).backend;
}

const nft = await detectIptables({ backend: 'nft', families });
const legacy = await detectIptables({ backend: 'legacy', families });
const chain = (name: string, rule = ''): string => `*nat\n:${name} - [0:0]\n${rule}COMMIT\n`;

const fresh = await open('auto', true);
const traces = [await nft.save('IPv4'), await legacy.save('IPv4')].filter((text) => text.includes('PROBE')).length;
const broken = await codeOf(nft.restore('IPv4', chain('KUBE-BROKEN', '-A KUBE-BROKEN -j NO-SUCH-CHAIN\n')));
const afterBroken = (await nft.save('IPv4')).includes('KUBE-BROKEN');
await legacy.restore('IPv6', chain('KUBE-SERVICES', '-A KUBE-SERVICES -s ::1/128 -j RETURN\n'));
const savedV6 = await legacy.save('IPv6');
const heldByLegacy = await open('auto');
const wrongBackend = await codeOf(open('nft'));
await nft.restore('IPv4', chain('KUBE-KUBELET-CANARY'));
const both = await codeOf(open('auto'));
await legacy.restore('IPv6', '*nat\n-F KUBE-SERVICES\n-X KUBE-SERVICES\nCOMMIT\n');
const heldByNft = await open('auto');

// A proxier's rules in both, beside those of others; then they are removed, twice.
const ours = [
  '*nat',
  ...[':KUBE-SERVICES - [0:0]', ':KUBE-MARK-MASQ - [0:0]', ':KUBE-POSTROUTING - [0:0]', ':CNI-HOSTPORT - [0:0]'],
  '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
  '-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
  '-A POSTROUTING -j KUBE-POSTROUTING',
  '-A KUBE-SERVICES -d 10.96.0.0/12 -j KUBE-MARK-MASQ',
  '-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000',
  '-A CNI-HOSTPORT -j KUBE-MARK-MASQ',
  'COMMIT',
  '*filter',
  ...[':KUBE-FORWARD - [0:0]', ':KUBE-FIREWALL - [0:0]'],
  `-A FORWARD -m comment --comment "it's ours" -j KUBE-FORWARD`,
  '-A KUBE-FORWARD -j ACCEPT',
  '-A OUTPUT -j KUBE-FIREWALL',
  'COMMIT',
  '',
].join('\n');
for (const iptables of [nft, legacy]) await iptables.restore('IPv4', ours);
const { present, problems } = await presentIptables({ families });
const removed: {
  backend: string;
  again: boolean;
  kept: readonly string[];
  left: readonly string[];
}[] = [];
for (const { iptables } of present) {
  const { text = '', kept } = ruleRemoval(await iptables.save('IPv4'), isIpvsModeChain);
  await iptables.restore('IPv4', text);
  const saved = await iptables.save('IPv4');
  const left = saved
    .split('\n')
    .flatMap((line) => /^:(KUBE-\S+)/.exec(line)?.[1] ?? /^-A \S+.* -j KUBE-\S+$/.exec(line)?.[0] ?? []);
  removed.push({
    backend: iptables.backend,
    again: ruleRemoval(saved, isIpvsModeChain).text !== undefined,
    kept,
    left,
  });
}

process.stdout.write(
  JSON.stringify({
    fresh,
    traces,
    broken,
    afterBroken,
    savedV6,
    heldByLegacy,
    wrongBackend,
    both,
    heldByNft,
    problems,
    removed,
  }),
);
