/** An endpoint goes and comes back while a client asks without pause. */
import type { ProxierHandle, SyncReport } from '../../lib/index.ts';
import type { ManifestDirectory } from '../../test/harness/manifest-directory.ts';
import type { Outcome } from '../../test/harness/netpeer.ts';
import { runTool } from '../../test/harness/run-tool.ts';
import { addresses } from '../../test/harness/topology.ts';
import { Watcher } from '../../test/harness/watcher.ts';
import { askCommand } from './ask-command.ts';
import type { Demo } from './main.ts';
import type { Story } from './story.ts';

const pauseMs = 10;
/** Answers in a row that would have p2 among them, were it still in the round. */
const enough = 12;

export async function showChanges({ story, topology, manifests }: Demo, proxier: ProxierHandle): Promise<void> {
  story.chapter('Pod p2 stops being ready, and becomes ready again, while the client outside asks without pause');
  const passes: SyncReport[] = [];
  const listener = (report: SyncReport): void => {
    if (report.operations > 0) passes.push(report);
  };
  proxier.on('sync', listener);
  const watcher = new Watcher(
    topology.startAsking('client', 'tcp', addresses.n1.ipv4, 30080, { count: 0, intervalMs: pauseMs }),
  );
  await watcher.until((outcomes) => outcomes.some(isP2));
  const table = (await runTool('ipvsadm', ['-Sn'])).split('\n');
  const all = table.filter((line) => line.startsWith('-A ')).length;
  const services = table.filter((line) => / -r 10\.244\.1\.6:(8080|9090) /.test(line)).length;

  const gone = edit(manifests, 'true', 'false');
  const isGone = await watcher.until((outcomes) => {
    const since = outcomes.filter(({ atMicros }) => atMicros > gone).slice(-enough);
    return since.length === enough && !since.some(isP2);
  });
  const last = watcher.outcomes.findLast(isP2);
  const goneMs = Math.max(0, ((last?.atMicros ?? gone) - gone) / 1000);
  story.claim(
    `web.yaml says that p2 is not ready: its last answer came ${told(goneMs)} after the file was saved`,
    isGone,
  );
  await proxier.settled();
  const verbs = verbsOf(passes);
  story.say(`  ${wrote(passes.splice(0))}`);
  const { 'update-destination': updates, ...rest } = Object.fromEntries(verbs);
  story.claim(
    `p2 is a back end of ${services} of the ${all} virtual services: one operation for each of these, nothing was written to the others`,
    updates === services && Object.keys(rest).every((verb) => verb.startsWith('remove-')),
    JSON.stringify([...verbs]),
  );
  await showWhy(story);

  const back = edit(manifests, 'false', 'true');
  const isBack = await watcher.until((outcomes) =>
    outcomes.some((outcome) => outcome.atMicros > back && isP2(outcome)),
  );
  const first = watcher.outcomes.find((outcome) => outcome.atMicros > back && isP2(outcome));
  const backMs = ((first?.atMicros ?? back) - back) / 1000;
  story.claim(`web.yaml says that p2 is ready: its first answer came ${told(backMs)} after the file was saved`, isBack);
  await proxier.settled();
  story.say(`  ${wrote(passes.splice(0))}`);

  await watcher.stop();
  proxier.off('sync', listener);
  const { failures, outcomes } = watcher;
  story.claim(
    `meanwhile the client made ${outcomes.length} requests, and not one failed`,
    outcomes.length > 0 && failures.length === 0,
    failures.map((failure) => JSON.stringify(failure)).join('\n'),
  );
}

/** Changes p2's readiness; the time of it in microseconds. */
function edit(manifests: ManifestDirectory, from: 'true' | 'false', to: 'true' | 'false'): number {
  const ready = new RegExp(`(${addresses.p2.ipv4.replaceAll('.', '\\.')}\\]\\n.*\\n *conditions: \\{ ready: )${from}`);
  const at = Date.now() * 1000;
  manifests.edit('web.yaml', (text) => text.replace(ready, `$1${to}`));
  return at;
}

function isP2(outcome: Outcome): boolean {
  return outcome.kind === 'answered' && outcome.name === 'p2';
}

function told(ms: number): string {
  return `${Math.round(ms)} ms`;
}

/** Asks the proxier that works, from another process. */
async function showWhy(story: Story): Promise<void> {
  const text = await askCommand('explain', 'default/web:http');
  const [line = text] = text.split('\n').filter((some) => / endpoint .* 10\.244\.1\.6:8080 /.test(some));
  story.say('', '$ ipvs-proxier explain default/web:http | grep 10.244.1.6:8080', line);
  story.claim('asked by another process, the proxier says why p2 is out', /cluster out \(.*ready/.test(line), text);
}

function verbsOf(passes: readonly SyncReport[]): ReadonlyMap<string, number> {
  const verbs = new Map<string, number>();
  for (const { byVerb } of passes)
    for (const [verb, count] of Object.entries(byVerb)) verbs.set(verb, (verbs.get(verb) ?? 0) + count);
  return verbs;
}

function wrote(passes: readonly SyncReport[]): string {
  const operations = [...verbsOf(passes)].map(([verb, count]) => `${count} × ${verb}`).join(', ');
  const micros = passes.reduce((sum, { kernelMicros }) => sum + kernelMicros, 0);
  return `(the kernel was told: ${operations}; that took ${(micros / 1000).toFixed(2)} ms)`;
}
