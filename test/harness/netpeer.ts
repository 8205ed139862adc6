/** Starts `netpeer` (netpeer.c, built by scripts/setup.mjs) as a server or a client in a network namespace. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

export type NetpeerProtocol = 'tcp' | 'udp' | 'sctp';

/** What became of one request. */
export type Outcome =
  | {
      readonly kind: 'answered';
      /** Wall clock at the answer, in microseconds. */
      readonly atMicros: number;
      /** Who answered. */
      readonly name: string;
      /** The client's address as the server saw it. */
      readonly source: string;
      /** The client's address as the client saw it. */
      readonly local: string;
    }
  | {
      readonly kind: 'refused' | 'timeout' | 'unreachable' | 'error';
      readonly atMicros: number;
      readonly text: string;
    };

type NetpeerProcess = ChildProcessByStdio<null, Readable, null>;

const program = resolve(import.meta.dirname, '../../../.cache/netpeer');

function start(namespace: string | undefined, args: readonly string[]): NetpeerProcess {
  if (!existsSync(program)) throw new Error(`${program} is not there: run node scripts/setup.mjs`);
  const stdio: ['ignore', 'pipe', 'inherit'] = ['ignore', 'pipe', 'inherit'];
  return namespace === undefined
    ? spawn(program, args, { stdio })
    : spawn('ip', ['netns', 'exec', namespace, program, ...args], { stdio });
}

/** Resolves when it listens on all ports. */
export async function startServer(
  namespace: string | undefined,
  name: string,
  ports: readonly string[],
): Promise<NetpeerProcess> {
  const server = start(namespace, ['serve', name, ...ports]);
  for await (const line of createInterface(server.stdout)) if (line === 'ready') return server;
  throw new Error(`netpeer serve ${name} ${ports.join(' ')} ended before it listened`);
}

export class NetpeerClient implements AsyncIterable<Outcome> {
  readonly process: NetpeerProcess;

  constructor(namespace: string | undefined, args: readonly string[]) {
    this.process = start(namespace, ['ask', ...args]);
  }

  /** Outcomes as they come; leaving the loop stops the client. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Outcome> {
    try {
      for await (const line of createInterface(this.process.stdout)) yield parseOutcome(line);
    } finally {
      this.stop();
    }
  }

  /** All of them, when the last one is there. */
  async outcomes(): Promise<readonly Outcome[]> {
    const all: Outcome[] = [];
    for await (const outcome of this) all.push(outcome);
    return all;
  }

  stop(): void {
    this.process.kill('SIGKILL');
  }
}

export function parseOutcome(line: string): Outcome {
  const [at, kind, name, source, local] = line.split(' ');
  const atMicros = Number(at);
  switch (kind) {
    case 'answered':
      if (name === undefined || source === undefined || local === undefined) break;
      return { kind, atMicros, name, source, local };
    case 'refused':
    case 'timeout':
    case 'unreachable':
    case 'error':
      return { kind, atMicros, text: line.slice(line.indexOf(kind)) };
  }
  throw new Error(`not a line of netpeer: "${line}"`);
}
