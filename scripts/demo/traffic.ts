/** Requests from everywhere: who answers, and whom the pods see. */
import { addresses, podGateways } from '../../test/harness/topology.ts';
import type { Demo } from './main.ts';
import { isEven, sawOnly, shareLines, shares } from './requests.ts';

const vip = '10.96.0.10';
const nodePort = 30080;
const requests = 30;
const pods = ['p1', 'p2', 'p3'];
/** n1's address on the way to each pod: what a pod sees of a client whose address was replaced. */
const asNode = { p1: podGateways.n1.ipv4, p2: podGateways.n1.ipv4, p3: addresses.n1.ipv4 };

export async function showTraffic(demo: Demo): Promise<void> {
  await fromPod(demo);
  await fromNode(demo);
  await fromOutside(demo);
  await others(demo);
}

async function fromPod({ story, topology }: Demo): Promise<void> {
  story.chapter(`Pod p2 asks http://${vip} ${requests} times`);
  const result = shares(await topology.ask('p2', 'tcp', vip, 80, { count: requests }));
  story.say(...shareLines(result));
  story.claim('the requests are spread evenly over three pods on two nodes', isEven(result, pods, requests));
  const others = result.filter(({ pod }) => pod !== 'p2');
  const { ipv4 } = addresses.p2;
  story.claim(`the other pods see p2's own address, ${ipv4}`, sawOnly(others, { p1: ipv4, p3: ipv4 }));
  const self = result.filter(({ pod }) => pod === 'p2');
  story.claim(
    `p2 reaches itself through its own Service; there it sees the node (${asNode.p2}), or its answer would never pass the node again`,
    self.length === 1 && sawOnly(self, asNode),
  );
}

async function fromNode({ story, topology }: Demo): Promise<void> {
  story.chapter(`A process on node n1 asks http://${vip} ${requests} times`);
  const result = shares(await topology.ask('n1', 'tcp', vip, 80, { count: requests }));
  story.say(...shareLines(result));
  story.claim('spread evenly', isEven(result, pods, requests));
  story.claim('the pods see an address of n1 that they can answer to', sawOnly(result, asNode));
}

async function fromOutside({ story, topology }: Demo): Promise<void> {
  story.chapter(`The client outside asks the node port, http://${addresses.n1.ipv4}:${nodePort}, ${requests} times`);
  const result = shares(await topology.ask('client', 'tcp', addresses.n1.ipv4, nodePort, { count: requests }));
  story.say(...shareLines(result));
  story.claim('spread evenly, over pods the client has no route to', isEven(result, pods, requests));
  story.claim('the pods see n1, so that their answers come back the same way', sawOnly(result, asNode));
}

async function others({ story, topology }: Demo): Promise<void> {
  story.chapter('UDP, IPv6, and a Service without pods');
  const udp = shares(await topology.ask('p1', 'udp', '10.96.0.53', 53, { count: 20 }));
  story.say('20 datagrams from p1 to 10.96.0.53:53', ...shareLines(udp));
  story.claim('UDP is spread evenly over the two DNS pods', isEven(udp, ['p2', 'p3'], 20));
  const six = shares(await topology.ask('client', 'tcp', addresses.n1.ipv6, 30081, { count: 10 }));
  story.say(`10 requests from the client outside to http://[${addresses.n1.ipv6}]:30081`, ...shareLines(six));
  story.claim('IPv6 is spread evenly over the two pods of the dual-stack Service', isEven(six, ['p1', 'p3'], 10));
  const refused = await topology.askOnce('p1', 'tcp', '10.96.0.99', 80);
  story.claim(
    'a Service none of whose pods is ready refuses at once',
    refused.kind === 'refused',
    JSON.stringify(refused),
  );
}
