/**
 * A load balancer between three network namespaces, with the kernel layer alone. As root, in the package's directory:
 *
 *   ip netns add client
 *   ip netns add lb
 *   ip netns add web
 *   ip link add eth0 netns client type veth peer name client0 netns lb
 *   ip link add eth0 netns web type veth peer name web0 netns lb
 *   ip -n client addr add 192.0.2.2/24 dev eth0
 *   ip -n client link set eth0 up
 *   ip -n lb addr add 192.0.2.1/24 dev client0
 *   ip -n lb link set client0 up
 *   ip -n lb addr add 198.51.100.1/24 dev web0
 *   ip -n lb link set web0 up
 *   ip -n web addr add 198.51.100.2/24 dev eth0
 *   ip -n web addr add 198.51.100.3/24 dev eth0
 *   ip -n web link set eth0 up
 *   ip -n client route add default via 192.0.2.1
 *   ip -n web route add default via 198.51.100.1
 *   ip netns exec lb sysctl -qw net.ipv4.ip_forward=1
 *
 * Then start something on port 8080 of `web` (`ip netns exec web python3 -m http.server 8080`), run `node examples/load-balancer.mjs`, and
 * ask: `ip netns exec client curl http://10.96.0.10/`. Run it again: it finds everything as it should be. `ip netns delete` removes it all.
 */
import { ipAddress, openKernel } from 'ipvs-proxier/kernel';

const vip = ipAddress('10.96.0.10');
const web = { protocol: 'tcp', address: vip, port: 80 };

const kernel = await openKernel({ netns: '/run/netns/lb' });
try {
  const batch = kernel
    .batch()
    .ensureLink('vip0')
    .ensureAddress({ link: 'vip0', address: vip, prefixLength: 32 })
    .ensureService({ key: web, scheduler: 'rr', flags: 0, timeoutSeconds: 0 });
  for (const server of ['198.51.100.2', '198.51.100.3']) {
    batch.ensureDestination(web, { address: ipAddress(server), port: 8080, weight: 1, forward: 'masquerade' });
  }
  const { applied, roundTrips } = await kernel.run(batch);
  console.log(`${batch}# ${applied} of ${batch.size} applied, ${roundTrips} round trips to the kernel`);
} finally {
  await kernel.close();
}
