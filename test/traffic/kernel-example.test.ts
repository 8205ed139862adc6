/** examples/load-balancer.mjs as its own comment says to use it: those commands, that script, and packets. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { NetpeerClient, type Outcome, startServer } from '../harness/netpeer.ts';
import { runTool } from '../harness/run-tool.ts';

const script = resolve(import.meta.dirname, '../../../examples/load-balancer.mjs');
const namespaces = ['client', 'lb', 'web'] as const;

/** The commands of the script's first comment. */
function commands(): readonly string[][] {
  const lines = readFileSync(script, 'utf8').matchAll(/^ \* {3}(ip .*)$/gm);
  return [...lines].map(([, line = '']) => line.split(' '));
}

async function removeNamespaces(): Promise<void> {
  const input = namespaces.map((name) => `netns delete ${name}\n`).join('');
  await runTool('ip', ['-force', '-batch', '-'], { input, mayFail: true });
}

async function ask(count: number): Promise<readonly Outcome[]> {
  return new NetpeerClient('client', ['tcp', '10.96.0.10', '80', '--count', String(count)]).outcomes();
}

describe('examples/load-balancer.mjs', () => {
  const servers: ChildProcess[] = [];

  before(async () => {
    assert.ok(process.env['TEST_KERNEL'] !== undefined, 'this makes namespaces: run it in the test kernel');
    await removeNamespaces();
    for (const [program = '', ...args] of commands()) await runTool(program, args);
    servers.push(await startServer('web', 'web', ['tcp:8080']));
  });

  after(async () => {
    for (const server of servers) server.kill('SIGKILL');
    await removeNamespaces();
  });

  test('nothing answers before it ran', async () => {
    const [outcome] = await new NetpeerClient('client', ['tcp', '10.96.0.10', '80', '--timeout-ms', '500']).outcomes();
    assert.notEqual(outcome?.kind, 'answered');
  });

  test('it says what it did, both servers answer, and they see the client itself', async () => {
    const said = await runTool(process.execPath, [script]);
    assert.match(said, /^ipvsadm -A -t 10\.96\.0\.10:80 -s rr$/m);
    assert.match(said, /^# 5 of 5 applied/m);
    const outcomes = await ask(6);
    assert.deepEqual(
      outcomes.map((outcome) => (outcome.kind === 'answered' ? outcome.source : outcome.text)),
      Array.from({ length: 6 }, () => '192.0.2.2'),
    );
    const [, , ...connections] = (await runTool('ip', ['netns', 'exec', 'lb', 'ipvsadm', '-Lnc'])).trim().split('\n');
    const reached = connections.map((line) => line.trim().split(/\s+/).at(-1));
    assert.deepEqual([...new Set(reached)].sort(), ['198.51.100.2:8080', '198.51.100.3:8080']);
  });

  test('run again it changes nothing', async (context) => {
    const read = (): Promise<string> => runTool('ip', ['netns', 'exec', 'lb', 'ipvsadm', '-Sn']);
    const before = await read();
    // In this process: another one takes the test kernel seconds to start.
    const log = context.mock.method(console, 'log', () => {});
    await import(pathToFileURL(script).href);
    assert.match(String(log.mock.calls[0]?.arguments[0]), /^# 5 of 5 applied/m);
    assert.equal(await read(), before);
    assert.equal((await ask(1))[0]?.kind, 'answered');
  });
});
