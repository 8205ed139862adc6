/** The node as kube-proxy left it: what the real one wrote for a manifest, written again by the tools that printed it. */
import { fixtureDump, fixtureSection } from './kube-proxy-dump.ts';
import { runTool } from './run-tool.ts';

/** Into empty tables; see `clearTables`. */
export async function restoreDump(name: string): Promise<void> {
  // Older tools do not know these two, which say how a set is stored and not what it is.
  const sets = fixtureSection(name, 'ipset save').replaceAll(/ bucketsize \d+| initval 0x\w+/g, '');
  await runTool('ipset', ['restore'], { input: sets });
  await runTool('ipvsadm', ['-R'], { input: fixtureSection(name, 'ipvsadm -Sn') });
  const addresses = fixtureDump(name).addresses.map((address) => `addr add ${address} dev kube-ipvs0\n`);
  await runTool('ip', ['-batch', '-'], { input: `link add kube-ipvs0 type dummy\n${addresses.join('')}` });
  for (const table of ['nat', 'filter']) {
    await runTool('iptables-legacy-restore', ['--noflush'], {
      input: fixtureSection(name, `iptables-save -t ${table}`),
    });
  }
  await runTool('ip6tables-legacy-restore', ['--noflush'], { input: fixtureSection(name, 'ip6tables-save') });
  const sysctls = [...fixtureDump(name).sysctls].filter(([key]) => /^net\.ipv4\.(vs\.|ip_forward$)/.test(key));
  await runTool('sysctl', ['-w', ...sysctls.map(([key, value]) => `${key}=${value}`)]);
}
