/** examples/: each manifest plans without a word of warning, and comes to what its first lines say. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, test } from 'node:test';
import type { Plan } from '../../../lib/index.ts';
import { Proxier } from '../../../lib/index.ts';

const folder = resolve(import.meta.dirname, '../../../../examples');
const names = readdirSync(folder).filter((name) => name.endsWith('.yaml'));

async function planOf(path: string): Promise<Plan> {
  await using proxier = new Proxier({
    nodeName: 'n1',
    manifests: path,
    families: ['IPv4', 'IPv6'],
    clusterCIDR: ['10.244.0.0/16', 'fd00:10:244::/56'],
    thread: 'inline',
  });
  return await proxier.plan('empty');
}

/** Commands that have to be among those of the plan; `!`: must not be. */
const expected: Readonly<Record<string, readonly string[]>> = {
  'cluster-ip.yaml': [
    'ipvsadm -A -t 10.96.0.40:9000 -s rr',
    'ipvsadm -a -t 10.96.0.40:9000 -r 10.244.2.7:9000 -m -w 1',
    '!10.244.2.8',
  ],
  'node-port.yaml': ['ipset add KUBE-NODE-PORT-TCP 30082'],
  'load-balancer.yaml': [
    'ipvsadm -A -t 203.0.113.42:443 -s rr',
    'ipset add KUBE-LOAD-BALANCER-FW 203.0.113.42,tcp:443',
    'ipset add KUBE-LOAD-BALANCER-SOURCE-CIDR 203.0.113.42,tcp:443,198.51.100.0/24',
  ],
  'external-ip.yaml': ['ipset add KUBE-EXTERNAL-IP 203.0.113.43,tcp:25', 'ip addr add 203.0.113.43/32 dev kube-ipvs0'],
  'local-policies.yaml': [
    'ipset add KUBE-LOAD-BALANCER-LOCAL 203.0.113.44,tcp:80',
    'ipset add KUBE-NODE-PORT-LOCAL-TCP 30084',
    'ipset add KUBE-HEALTH-CHECK-NODE-PORT 32044',
    '!-r 10.244.2.7',
  ],
  'session-affinity.yaml': ['ipvsadm -A -t 10.96.0.45:80 -s rr -p 600'],
  'headless.yaml': ['!ipvsadm', '!ipset add'],
  'topology-hints.yaml': ['ipvsadm -A -t 10.96.0.46:80 -s rr'],
  'annotations.yaml': [
    'ipvsadm -A -t 10.96.0.47:80 -s wrr',
    'ipvsadm -a -t 10.96.0.47:80 -r 10.244.1.5:8080 -m -w 3',
    'ipvsadm -a -t 10.96.0.47:80 -r 10.244.2.7:8080 -m -w 1',
  ],
  'dns-udp.yaml': ['ipvsadm -A -u 10.96.0.53:53 -s rr'],
  'dual-stack.yaml': ['ipvsadm -A -t [fd00:10:96::20]:80 -s rr', 'ipset add KUBE-6-NODE-PORT-TCP 30081'],
  'sctp.yaml': ['ipvsadm -A --sctp-service 10.96.0.30:3868 -s rr'],
  'no-endpoints.yaml': ['ipvsadm -A -t 10.96.0.99:80 -s rr', '!ipvsadm -a '],
  'nodes.yaml': ['!ipvsadm'],
  'web.yaml': ['ipvsadm -A -t 10.96.0.10:80 -s rr'],
};

/** One says something: web's second port has no node port, which a cluster would give it. */
const saidOf = (name: string): number => (name === 'web.yaml' ? 1 : 0);

describe('examples', () => {
  for (const name of names) {
    test(name, async () => {
      const plan = await planOf(resolve(folder, name));
      assert.equal(plan.warnings.length, saidOf(name), plan.warnings.join('\n'));
      const commands = plan.operations.map(({ text }) => text);
      for (const command of expected[name] ?? [`${name} has no line in this test`]) {
        const isThere = (text: string): boolean => commands.some((line) => line.includes(text));
        if (command.startsWith('!')) assert.ok(!isThere(command.slice(1)), command);
        else assert.ok(isThere(command), `${command}\nis not among\n${commands.join('\n')}`);
      }
    });
  }

  test('all of them together: nobody takes an address from another, and hints are for the zone of nodes.yaml', async () => {
    const plan = await planOf(folder);
    assert.equal(plan.warnings.length, saidOf('web.yaml'), plan.warnings.join('\n'));
    const images = plan.operations.filter(({ text }) => text.includes('ipvsadm -a -t 10.96.0.46:80 '));
    assert.deepEqual(
      images.map(({ text }) => text),
      ['ipvsadm -a -t 10.96.0.46:80 -r 10.244.1.5:8080 -m -w 1'],
    );
  });
});
