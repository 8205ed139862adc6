/** Objects from a file or a directory of YAML and JSON manifests, watched for changes: a cluster is not needed. */
import type { FSWatcher } from 'node:fs';
import { watch } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { InvalidArgumentError, ProxierError, toErrorRecord } from '../errors.ts';
import type { ObjectKey } from '../records.ts';
import { type Clock, systemClock } from './clock.ts';
import { printable } from './json.ts';
import { type ManifestContent, type ManifestObject, readManifest } from './manifest-reader.ts';
import { isSelected } from './selection.ts';
import type { ResourceKind, Source, SourceSink } from './source.ts';

export interface ManifestSourceOptions {
  /** A file, or a directory whose `*.yaml`, `*.yml` and `*.json` are read (not those of its subdirectories, nor hidden ones). */
  readonly path: string;
  /** Default `manifests`. */
  readonly name?: string;
  /** As `ApiSourceOptions.serviceProxyName`. */
  readonly serviceProxyName?: string;
  /** Quiet time after a change before the files are read: editors write in several steps. Default 100 ms. */
  readonly debounceMs?: number;
  /** The files are looked at this often even when nobody tells of a change (network file systems do not). Default 5,000 ms. */
  readonly pollMs?: number;
  readonly clock?: Clock;
}

/** What is known of one file. Content is that of the last good reading; undefined = there was none yet. */
interface FileState {
  /** Of the last reading, good or bad: identity, size and times. Empty = read again. */
  readonly stamp: string;
  readonly content: ManifestContent | undefined;
  /** Told about the last reading; empty = it was good. */
  readonly fault: string;
}

const UNREAD: FileState = { stamp: '', content: undefined, fault: '' };

interface Held extends ManifestObject {
  readonly file: string;
}

const KINDS: readonly ResourceKind[] = ['Node', 'Service', 'EndpointSlice'];

/**
 * A file that cannot be read or parsed is told, and its objects stay as they were. As long as a file has never been read, the source
 * does not count as synced, so nothing that it may hold is removed from the kernel.
 */
