/** Where the command reads and writes; a parameter so that tests need no process. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>;
  out(text: string): void;
  err(text: string): void;
  /** Calls back at the first SIGTERM or SIGINT; a second one ends the process as usual. The result takes it back. */
  onSignal(callback: (signal: string) => void): () => void;
}

export const processTerminal: Terminal = {
  env: process.env,
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  onSignal(callback) {
    const term = (): void => callback('SIGTERM');
    const int = (): void => callback('SIGINT');
    process.once('SIGTERM', term);
    process.once('SIGINT', int);
    return () => {
      process.off('SIGTERM', term);
      process.off('SIGINT', int);
    };
  },
};
