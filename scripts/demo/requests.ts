/** Requests and what became of them, as figures. */
import type { Outcome } from '../../test/harness/netpeer.ts';

/** How often each pod answered, and which client addresses it saw. */
export interface Share {
  readonly pod: string;
  readonly count: number;
  readonly sources: readonly string[];
}

export function shares(outcomes: readonly Outcome[]): readonly Share[] {
  const byPod = new Map<string, { count: number; sources: Set<string> }>();
  for (const outcome of outcomes) {
    const pod = outcome.kind === 'answered' ? outcome.name : outcome.text;
    const share = byPod.get(pod) ?? { count: 0, sources: new Set() };
    share.count += 1;
    if (outcome.kind === 'answered') share.sources.add(outcome.source);
    byPod.set(pod, share);
  }
  return [...byPod]
    .map(([pod, { count, sources }]) => ({ pod, count, sources: [...sources].sort() }))
    .sort((a, b) => (a.pod < b.pod ? -1 : 1));
}

export function shareLines(all: readonly Share[]): string[] {
  const most = Math.max(1, ...all.map(({ count }) => count));
  return all.map(({ pod, count, sources }) => {
    const bar = '█'.repeat(Math.round((count / most) * 20)).padEnd(20);
    const told = sources.length === 0 ? '' : `  its client's address, as it saw it: ${sources.join(', ')}`;
    return `  ${pod.padEnd(8)} ${bar} ${String(count).padStart(3)}${told}`;
  });
}

/** Every one of the pods answered equally often, and nothing else came. */
export function isEven(all: readonly Share[], pods: readonly string[], requests: number): boolean {
  return (
    all.length === pods.length && all.every(({ pod, count }) => pods.includes(pod) && count === requests / pods.length)
  );
}

/** Every pod saw the one address it should. */
export function sawOnly(all: readonly Share[], expected: Readonly<Record<string, string>>): boolean {
  return all.every(({ pod, sources }) => sources.length === 1 && sources[0] === expected[pod]);
}
