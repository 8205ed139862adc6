/** How far a reconciler has come. */
export class Progress {
  /** Highest `seq` of a record taken in. */
  revision = 0;
  /** Every source has delivered its whole first list. */
  allSynced = false;
  /** The rest of a snapshot is still to come. */
  inSnapshot = false;
  /** `start` has succeeded. */
  isStarted = false;
  /** The first complete pass waits for the rules, or for the kernel to be read. */
  isPreparing = false;
  /** It has begun to write; it may take several turns. */
  hasBegun = false;
  /** It was made: from then on the kernel follows the records. */
  isComplete = false;

  /** Whatever is dirty may be written. */
  get mayWrite(): boolean {
    return this.isComplete && !this.inSnapshot;
  }

  /** What everything waits for; undefined: nothing. */
  get waitsFor(): string | undefined {
    if (!this.isStarted) return 'the first read of the kernel';
    if (this.inSnapshot) return 'the rest of a snapshot of the records';
    if (this.isComplete) return undefined;
    return this.allSynced ? 'the first complete pass' : 'the first complete lists of every source';
  }
}
