/** What the command's exit status says. Kept stable: scripts branch on it. */
export const ExitCode = {
  ok: 0,
  /** Nothing works: no permission, no IPVS in the kernel, unusable kubeconfig, another proxier, … */
  error: 1,
  /** The command line is wrong. */
  usage: 2,
  /** `run --once`: something wanted is not served: it failed, has no known outcome, is contested, or was not complete in time. */
  incomplete: 3,
} as const;

export const exitCodeHelp = `
Exit codes:
  0  done; stopped by SIGTERM or SIGINT
  1  error: no permission, no IPVS in the kernel, unusable kubeconfig, another proxier, ...
  2  wrong command line
  3  run --once: an operation failed or has no known outcome, a virtual service or a set that is wanted is somebody
     else's or of another type and was left alone, or the pass was not complete within --timeout or when it was stopped
`;
