/** Runs in a network namespace of its own (`unshare -n`): our rules through the real iptables tools of each backend and family, as JSON. */
import { Batch } from '../../lib/kernel/batch.ts';
import { detectIptables } from '../../lib/kernel/iptables.ts';
import { openSession } from '../../lib/kernel/linux-session.ts';
import { isIpvsModeChain, ruleRemoval } from '../../lib/plan/rule-removal.ts';
import { familyRules, type RuleOptions, ruleChanges } from '../../lib/plan/rules.ts';
import { setSpecs } from '../../lib/plan/sets.ts';

const families = ['IPv4', 'IPv6'] as const;
const detectors: readonly RuleOptions['detectLocal'][] = [
  { mode: 'ClusterCIDR', cidrs: ['10.244.0.0/16', 'fd00:10:244::/48'] },
  { mode: 'ClusterCIDR', cidrs: [] },
  { mode: 'BridgeInterface', bridge: 'cbr0' },
  { mode: 'InterfaceNamePrefix', prefix: 'veth' },
];

const session = openSession();
const sets = new Batch();
for (const set of families.flatMap((family) => setSpecs(family))) sets.createSet(set);
const { failures } = session.run(sets);
session.close();

const seen: { backend: string; family: string; written: boolean; again: string | undefined }[] = [];
for (const backend of ['nft', 'legacy'] as const) {
  const iptables = await detectIptables({ backend, families });
  for (const family of families)
    for (const detectLocal of detectors) {
      const options = { masqueradeAll: false, masqueradeBit: 20, randomFully: true, detectLocal, podCIDRs: undefined };
      const rules = familyRules(family, options, { externalIPs: true, outFilters: new Map() });
      const text = ruleChanges(await iptables.save(family), rules);
      if (text !== undefined) await iptables.restore(family, text);
      seen.push({
        backend,
        family,
        written: text !== undefined,
        again: ruleChanges(await iptables.save(family), rules),
      });
    }
  // Two holders would be refused.
  for (const family of families) {
    const { text } = ruleRemoval(await iptables.save(family), isIpvsModeChain);
    if (text !== undefined) await iptables.restore(family, text);
  }
}
process.stdout.write(JSON.stringify({ failures, seen }));
