/** The command line as a whole: parses, runs, and turns whatever happens into text and an exit code. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { addCleanupCommand } from './commands/cleanup.ts';
import { addExplainCommand } from './commands/explain.ts';
import { addPlanCommand } from './commands/plan.ts';
import { addReplayCommand } from './commands/replay.ts';
import { addRunCommand } from './commands/run.ts';
import { addStatusCommand } from './commands/status.ts';
import { errorText, exitCodeOf } from './error-text.ts';
import { ExitCode, exitCodeHelp } from './exit-codes.ts';
import { normalized, verbosityOf } from './settings/flags.ts';
import type { Terminal } from './terminal.ts';

/** Runs one command line (without node and script) and resolves to its exit code. */
export async function runCommandLine(args: readonly string[], terminal: Terminal): Promise<number> {
  let code: number = ExitCode.ok;
  const exit = (status: number): void => {
    code = status;
  };
  const program = new Command('ipvs-proxier')
    .description('Kubernetes Services on Linux IPVS')
    .version(packageVersion(), '-V, --version', 'print the version')
    .addHelpText('after', exitCodeHelp)
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({ writeOut: (text) => terminal.out(text), writeErr: (text) => terminal.err(text) });
  addRunCommand(program, terminal, exit);
  addPlanCommand(program, terminal, exit);
  addStatusCommand(program, terminal, exit);
  addExplainCommand(program, terminal, exit);
  addCleanupCommand(program, terminal, exit);
  addReplayCommand(program, terminal, exit);
  for (const command of program.commands) command.addHelpText('after', exitCodeHelp);
  try {
    await program.parseAsync(normalized(args), { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return commanderExit(error, terminal);
    terminal.err(errorText(error, verbosityOf(args) >= 4));
    return exitCodeOf(error);
  }
}

/** Commander has printed its own errors, but not those that an action threw. */
function commanderExit(error: CommanderError, terminal: Terminal): number {
  if (error.code === 'commander.helpDisplayed' || error.code === 'commander.version') return ExitCode.ok;
  if (error.code === 'commander.invalidArgument' && !error.message.startsWith('error:')) {
    terminal.err(`error: ${error.message}\n`);
  }
  return ExitCode.usage;
}

function packageVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));
  const version = typeof manifest === 'object' && manifest !== null ? Reflect.get(manifest, 'version') : undefined;
  return String(version ?? 'unknown');
}
