/** One document of YAML, or JSON, as data. */
import { parseDocument } from 'yaml';

/** Throws an Error whose message says where and why. */
export function readYaml(text: string): unknown {
  const document = parseDocument(text, { logLevel: 'silent' });
  const [error] = document.errors;
  if (error !== undefined) throw new Error(error.message.split('\n')[0]);
  const value: unknown = document.toJS();
  return value;
}
