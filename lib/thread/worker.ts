/**
 * What piscina runs on the worker thread. It keeps one handler per thread, made from the module and the init value that the
 * `open` task names; a task of another epoch is refused without running, because the state it was meant for is gone.
 * Errors cross as {@link ErrorRecord}s: structured clone would strip their class and code.
 */
import { type ErrorRecord, ProxierError, toErrorRecord } from '../errors.ts';
import type { Handler, HandlerModule } from './host.ts';

export type WorkerTask<Init, Request> =
  /** Loads the module (a file URL of a compiled `.js` file) and makes the handler. */
  | { readonly kind: 'open'; readonly epoch: number; readonly module: string; readonly init: Init }
  | { readonly kind: 'call'; readonly epoch: number; readonly request: Request }
  | { readonly kind: 'close'; readonly epoch: number };

export type WorkerAnswer<Reply> =
  | { readonly kind: 'done' }
  | { readonly kind: 'reply'; readonly reply: Reply }
  | { readonly kind: 'failed'; readonly error: ErrorRecord }
  /** This thread holds no state of the epoch the task was meant for; nothing was run. */
  | { readonly kind: 'refused' };

let current: { readonly epoch: number; readonly handler: Handler<unknown, unknown> } | undefined;

/** Piscina's entry (`name: 'runTask'`). Never rejects: what fails is in the answer. */
export async function runTask(task: WorkerTask<unknown, unknown>): Promise<WorkerAnswer<unknown>> {
  try {
    switch (task.kind) {
      case 'open':
        current = { epoch: task.epoch, handler: await open(task.module, task.init) };
        return { kind: 'done' };
      case 'call':
        if (current?.epoch !== task.epoch) return { kind: 'refused' };
        return { kind: 'reply', reply: await current.handler.handle(task.request) };
      case 'close': {
        if (current?.epoch !== task.epoch) return { kind: 'done' };
        const { handler } = current;
        current = undefined;
        await handler.close();
        return { kind: 'done' };
      }
    }
  } catch (error) {
    return { kind: 'failed', error: toErrorRecord(error) };
  }
}

async function open(module: string, init: unknown): Promise<Handler<unknown, unknown>> {
  const loaded: unknown = await import(module);
  if (!isHandlerModule(loaded)) throw new ProxierError('ERR_WORKER', `${module} does not export createHandler`);
  return loaded.createHandler(init);
}

function isHandlerModule(value: unknown): value is HandlerModule<unknown, unknown, unknown> {
  return (
    typeof value === 'object' && value !== null && 'createHandler' in value && typeof value.createHandler === 'function'
  );
}
