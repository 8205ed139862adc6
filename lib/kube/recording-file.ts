/** A file that is appended to without ever waiting for it. Whatever goes wrong ends the file, once, and hurts nothing else. */
import { lstat, open, rename } from 'node:fs/promises';

/** The part of a `FileHandle` that is used. */
export interface AppendedFile {
  /** All of it, or rejects. */
  appendFile(text: string): Promise<void>;
  close(): Promise<void>;
}

export interface RecordingFileOptions {
  readonly path: string;
  /** The file ends before it would become longer than this. */
  readonly maxBytes: number;
  /** What waits for a slow disk, at most. Default 64 MiB. */
  readonly maxWaitingBytes?: number;
  /** The file has ended early: why, as the end of a sentence. Called at most once. */
  readonly onEnd: (reason: string) => void;
  /** Default: on disk. */
  readonly open?: (path: string) => Promise<AppendedFile>;
}

const DEFAULT_WAITING_BYTES = 64 * 2 ** 20;
/** Kept for the last line. */
const RESERVED_BYTES = 200;

export class RecordingFile {
  readonly #options: RecordingFileOptions;
  #waiting: string[] = [];
  #waitingBytes = 0;
  #bytes = 0;
  #ended = false;
  #broken = false;
  #writing: Promise<void> | undefined;
  #file: AppendedFile | undefined;

  constructor(options: RecordingFileOptions) {
    this.#options = options;
  }

  /** Nothing is taken any more. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Takes a line, without its line feed. `lastLine` is written instead when this one is too long for what is left, and ends the file. */
  write(line: string, lastLine: (reason: string) => string): void {
    if (this.#ended) return;
    const { maxBytes, maxWaitingBytes = DEFAULT_WAITING_BYTES } = this.#options;
    const size = Buffer.byteLength(line) + 1;
    if (this.#bytes + size > maxBytes - RESERVED_BYTES) {
      this.#endEarly(`it has reached its limit of ${maxBytes} bytes`, lastLine('maxBytes'));
    } else if (this.#waitingBytes + size > maxWaitingBytes) {
      this.#endEarly(`the disk is too slow: ${this.#waitingBytes} bytes wait for it`, lastLine('slow disk'));
    } else {
      this.#append(line, size);
    }
  }

  /** Writes the last line and resolves when the file is closed. Never rejects. Idempotent. */
  async close(lastLine: string): Promise<void> {
    if (!this.#ended) this.#append(lastLine, 0);
    this.#ended = true;
    await this.#writing;
    const file = this.#file;
    this.#file = undefined;
    await file?.close().catch(() => {});
  }

  #endEarly(reason: string, lastLine: string): void {
    this.#append(lastLine, 0);
    this.#ended = true;
    this.#options.onEnd(reason);
  }

  #append(line: string, size: number): void {
    this.#waiting.push(`${line}\n`);
    this.#waitingBytes += size;
    this.#bytes += size;
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
  }

  async #write(): Promise<void> {
    try {
      this.#file ??= await (this.#options.open ?? openNew)(this.#options.path);
      while (this.#waiting.length > 0 && !this.#broken) {
        const text = this.#waiting.join('');
        const bytes = this.#waitingBytes;
        this.#waiting = [];
        await this.#file.appendFile(text);
        this.#waitingBytes -= bytes;
      }
    } catch (error) {
      const wasTold = this.#ended;
      this.#broken = true;
      this.#ended = true;
      this.#waiting = [];
      if (!wasTold) this.#options.onEnd(error instanceof Error ? error.message : String(error));
    }
  }
}

/** What is there already is kept beside it, as `path.1`: the record of a crash is not lost to the restart after it. Readable by the owner only. */
async function openNew(path: string): Promise<AppendedFile> {
  const there = await lstat(path).catch(() => undefined);
  if (there?.isFile() === true) await rename(path, `${path}.1`);
  // Not through a symbolic link that somebody has put there, nor into a device.
  return open(path, 'wx', 0o600);
}
