/** Whom a pod sees as the client: the table of behaviour.md 0 and D, for the harness's topology. */
import assert from 'node:assert/strict';
import type { Outcome } from '../harness/netpeer.ts';
import { addresses, type PeerName, podGateways } from '../harness/topology.ts';

export type PodName = 'p1' | 'p2' | 'p3';
export type Family = 'ipv4' | 'ipv6';

/** n1's address on the way to a pod, which is what masquerading puts in. */
export function nodeAddressTowards(pod: PodName, family: Family): string {
  return pod === 'p3' ? addresses.n1[family] : podGateways.n1[family];
}

/** A pod that asks a cluster IP keeps its address, but for the pod that is its own back end: a reply to itself would never be un-translated. */
export function sourceOfPod(client: PodName, pod: PodName, family: Family): string {
  return client === pod ? nodeAddressTowards(pod, family) : addresses[client][family];
}

/** All were answered, by exactly these pods, each of which saw the source it should. */
export function assertAnswered(
  outcomes: readonly Outcome[],
  pods: readonly PodName[],
  sourceAt: (pod: PodName) => string,
): void {
  const seen = outcomes.map((outcome) =>
    outcome.kind === 'answered' ? `${outcome.name} saw ${outcome.source}` : outcome.text,
  );
  assert.deepEqual(
    [...new Set(seen)].sort(),
    pods.map((pod) => `${pod} saw ${sourceAt(pod)}`),
  );
}

export function assertRefused(outcome: Outcome): void {
  assert.equal(outcome.kind, 'refused', JSON.stringify(outcome));
}

/** Names of the pods that answered, sorted. */
export function answeredBy(outcomes: readonly Outcome[]): PeerName[] {
  const names = new Set(outcomes.map((outcome) => (outcome.kind === 'answered' ? outcome.name : outcome.text)));
  const known: readonly PeerName[] = ['p1', 'p2', 'p3'];
  assert.deepEqual(
    [...names].filter((name) => !known.some((pod) => pod === name)),
    [],
  );
  return known.filter((pod) => names.has(pod));
}
