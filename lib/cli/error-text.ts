/** Errors as one line for people: what, and what to do. The stack only when asked for. */
import { InvalidArgumentError, ProxierError } from '../errors.ts';
import { ExitCode } from './exit-codes.ts';
import { oneLine } from './logger.ts';

export function errorText(error: unknown, verbose: boolean): string {
  const code = error instanceof ProxierError ? ` (${error.code})` : '';
  const stack = verbose && error instanceof Error && error.stack !== undefined ? `${error.stack}\n` : '';
  return `error: ${oneLine(messageOf(error))}${code}\n${stack}`;
}

export function exitCodeOf(error: unknown): number {
  return error instanceof InvalidArgumentError ? ExitCode.usage : ExitCode.error;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
