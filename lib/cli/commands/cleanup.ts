/** `ipvs-proxier cleanup`: removes what a proxier has written, and nothing else. */
import { type Command, Option } from 'commander';
import type { CleanupOptions } from '../../proxier/cleanup.ts';
import { ExitCode } from '../exit-codes.ts';
import { formatCleanup } from '../format-cleanup.ts';
import { createLogger, type LogFormat } from '../logger.ts';
import type { Terminal } from '../terminal.ts';

interface CleanupFlags {
  readonly dryRun?: true;
  readonly fromIptablesMode?: true;
  readonly ignoreOtherProxiers?: true;
  readonly json?: true;
  readonly logFormat: LogFormat;
  readonly verbose?: true;
}

export function addCleanupCommand(program: Command, terminal: Terminal, exit: (code: number) => void): void {
  program
    .command('cleanup')
    .description(
      'remove what a proxier has written here, ipvs-proxier or kube-proxy in IPVS mode, and nothing else; may be repeated',
    )
    .option(
      '--dry-run',
      'show what would be removed, in the notation of ipvsadm, ipset, ip and iptables; writes nothing',
    )
    .option('--from-iptables-mode', "remove the chains of kube-proxy's iptables mode, too")
    .option('--ignore-other-proxiers', 'although a proxier or kube-proxy is at work here')
    .option('--json', 'the report as JSON')
    .addOption(
      new Option('--log-format <format>', 'log lines on standard error').choices(['text', 'json']).default('text'),
    )
    .option('-v, --verbose', 'debug log lines, and stacks of errors')
    .action(async (flags: CleanupFlags) => {
      const logger = createLogger(terminal, { format: flags.logFormat, verbose: flags.verbose === true });
      const options = {
        dryRun: flags.dryRun === true,
        fromIptablesMode: flags.fromIptablesMode === true,
        ignoreOtherProxiers: flags.ignoreOtherProxiers === true,
        logger,
      };
      exit(await runCleanup(options, terminal, flags.json === true));
    });
}

/** Resolves to the exit code. */
export async function runCleanup(options: CleanupOptions, terminal: Terminal, json = false): Promise<number> {
  const stopping = new AbortController();
  const forget = terminal.onSignal(() => stopping.abort());
  try {
    const { cleanup } = await import('../../proxier/cleanup.ts');
    const report = await cleanup({ ...options, signal: stopping.signal });
    terminal.out(json ? `${JSON.stringify(report, undefined, 2)}\n` : formatCleanup(report));
    return report.failures.length === 0 ? ExitCode.ok : ExitCode.incomplete;
  } finally {
    forget();
  }
}
