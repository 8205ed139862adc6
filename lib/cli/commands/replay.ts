/** `ipvs-proxier replay`: a proxier on what was recorded of another one. */
import { type Command, InvalidArgumentError as InvalidFlagError, Option } from 'commander';
import { ExitCode } from '../exit-codes.ts';
import { formatReplay, replayJson } from '../format-replay.ts';
import { oneLine } from '../logger.ts';
import type { Terminal } from '../terminal.ts';

interface ReplayFlags {
  readonly speed?: number;
  readonly kernel: 'fake' | 'real';
  readonly nodeName?: string;
  readonly json?: true;
}

export function addReplayCommand(program: Command, terminal: Terminal, exit: (code: number) => void): void {
  program
    .command('replay')
    .argument('<file>', 'a recording, as the option record of Proxier writes it')
    .description(
      'run a proxier on recorded events, with the options it was recorded with, and show what it did (exit code 3: not all was served)',
    )
    .option(
      '--speed <factor>',
      '1 as recorded, 10 ten times as fast, max (default: max; with --kernel real: 1)',
      speedOf,
    )
    .addOption(
      new Option('--kernel <kernel>', 'fake: in memory, no privileges; real: this machine keeps what is written')
        .choices(['fake', 'real'])
        .default('fake'),
    )
    .option('--node-name <name>', 'name of the Node to be (default: the recorded one)')
    .option('--json', 'as JSON')
    .action(async (file: string, flags: ReplayFlags) => {
      const stopping = new AbortController();
      const forget = terminal.onSignal(() => stopping.abort());
      try {
        const { replay } = await import('../../testing/simulation/replay.ts');
        const result = await replay({
          path: file,
          kernel: flags.kernel,
          ...(flags.speed === undefined ? {} : { speed: flags.speed }),
          ...(flags.nodeName === undefined ? {} : { nodeName: flags.nodeName }),
          signal: stopping.signal,
          onWarning: ({ object, message }) => terminal.err(`warning: ${oneLine(`${object}: ${message}`)}\n`),
        });
        terminal.out(flags.json === true ? replayJson(result) : formatReplay(result));
        exit(result.served ? ExitCode.ok : ExitCode.incomplete);
      } finally {
        forget();
      }
    });
}

function speedOf(text: string): number {
  if (text === 'max') return Number.POSITIVE_INFINITY;
  const speed = /^\d+(\.\d+)?$/.test(text) ? Number(text) : 0;
  if (speed > 0) return speed;
  throw new InvalidFlagError('Not a factor such as 1, 0.5 or 10, nor max.');
}
