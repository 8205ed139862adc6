/** `ipvs-proxier status`: what the kernel does now. */
import type { Command } from 'commander';
import { ExitCode } from '../exit-codes.ts';
import type { Terminal } from '../terminal.ts';

interface StatusFlags {
  readonly json?: true;
}

export function addStatusCommand(program: Command, terminal: Terminal, exit: (code: number) => void): void {
  program
    .command('status')
    .description("show the kernel's virtual services, destinations, sets and bound addresses; changes nothing")
    .option('--json', 'as JSON')
    .option('-v, --verbose', 'stacks of errors')
    .action(async (flags: StatusFlags) => {
      // Loaded on use, as in the other commands: help and usage errors answer at once.
      const [{ openKernel }, { readStatus }, { formatStatus }] = await Promise.all([
        import('../../kernel/index.ts'),
        import('../read-status.ts'),
        import('../format-status.ts'),
      ]);
      await using kernel = await openKernel({ thread: 'inline' });
      const status = await readStatus(kernel);
      terminal.out(flags.json === true ? `${JSON.stringify(status, undefined, 2)}\n` : formatStatus(status));
      exit(ExitCode.ok);
    });
}
