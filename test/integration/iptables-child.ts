/** Runs in a network namespace of its own (`unshare -n`), where it may do to iptables what it likes; prints what it saw as JSON. */
import { ProxierError } from '../../lib/errors.ts';
import { detectIptables, type IptablesBackend, type IptablesOptions } from '../../lib/kernel/iptables.ts';

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

process.stdout.write(
  JSON.stringify({ fresh, traces, broken, afterBroken, savedV6, heldByLegacy, wrongBackend, both, heldByNft }),
);
