/** A recording as sources: what was said in a real run is said again. */
import { InvalidArgumentError, ProxierError } from '../../errors.ts';
import { printable, reasonOf } from '../../kube/json.ts';
import {
  parseRecordingHeader,
  parseRecordingLine,
  type RecordingHeader,
  type RecordingLine,
} from '../../kube/recording-format.ts';
import type { ResourceKind, Source, SourceProblem, SourceSink } from '../../kube/source.ts';
import { untilAborted } from '../../proxier/until-aborted.ts';
import { numberedLines } from './numbered-lines.ts';
import { Pace, type PaceOptions } from './pace.ts';

/** What has been played. */
export interface ReplayCounts {
  upsert: number;
  remove: number;
  /** Whole lists, and the objects in them. */
  list: number;
  item: number;
  synced: number;
  /** Lines that make no sense. Each was told as a problem, with its number, up to a hundred. */
  skippedLines: number;
}

export interface Recording {
  readonly header: RecordingHeader;
  /** One for each source of the recorded proxier, with its name. Give all of them to one Proxier: the recording is played when all have started. */
  readonly sources: readonly ReplaySource[];
  readonly counts: Readonly<ReplayCounts>;
  /** Time of the last line that was played, in ms of the recording. */
  readonly playedMs: number;
  /** Resolves after the last line, or when a source was stopped before. Never rejects. */
  readonly finished: Promise<void>;
}

export interface OpenRecordingOptions extends PaceOptions {
  /**
   * Once every source has said that it is synced, what follows waits for this (a proxier that is ready, say), so that without waits for time it is
   * not all there before the first pass. Default: it waits for nothing.
   */
  readonly afterLists?: Promise<unknown>;
}

const TOLD_LINES = 100;

/**
 * Reads the first line; the rest is read while it is played, in as much memory as a line (and a list, where one was recorded) takes.
 *
 * @throws ProxierError ERR_RECORDING when the file cannot be read or is no recording; InvalidArgumentError for a speed that is none.
 */
export async function openRecording(path: string, options: OpenRecordingOptions = {}): Promise<Recording> {
  const pace = new Pace(options);
  return new Playback(path, await readHeader(path), pace, options.afterLists);
}

async function readHeader(path: string): Promise<RecordingHeader> {
  try {
    for await (const { text } of numberedLines(path)) {
      const header = text === undefined ? 'its first line is too long' : parseRecordingHeader(text);
      if (typeof header !== 'string') return header;
      throw new ProxierError('ERR_RECORDING', `${printable(path)}:1: ${header}`);
    }
  } catch (error) {
    if (error instanceof ProxierError) throw error;
    throw new ProxierError('ERR_RECORDING', `${printable(path)} cannot be read: ${reasonOf(error)}`, { cause: error });
  }
  throw new ProxierError('ERR_RECORDING', `${printable(path)} is empty`);
}

class Playback implements Recording {
  readonly header: RecordingHeader;
  readonly sources: readonly ReplaySource[];
  readonly counts: ReplayCounts = { upsert: 0, remove: 0, list: 0, item: 0, synced: 0, skippedLines: 0 };
  readonly finished: Promise<void>;
  readonly #path: string;
  readonly #pace: Pace;
  readonly #afterLists: Promise<unknown> | undefined;
  /** Of each source, what has not synced yet. */
  readonly #unsynced: Set<string>;
  readonly #sinks = new Map<string, SourceSink>();
  /** The items of lists that have begun, by source and kind. */
  readonly #lists = new Map<
    string,
    { readonly source: string; readonly kind: ResourceKind; readonly items: unknown[] }
  >();
  readonly #abort = new AbortController();
  #finish: () => void = () => {};
  #playedMs = 0;
  #running: Promise<void> | undefined;

  constructor(path: string, header: RecordingHeader, pace: Pace, afterLists: Promise<unknown> | undefined) {
    this.#path = path;
    this.#pace = pace;
    this.#afterLists = afterLists;
    this.#unsynced = new Set(header.sources.flatMap(({ name, kinds }) => kinds.map((kind) => `${name}\n${kind}`)));
    this.header = header;
    this.finished = new Promise((resolve) => {
      this.#finish = resolve;
    });
    this.sources = header.sources.map(
      ({ name, kinds }) =>
        new ReplaySource(name, kinds, {
          start: (sink) => this.#start(name, sink),
          stop: () => this.#stop(),
        }),
    );
  }

  get playedMs(): number {
    return this.#playedMs;
  }

