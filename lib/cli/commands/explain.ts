/** `ipvs-proxier explain`: why something is as it is, asked of the proxier that runs here. */
import type { Command } from 'commander';
import { ProxierError } from '../../errors.ts';
import { ExitCode } from '../exit-codes.ts';
import type { Terminal } from '../terminal.ts';

interface ExplainFlags {
  readonly socket?: string;
  readonly json?: true;
}

export function addExplainCommand(program: Command, terminal: Terminal, exit: (code: number) => void): void {
  program
    .command('explain')
    .argument(
      '<key...>',
      'a Service (ns1/svc1), a service port (ns1/svc1:p80), a virtual service (tcp 10.96.0.10:80), an address with or without a port',
    )
    .description(
      'ask the proxier that runs here what it knows of something: the records, what is wanted, what was applied, how it stands and why, and what led to it',
    )
    .option('--socket <path>', socketHelp)
    .option('--json', 'as JSON')
    .option('-v, --verbose', 'stacks of errors')
    .action(async (words: string[], flags: ExplainFlags) => {
      const [{ askProxier, findProxier }, { saidError, saidExplanation }, { formatProxierExplanation }] =
        await Promise.all([
          import('../ask-proxier.ts'),
          import('../answer-schemas.ts'),
          import('../format-proxier.ts'),
        ]);
      const proxier = await findProxier(flags);
      if (proxier === undefined) {
        throw new ProxierError(
          'ERR_ADMIN_SOCKET',
          'no proxier runs in this network namespace, and only a running one can say why: start it, or see what it would do with ipvs-proxier plan',
        );
      }
      const { status, body } = await askProxier(proxier, `/explain?${new URLSearchParams({ key: words.join(' ') })}`);
      const trouble = saidError(body);
      if (trouble !== undefined) throw new ProxierError('ERR_ADMIN_SOCKET', `the proxier cannot answer: ${trouble}`);
      const explanation = saidExplanation(body);
      const text =
        flags.json === true ? `${JSON.stringify(body, undefined, 2)}\n` : formatProxierExplanation(explanation);
      terminal.out(text);
      exit(status === 404 ? ExitCode.error : isServed(explanation.state) ? ExitCode.ok : ExitCode.incomplete);
    });
}

export const socketHelp = 'its admin socket (default: where the proxier of this network namespace says it is)';

/** What is on its way is served as well as can be. */
export function isServed(state: string): boolean {
  return state !== 'failing' && state !== 'contested';
}
