/** Load balancer IPs: who may reach one, and traffic that stays on the node. */
import { addresses, podGateways } from '../../test/harness/topology.ts';
import type { Demo } from './main.ts';
import { isEven, sawOnly, shareLines, shares } from './requests.ts';

const restricted = '203.0.113.42';
const local = '203.0.113.44';
const localNodePort = 30084;
const requests = 10;

export async function showExternal(demo: Demo): Promise<void> {
  await sourceRanges(demo);
  await localPolicy(demo);
}

async function sourceRanges({ story, topology }: Demo): Promise<void> {
  story.chapter(`Load balancer IP ${restricted}, which loadBalancerSourceRanges keep for the client outside`);
  const result = shares(await topology.ask('client', 'tcp', restricted, 443, { count: requests }));
  story.say(...shareLines(result));
  story.claim('the client is answered, evenly by both pods', isEven(result, ['p1', 'p3'], requests));
  story.claim(
    'the pods see n1, so that their answers come back the same way',
    sawOnly(result, { p1: podGateways.n1.ipv4, p3: addresses.n1.ipv4 }),
  );
  for (const [peer, who] of [
    ['p2', 'pod p2'],
    ['n1', 'the node itself'],
  ] as const) {
    const outcome = await topology.askOnce(peer, 'tcp', restricted, 443, { timeoutMs: 500 });
    story.claim(`${who} is not in the ranges and gets no answer`, outcome.kind === 'timeout', JSON.stringify(outcome));
  }
}

async function localPolicy({ story, topology }: Demo): Promise<void> {
  story.chapter(`Load balancer IP ${local}, with externalTrafficPolicy Local`);
  const { ipv4 } = addresses.client;
  for (const [address, port] of [
    [local, 80],
    [addresses.n1.ipv4, localNodePort],
  ] as const) {
    const result = shares(await topology.ask('client', 'tcp', address, port, { count: requests }));
    story.say(...shareLines(result));
    story.claim(
      `http://${address}:${port} is answered by the pod on this node alone, and it sees the client's own address`,
      isEven(result, ['p1'], requests) && sawOnly(result, { p1: ipv4 }),
    );
  }
}
