/** How early the kernel ends this process when memory runs out (proc_pid_oom_score_adj(5)). */
import { writeFile } from 'node:fs/promises';
import type { Logger } from '../types.ts';

/** What cannot be set is a warning: below its present value only CAP_SYS_RESOURCE may set it. */
export async function setOomScore(
  score: number,
  logger: Logger,
  path: string = '/proc/self/oom_score_adj',
): Promise<void> {
  try {
    await writeFile(path, String(score));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    logger.warn(
      {},
      `${path} cannot be set to ${score}: ${why}; give this process CAP_SYS_RESOURCE, or --oom-score-adj`,
    );
  }
}
