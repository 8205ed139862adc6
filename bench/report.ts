/** Samples to figures: what is printed, and what is kept in bench/results as JSON and as a picture. */
import type { Measurement, Series } from './measurement.ts';
import type { BarGroup } from './picture.ts';
import { median, type Sample } from './workload.ts';

export interface Figure {
  readonly way: string;
  /** Median of the rounds. */
  readonly value: number;
  readonly best: number;
  /** Median of the part spent in the addon, where the way has one. */
  readonly inside?: number;
  /** To the first way of the measurement; absent where only absolute values mean something. */
  readonly ratio?: number;
  readonly bestRatio?: number;
  readonly goal?: number;
  readonly reached?: boolean;
  /** Not measured here: from where. */
  readonly quoted?: string;
}

export interface SeriesReport {
  readonly field: string;
  readonly title: string;
  readonly unit: string;
  readonly figures: readonly Figure[];
}

export interface Report {
  readonly name: string;
  /** On which kernel. */
  readonly where: string;
  readonly title: string;
  readonly notes: readonly string[];
  readonly series: readonly SeriesReport[];
  readonly samples: readonly { readonly way: string; readonly samples: readonly Sample[] }[];
}

export function reportOf(name: string, where: string, measurement: Measurement, samples: readonly Sample[][]): Report {
  const { title, ways, notes = [] } = measurement;
  return {
    name,
    where,
    title,
    notes,
    series: measurement.series.map((series) => seriesReport(measurement, series, samples)),
    samples: ways.map(({ label }, at) => ({ way: label, samples: samples[at] ?? [] })),
  };
}

function seriesReport(measurement: Measurement, series: Series, samples: readonly Sample[][]): SeriesReport {
  const { ways, absolute = false, quoted = [] } = measurement;
  const columns = samples.map((runs) => columnOf(runs, series.field));
  const base = absolute ? undefined : columns[0];
  const measured = ways.flatMap((way, at) => {
    const values = columns[at] ?? [];
    if (values.length === 0) return [];
    const inside = columnOf(samples[at] ?? [], series.inside);
    return [
      {
        ...figure(series.noGoal ? { ...way, goal: undefined } : way, values, base),
        ...(inside.length === 0 ? {} : { inside: median(inside) }),
      },
    ];
  });
  const elsewhere = quoted.flatMap(({ label, source, values }): Figure[] => {
    const value = values[series.field];
    return value === undefined ? [] : [{ way: label, value, best: value, quoted: source }];
  });
  return { ...series, figures: [...measured, ...elsewhere] };
}

function columnOf(runs: readonly Sample[], field: string | undefined): number[] {
  return runs.map((run) => run[field ?? '']).filter((value) => value !== undefined);
}

function figure(
  { label, goal }: { readonly label: string; readonly goal?: number | undefined },
  values: readonly number[],
  base: readonly number[] | undefined,
): Figure {
  const value = median(values);
  const best = Math.min(...values);
  const ratios = base === undefined ? {} : { ratio: value / median(base), bestRatio: best / Math.min(...base) };
  const goals = goal === undefined ? {} : { goal, reached: (ratios.ratio ?? value) <= goal };
  return { way: label, value, best, ...ratios, ...goals };
}

/** The report as a table of text. */
export function reportText({ title, where, series, notes }: Report): string {
  const lines = ['', `${title} (${where})`];
  for (const one of series) {
    lines.push(`  ${one.title}, ${one.unit}: median, best`);
    for (const line of one.figures) lines.push(`    ${figureText(line, one.unit)}`);
  }
  for (const note of notes) lines.push(`  (${note})`);
  return lines.join('\n');
}

function figureText(figure: Figure, unit: string): string {
  const { way, value, best, ratio, bestRatio, goal, reached, quoted } = figure;
  const columns = [
    way.padEnd(40),
    digits(value).padStart(8),
    quoted === undefined ? digits(best).padStart(8) : ''.padStart(8),
  ];
  if (unit === 'us/op') columns.push(`${Math.round(1e6 / value).toLocaleString('en')} ops/s`.padStart(15));
  if (figure.inside !== undefined) columns.push(`${digits(figure.inside)} in the addon`);
  if (ratio !== undefined && bestRatio !== undefined) {
    columns.push(`${ratio.toFixed(2)}x`.padStart(9), `(best rounds ${bestRatio.toFixed(2)}x)`);
  }
  if (goal !== undefined)
    columns.push(`goal ${ratio === undefined ? `under ${goal}` : `${goal}x`}: ${reached ? 'reached' : 'MISSED'}`);
  if (quoted !== undefined) columns.push(`quoted: ${quoted}`);
  return columns.join(' ');
}

const digits = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toFixed(2));

/** Ways slower than this many times the first would leave nothing of the others to see. */
const PICTURE_LIMIT = 12;

export function groupsOf(report: Report): BarGroup[] {
  return report.series.map(({ title, unit, figures }) => {
    const seen = figures.filter(({ ratio = 1, quoted }) => ratio <= PICTURE_LIMIT && quoted === undefined);
    const rest = figures.filter((one) => !seen.includes(one));
    const base = figures[0]?.value ?? Number.NaN;
    const left = rest.map(({ way, value }) => `${way.trim()} ${Math.round(value / base)}x`);
    return {
      title: `${report.title}, ${report.where}: ${title}`,
      unit,
      bars: seen.map(({ way, value, ratio, goal }) => ({
        label: way.trim(),
        value,
        ...(goal === undefined ? {} : { goal: ratio === undefined ? goal : goal * base }),
      })),
      ...(left.length === 0 ? {} : { footnote: `off the scale: ${left.join('; ')}` }),
    };
  });
}
