/** Log lines on standard error, of pino's shape: text for people, JSON for machines. */
import type { Logger } from '../types.ts';
import type { Terminal } from './terminal.ts';

export type LogFormat = 'text' | 'json';

export interface LoggerOptions {
  readonly format: LogFormat;
  /** Debug lines, and stacks of errors. */
  readonly verbose: boolean;
  readonly now?: () => Date;
}

type Level = keyof Logger;

export function createLogger(terminal: Terminal, { format, verbose, now = () => new Date() }: LoggerOptions): Logger {
  const line = format === 'json' ? jsonLine : textLine;
  const at =
    (level: Level) =>
    (details: object, message = ''): void =>
      terminal.err(`${line(now(), level, plain(details, verbose), message)}\n`);
  return { debug: verbose ? at('debug') : () => {}, info: at('info'), warn: at('warn'), error: at('error') };
}

function jsonLine(time: Date, level: Level, details: Readonly<Record<string, unknown>>, message: string): string {
  return JSON.stringify({ time: time.toISOString(), level, msg: message, ...details });
}

function textLine(time: Date, level: Level, details: Readonly<Record<string, unknown>>, message: string): string {
  const fields = Object.entries(details)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}=${fieldText(value)}`);
  return `${time.toISOString()} ${level.toUpperCase().padEnd(5)} ${oneLine(message)}${fields.join('')}`;
}

function fieldText(value: unknown): string {
  return typeof value === 'string' && /^[\w./:@[\]-]+$/.test(value) ? value : JSON.stringify(value);
}

/** Names of objects are anybody's: none may forge a line or move the cursor. */
export function oneLine(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ');
}

function plain(details: object, verbose: boolean): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(details).map(([key, value]: [string, unknown]) => {
      if (!(value instanceof Error)) return [key, value];
      return [key, verbose ? (value.stack ?? value.message) : value.message];
    }),
  );
}
