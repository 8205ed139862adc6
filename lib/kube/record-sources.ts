/** Sources that write down what they say. */
import { InvalidArgumentError } from '../errors.ts';
import { type Clock, systemClock } from './clock.ts';
import { type JsonObject, reasonOf, show } from './json.ts';
import { packageVersion } from './package-version.ts';
import { recordableObject } from './recordable-object.ts';
import { RecordingFile } from './recording-file.ts';
import { RECORDING_FORMAT, RECORDING_VERSION, type RecordingHeader, type RecordingLine } from './recording-format.ts';
import type { Source, SourceConnection, SourceProblem, SourceSink } from './source.ts';

export interface RecordOptions {
  /**
   * The file; one that is there is kept as `path.1`. Made when the first source starts, readable by its owner only. What cannot be written (no such directory, a
   * full disk) is a warning, and the recording ends there: the proxier goes on.
   */
  readonly path: string;
  /** The recording ends, with a warning, before the file is longer than this. Default 268,435,456 (256 MiB), from 4096. */
  readonly maxBytes?: number;
  /** For the header. */
  readonly nodeName?: string;
  readonly settings?: JsonObject;
  readonly hooks?: readonly string[];
  /** Default: the machine's. */
  readonly clock?: Clock;
  /** Wall clock. */
  readonly date?: () => Date;
}

const DEFAULT_BYTES = 256 * 2 ** 20;
const MIN_BYTES = 4096;

/**
 * The same sources, with one recording of them all. A line is made of an object on this thread (some microseconds); it is written in the
 * background. What a source says about itself (problems, connections) is not recorded, and of objects only what a proxier reads:
 * `recordable-object.ts`.
 *
 * @throws InvalidArgumentError naming the option.
 */
export function recordSources(sources: readonly Source[], options: RecordOptions): readonly Source[] {
  const { maxBytes = DEFAULT_BYTES } = options;
  if (!Number.isInteger(maxBytes) || maxBytes < MIN_BYTES) {
    throw new InvalidArgumentError('maxBytes', `${show(maxBytes)} is not a whole number from ${MIN_BYTES}`);
  }
  const recorder = new Recorder(sources, { ...options, maxBytes });
  return sources.map((source) => new RecordedSource(source, recorder));
}

type Line = RecordingLine extends infer L ? (L extends { readonly at: number } ? Omit<L, 'at'> : never) : never;

class Recorder {
  readonly #options: RecordOptions & { readonly maxBytes: number };
  readonly #header: string;
  readonly #clock: Clock;
  readonly #running = new Set<RecordedSource>();
  #file: RecordingFile | undefined;
  #startMs = 0;
  #tell: (problem: SourceProblem) => void = () => {};

  constructor(sources: readonly Source[], options: RecordOptions & { readonly maxBytes: number }) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    const header: Omit<RecordingHeader, 'startedAt'> = {
      format: RECORDING_FORMAT,
      version: RECORDING_VERSION,
      packageVersion: packageVersion(),
      nodeName: options.nodeName ?? '',
      sources: sources.map(({ name, kinds }) => ({ name, kinds })),
      settings: options.settings ?? {},
      hooks: options.hooks ?? [],
    };
    this.#header = JSON.stringify(header);
  }

  enter(source: RecordedSource, sink: SourceSink): void {
    this.#running.add(source);
    this.#tell = (problem) => sink.problem(problem);
    if (this.#file !== undefined) return;
    const { path, maxBytes, date = () => new Date() } = this.#options;
    this.#startMs = this.#clock.nowMs();
    this.#file = new RecordingFile({
      path,
      maxBytes,
      onEnd: (reason) => this.#tell({ object: path, kind: '', message: `the recording has ended: ${reason}` }),
    });
    const startedAt = date().toISOString();
    this.#file.write(`${this.#header.slice(0, -1)},"startedAt":${JSON.stringify(startedAt)}}`, endLine(0));
  }

  line(line: Line): void {
    const file = this.#file;
    if (file === undefined || file.ended) return;
    // Microseconds are enough, and all digits of a double are not.
    const at = Math.round((this.#clock.nowMs() - this.#startMs) * 1000) / 1000;
    file.write(lineText({ at, ...line }), endLine(at));
  }

  /** Resolves with the last one to leave when the file is closed. */
  async leave(source: RecordedSource): Promise<void> {
    if (!this.#running.delete(source) || this.#running.size > 0) return;
    const file = this.#file;
    this.#file = undefined;
    const at = Math.round((this.#clock.nowMs() - this.#startMs) * 1000) / 1000;
    await file?.close(endLine(at)('stopped'));
  }
}

function endLine(at: number): (reason: string) => string {
  return (reason) => JSON.stringify({ at, op: 'end', reason } satisfies RecordingLine);
}

/** An object that JSON cannot say (a cycle, a getter that throws) is null, which a proxier complains about as about this one. */
function lineText(line: RecordingLine): string {
  if (line.op !== 'upsert' && line.op !== 'item') return JSON.stringify(line);
  const { object, ...rest } = line;
  try {
    return JSON.stringify({ ...rest, object: recordableObject(line.kind, object) ?? null });
  } catch (error) {
    return JSON.stringify({ ...rest, object: null, unreadable: reasonOf(error) });
  }
}

class RecordedSource implements Source {
  readonly name: string;
  readonly kinds: Source['kinds'];
  readonly #source: Source;
  readonly #recorder: Recorder;

  constructor(source: Source, recorder: Recorder) {
    this.name = source.name;
    this.kinds = source.kinds;
    this.#source = source;
    this.#recorder = recorder;
  }

  async start(sink: SourceSink, signal: AbortSignal): Promise<void> {
    this.#recorder.enter(this, sink);
    await this.#source.start(this.#recording(sink, signal), signal);
  }

  async stop(): Promise<void> {
    try {
      await this.#source.stop();
    } finally {
      await this.#recorder.leave(this);
    }
  }

  #recording(sink: SourceSink, signal: AbortSignal): SourceSink {
    const source = this.name;
    // After the end nobody listens, so it did not happen.
    const line = (each: Line): void => {
      if (!signal.aborted) this.#recorder.line(each);
    };
    return {
      upsert(kind, object) {
        line({ op: 'upsert', source, kind, object });
        sink.upsert(kind, object);
      },
      remove(kind, namespace, name) {
        line({ op: 'remove', source, kind, namespace, name });
        sink.remove(kind, namespace, name);
      },
      replace(kind, objects) {
        sink.replace(
          kind,
          recordedList(objects, (each) => line({ ...each, source, kind })),
        );
      },
      synced(kind) {
        line({ op: 'synced', source, kind });
        sink.synced(kind);
      },
      problem: (problem: SourceProblem) => sink.problem(problem),
      connection: (state: SourceConnection) => sink.connection(state),
    };
  }
}

type ListLine =
  | { readonly op: 'list' }
  | { readonly op: 'item'; readonly object: unknown }
  | { readonly op: 'listed'; readonly complete: boolean };

/** Written as it is read, for it may be read only once, and may break off. */
function* recordedList(objects: Iterable<unknown>, line: (line: ListLine) => void): Iterable<unknown> {
  let complete = false;
  line({ op: 'list' });
  try {
    for (const object of objects) {
      line({ op: 'item', object });
      yield object;
    }
    complete = true;
  } finally {
    line({ op: 'listed', complete });
  }
}
