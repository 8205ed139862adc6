/** A terminal that remembers what was said, and sends signals when told to. */
import type { Terminal } from '../../../lib/cli/terminal.ts';

export class MemoryTerminal implements Terminal {
  readonly env: Record<string, string | undefined> = {};
  stdout = '';
  stderr = '';
  readonly #callbacks = new Set<(signal: string) => void>();

  out(text: string): void {
    this.stdout += text;
  }

  err(text: string): void {
    this.stderr += text;
  }

  onSignal(callback: (signal: string) => void): () => void {
    this.#callbacks.add(callback);
    return () => this.#callbacks.delete(callback);
  }

  get listeners(): number {
    return this.#callbacks.size;
  }

  signal(name: string): void {
    for (const callback of this.#callbacks) callback(name);
  }
}