export class ManifestSource implements Source {
  readonly name: string;
  readonly kinds: readonly ResourceKind[] = KINDS;
  readonly #options: ManifestSourceOptions;
  readonly #clock: Clock;
  #sink: SourceSink | undefined;
  #isDirectory = false;
  #files = new Map<string, FileState>();
  #held = new Map<string, Held>();
  #duplicates = new Set<string>();
  #pathFault = '';
  #watcher: FSWatcher | undefined;
  #watchedInode = 0n;
  #cancelDebounce = (): void => undefined;
  #cancelPoll = (): void => undefined;
  #scanning: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: ManifestSourceOptions) {
    if (options.path === '')
      throw new InvalidArgumentError('path', '"" is not a path; name a manifest file or a directory of them');
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.name = options.name ?? 'manifests';
  }

  async start(sink: SourceSink, signal: AbortSignal): Promise<void> {
    if (this.#sink !== undefined)
      throw new InvalidArgumentError('source', `${this.name} was started before; make a new one`);
    this.#sink = sink;
    const { path } = this.#options;
    try {
      const stats = await stat(path);
      this.#isDirectory = stats.isDirectory();
      if (this.#isDirectory) await readdir(path);
      else if (!stats.isFile()) throw new Error('it is neither a file nor a directory');
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new ProxierError(
        'ERR_MANIFEST',
        `manifests ${path} cannot be read: ${reason}; name an existing file or directory`,
        {
          cause: error,
        },
      );
    }
    if (signal.aborted) this.#end();
    else signal.addEventListener('abort', () => this.#end(), { once: true });
    this.#scanning = this.#scan();
    await this.#scanning;
    this.#poll();
  }

  async stop(): Promise<void> {
    this.#end();
    await this.#scanning;
    // The scan may have opened it once more on its way out.
    this.#watcher?.close();
  }

  #end(): void {
    this.#stopped = true;
    this.#cancelDebounce();
    this.#cancelPoll();
    this.#watcher?.close();
  }

  #poll(): void {
    if (this.#stopped) return;
    this.#cancelPoll = this.#clock.after(this.#options.pollMs ?? 5000, () => {
      this.#rescan();
      this.#poll();
    });
  }

  #changed(): void {
    this.#cancelDebounce();
    if (!this.#stopped) this.#cancelDebounce = this.#clock.after(this.#options.debounceMs ?? 100, () => this.#rescan());
  }

  #rescan(): void {
    this.#scanning = this.#scanning.then(() => this.#scan());
  }

  /** Never rejects. Watches before it reads, so that no change falls between the two. */
  async #scan(): Promise<void> {
    if (this.#stopped) return;
    await this.#watch();
    const names = await this.#list();
    if (names === undefined || this.#stopped) return;
    const files = new Map<string, FileState>();
    for (const name of names) {
      const state = await this.#read(name, this.#files.get(name));
      if (this.#stopped) return;
      if (state !== undefined) files.set(name, state);
    }
    this.#files = files;
    this.#deliver();
    if ([...files.values()].every((file) => file.content !== undefined)) {
      for (const kind of KINDS) this.#sink?.synced(kind);
    }
  }

  /** File names in the order that decides between duplicates; undefined when the path is gone: what it said stays. */
  async #list(): Promise<readonly string[] | undefined> {
    const { path } = this.#options;
    try {
      if (!this.#isDirectory) {
        await stat(path);
        this.#pathFault = '';
        return [path];
      }
      const names = (await readdir(path)).filter((name) => /^[^.].*\.(ya?ml|json)$/i.test(name)).sort();
      this.#tellPath(
        names.length > 0 ? '' : `${path} holds no *.yaml, *.yml or *.json file, so there is nothing to serve`,
      );
      return names.map((name) => join(path, name));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#tellPath(`${path} cannot be read any more (${reason}); what it said last stays, put it back`);
      return undefined;
    }
  }

  #tellPath(fault: string): void {
    if (fault !== '' && fault !== this.#pathFault) this.#tell(this.#options.path, '', fault);
    this.#pathFault = fault;
  }

  /** Undefined = there is no such file (any more). */
  async #read(file: string, last: FileState | undefined): Promise<FileState | undefined> {
    try {
      const stamp = await stampOf(file);
      if (stamp === undefined) return undefined;
      if (last?.stamp === stamp) return last;
      const text = await readFile(file, 'utf8');
      if ((await stampOf(file)) !== stamp) {
        // Being written right now: half of it may parse as well.
        this.#changed();
        return last ?? UNREAD;
      }
      return this.#parse(file, text, stamp, last);
    } catch (error) {
      if (isMissing(error)) return this.#isDirectory ? undefined : (last ?? UNREAD);
      const fault = `cannot be read: ${error instanceof Error ? error.message : String(error)}`;
      return this.#faulty(file, fault, '', last, error);
    }
  }

  #parse(file: string, text: string, stamp: string, last: FileState | undefined): FileState {
    let content: ManifestContent;
    try {
      content = readManifest(text);
    } catch (error) {
      return this.#faulty(file, error instanceof Error ? error.message : String(error), stamp, last, error);
    }
    for (const { object, kind, message } of content.problems) {
      if (object === '') this.#tell(file, kind, message);
      else this.#tell(object, kind, `${message} (${file})`);
    }
    return { stamp, content, fault: '' };
  }

  #faulty(file: string, fault: string, stamp: string, last: FileState | undefined, error: unknown): FileState {
    const content = last?.content;
    if (fault !== last?.fault) {
      const kept =
        content === undefined
          ? 'nothing is removed from the kernel before it has been read once'
          : 'its objects stay as they were last read';
      const message = `${fault}; correct the file, until then ${kept}`;
      this.#sink?.problem({ object: printable(file), kind: '', message, error: toErrorRecord(error, 'ERR_MANIFEST') });
    }
    return { stamp, content, fault };
  }

  #deliver(): void {
    const wanted = new Map<string, Held>();
    const duplicates = new Set<string>();
    for (const [file, { content }] of this.#files) {
      for (const item of content?.objects ?? []) {
        if (item.kind !== 'Node' && !isSelected(item.object, this.#options.serviceProxyName)) continue;
        const id = `${item.kind} ${item.key}`;
        const first = wanted.get(id);
        if (first === undefined) {
          wanted.set(id, { ...item, file });
          continue;
        }
        const message = `is in ${first.file} and again in ${file}; the first one counts, remove the other`;
        if (!this.#duplicates.has(`${id} ${message}`)) this.#tell(item.key, item.kind, message);
        duplicates.add(`${id} ${message}`);
      }
    }
    this.#duplicates = duplicates;
    const before = this.#held;
    this.#held = wanted;
    for (const [id, { kind, key }] of before) {
      if (!wanted.has(id)) this.#sink?.remove(kind, ...splitKey(key));
    }
    for (const [id, { kind, object }] of wanted) {
      if (before.get(id)?.object !== object) this.#sink?.upsert(kind, object);
    }
  }

  #tell(object: string, kind: ResourceKind | '', message: string): void {
    this.#sink?.problem({ object: printable(object), kind, message });
  }

  /** On the directory even for a single file: editors replace files, and a watch would stay with the old one. */
  async #watch(): Promise<void> {
    const directory = this.#isDirectory ? this.#options.path : dirname(this.#options.path);
    try {
      const { ino } = await stat(directory, { bigint: true });
      if (this.#watcher !== undefined && ino === this.#watchedInode) return;
      this.#watcher?.close();
      this.#watcher = undefined;
      if (this.#stopped) return;
      const watcher = watch(directory, () => this.#changed());
      watcher.on('error', () => {
        watcher.close();
        if (this.#watcher === watcher) this.#watcher = undefined;
      });
      this.#watcher = watcher;
      this.#watchedInode = ino;
    } catch {
      // No such directory now, or no inotify watch left: polling goes on, and each poll tries again.
    }
  }
}

function splitKey(key: ObjectKey): [namespace: string, name: string] {
  const slash = key.indexOf('/');
  return slash < 0 ? ['', key] : [key.slice(0, slash), key.slice(slash + 1)];
}

/** Changes with every change of the file, in whatever way it was made. Undefined = not a file. */
async function stampOf(file: string): Promise<string | undefined> {
  const stats = await stat(file, { bigint: true });
  if (!stats.isFile()) return undefined;
  return [stats.dev, stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs].join(' ');
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
