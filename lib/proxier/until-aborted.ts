/** Waiting that can be called off. */
import { ProxierError } from '../errors.ts';

/** What `work` comes to; rejects with ERR_CLOSED as soon as the signal aborts, whatever becomes of the work then. */
export async function untilAborted<T>(work: Promise<T>, signal: AbortSignal, what: string): Promise<T> {
  let forget = (): void => {};
  const aborted = new Promise<never>((_resolve, reject) => {
    const onAbort = (): void => {
      reject(new ProxierError('ERR_CLOSED', `${what} was called off`, { cause: signal.reason }));
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    forget = () => signal.removeEventListener('abort', onAbort);
  });
  try {
    return await Promise.race([aborted, work]);
  } finally {
    forget();
  }
}
