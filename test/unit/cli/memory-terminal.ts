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

  /** Resolves when stderr has that, or the command has ended without it. */
  async heard(what: RegExp, command: Promise<unknown>): Promise<void> {
    let ended = false;
    const end = (): void => {
      ended = true;
    };
    command.then(end, end);
    while (!ended && !what.test(this.stderr)) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  get listeners(): number {
    return this.#callbacks.size;
  }

  signal(name: string): void {
    for (const callback of this.#callbacks) callback(name);
  }
}