  #start(name: string, sink: SourceSink): void {
    this.#sinks.set(name, sink);
    if (this.#sinks.size < this.sources.length) return;
    this.#running = this.#play()
      .catch((error: unknown) => this.#tell(`it cannot be read any more: ${reasonOf(error)}`))
      .finally(this.#finish);
  }

  /** Sources are stopped together; without one of them the recording is not what it was. */
  async #stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
    this.#finish();
  }

  async #play(): Promise<void> {
    const { signal } = this.#abort;
    this.#pace.begin();
    let hasEnd = false;
    for await (const { number, text, ended } of numberedLines(this.#path)) {
      if (signal.aborted) return;
      if (number === 1 || text === '') continue;
      const line = text === undefined ? 'the line is too long' : parseRecordingLine(text);
      if (typeof line === 'string') {
        this.#skip(number, ended ? line : 'the line was cut off');
        continue;
      }
      await this.#pace.until(line.at, signal);
      if (signal.aborted) return;
      this.#playedMs = Math.max(this.#playedMs, line.at);
      if (line.op === 'end') hasEnd = true;
      else this.#deliver(number, line);
      if (line.op === 'synced') await this.#synced(`${line.source}\n${line.kind}`);
    }
    this.#breakLists();
    if (!hasEnd) this.#tell('it has no last line: what wrote it was killed, or still writes');
  }

  async #synced(key: string): Promise<void> {
    if (!this.#unsynced.delete(key) || this.#unsynced.size > 0 || this.#afterLists === undefined) return;
    await untilAborted(this.#afterLists, this.#abort.signal, 'the replay').catch(() => {});
  }

  #deliver(number: number, line: Exclude<RecordingLine, { readonly op: 'end' }>): void {
    const { source, kind } = line;
    const sink = this.#sinks.get(source);
    if (sink === undefined) {
      this.#skip(number, `source: ${printable(source)} is not in the header`);
      return;
    }
    const key = `${source}\n${kind}`;
    switch (line.op) {
      case 'upsert':
        this.counts.upsert += 1;
        sink.upsert(kind, line.object);
        return;
      case 'remove':
        this.counts.remove += 1;
        sink.remove(kind, line.namespace, line.name);
        return;
      case 'synced':
        this.counts.synced += 1;
        sink.synced(kind);
        return;
      case 'list':
        this.#breakList(key);
        this.#lists.set(key, { source, kind, items: [] });
        return;
      case 'item': {
        const list = this.#lists.get(key);
        if (list === undefined) this.#skip(number, `op: item belongs to no list of ${kind}`);
        else list.items.push(line.object);
        return;
      }
      case 'listed':
        this.#listed(number, key, line.complete);
    }
  }

  #listed(number: number, key: string, complete: boolean): void {
    const list = this.#lists.get(key);
    if (list === undefined) {
      this.#skip(number, 'op: listed ends no list');
      return;
    }
    if (!complete) {
      this.#breakList(key);
      return;
    }
    this.#lists.delete(key);
    this.counts.list += 1;
    this.counts.item += list.items.length;
    this.#sinks.get(list.source)?.replace(list.kind, list.items);
  }

  /** A list that broke off says what is there, but not what is gone. */
  #breakList(key: string): void {
    const list = this.#lists.get(key);
    this.#lists.delete(key);
    if (list === undefined) return;
    this.counts.item += list.items.length;
    for (const object of list.items) this.#sinks.get(list.source)?.upsert(list.kind, object);
  }

  #breakLists(): void {
    for (const key of [...this.#lists.keys()]) this.#breakList(key);
  }

  #skip(number: number, why: string): void {
    this.counts.skippedLines += 1;
    if (this.counts.skippedLines <= TOLD_LINES) this.#tell(`${why}; it is skipped`, number);
  }

  #tell(message: string, line?: number): void {
    const object = line === undefined ? this.#path : `${this.#path}:${line}`;
    const problem: SourceProblem = { object: printable(object), kind: '', message };
    const [sink] = this.#sinks.values();
    sink?.problem(problem);
  }
}

interface Part {
  start(sink: SourceSink): void;
  stop(): Promise<void>;
}

/** What one source of a recorded proxier said. Made by {@link openRecording}. */
export class ReplaySource implements Source {
  readonly name: string;
  readonly kinds: readonly ResourceKind[];
  readonly #part: Part;
  #started = false;

  /** @internal */
  constructor(name: string, kinds: readonly ResourceKind[], part: Part) {
    this.name = name;
    this.kinds = kinds;
    this.#part = part;
  }

  async start(sink: SourceSink, signal: AbortSignal): Promise<void> {
    if (this.#started) {
      throw new InvalidArgumentError('source', `${this.name} was started before; open the recording again`);
    }
    this.#started = true;
    if (signal.aborted) return;
    signal.addEventListener('abort', () => void this.#part.stop(), { once: true });
    this.#part.start(sink);
  }

  stop(): Promise<void> {
    return this.#part.stop();
  }
}
