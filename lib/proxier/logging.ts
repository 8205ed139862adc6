/** Loggers of pino's shape. */
import type { Logger } from '../types.ts';

export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
};

/** A logger that throws must not stop the proxier, nor leave a change unwritten. */
export function guardLogger(logger: Logger): Logger {
  const guarded =
    (level: keyof Logger) =>
    (details: object, message?: string): void => {
      try {
        logger[level](details, message);
      } catch {
        // There is nowhere left to report it to.
      }
    };
  return { debug: guarded('debug'), info: guarded('info'), warn: guarded('warn'), error: guarded('error') };
}
