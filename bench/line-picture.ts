/** Lines over a horizontal axis as SVG, from zero upwards: what is flat looks flat, what is straight looks straight. */
import { text } from './svg-text.ts';

export interface Line {
  readonly label: string;
  /** As many as there are places on the horizontal axis; NaN = nothing there. */
  readonly values: readonly number[];
  /** To compare with: thin and broken. */
  readonly isReference?: boolean;
}

export interface LinePicture {
  readonly heading: string;
  readonly across: { readonly title: string; readonly values: readonly number[]; readonly isLogarithmic?: boolean };
  readonly up: { readonly title: string; readonly isLogarithmic?: boolean };
  readonly lines: readonly Line[];
  /** With marks, where the points are few. */
  readonly marks?: boolean;
}

const width = 860;
const height = 400;
const [left, right, top, bottom] = [70, 20, 40, 60];
const colours = ['#2f6fab', '#c46f2a', '#4c8c4a', '#8a5fa8'];
const referenceColour = '#888';
const UP_TICKS = 5;
const ACROSS_TICKS = 10;

export function linePicture({ heading, across, up, lines, marks = false }: LinePicture): string {
  const values = lines.flatMap((line) => line.values).filter((value) => Number.isFinite(value) && value > 0);
  const highest = 1.1 * Math.max(...values, Number.MIN_VALUE);
  const lowest = up.isLogarithmic === true ? Math.min(...values) / 1.5 : 0;
  const x = scale(Math.min(...across.values), Math.max(...across.values), left, width - right, across.isLogarithmic);
  const y = scale(lowest, highest, height - bottom, top, up.isLogarithmic);
  const ticks =
    up.isLogarithmic === true
      ? powersOfTen(lowest, highest)
      : Array.from({ length: UP_TICKS + 1 }, (_, index) => (highest * index) / UP_TICKS);
  const step = Math.max(1, Math.ceil(across.values.length / ACROSS_TICKS));
  const places = across.values.filter((_, index) => index % step === 0 || index === across.values.length - 1);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="12">`,
    '<rect width="100%" height="100%" fill="white"/>',
    text(12, 18, heading, 'font-size="11"'),
    ...ticks.flatMap((value) => [
      `<line x1="${left}" x2="${width - right}" y1="${y(value).toFixed(1)}" y2="${y(value).toFixed(1)}" stroke="#e4e4e4"/>`,
      text(left - 6, y(value) + 4, label(value), 'text-anchor="end"'),
    ]),
    ...(step > 1 ? places.slice(0, -1) : places).map((value) =>
      text(x(value), height - bottom + 18, label(value), 'text-anchor="middle"'),
    ),
    text((left + width - right) / 2, height - bottom + 36, across.title, 'text-anchor="middle"'),
    text(left - 60, top - 8, up.title),
    ...lines.flatMap((line, index) => drawn(line, index, across.values, x, y, marks)),
    '</svg>',
    '',
  ].join('\n');
}

function drawn(
  { label: name, values, isReference = false }: Line,
  index: number,
  places: readonly number[],
  x: (value: number) => number,
  y: (value: number) => number,
  marks: boolean,
): string[] {
  const colour = isReference ? referenceColour : (colours[index % colours.length] ?? referenceColour);
  const points = places.flatMap((place, at) => {
    const value = values[at] ?? Number.NaN;
    return Number.isFinite(value) ? [[x(place), y(value)] as const] : [];
  });
  const path = points.map(([px, py]) => `${px.toFixed(1)},${py.toFixed(1)}`).join(' ');
  const legend = left + index * 260;
  return [
    `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="${isReference ? 1 : 1.6}"${isReference ? ' stroke-dasharray="5 4"' : ''}/>`,
    ...(marks && !isReference
      ? points.map(([px, py]) => `<circle cx="${px.toFixed(1)}" cy="${py.toFixed(1)}" r="3" fill="${colour}"/>`)
      : []),
    `<rect x="${legend}" y="${height - 14}" width="12" height="4" fill="${colour}"/>`,
    text(legend + 18, height - 8, name),
  ];
}

function scale(
  from: number,
  to: number,
  start: number,
  end: number,
  isLogarithmic: boolean = false,
): (value: number) => number {
  const of = isLogarithmic
    ? (value: number): number => Math.log(Math.max(value, from))
    : (value: number): number => value;
  const span = of(to) - of(from) || 1;
  return (value) => start + ((of(value) - of(from)) / span) * (end - start);
}

function powersOfTen(lowest: number, highest: number): number[] {
  const first = Math.ceil(Math.log10(lowest));
  const last = Math.floor(Math.log10(highest));
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => 10 ** (first + index));
}

function label(value: number): string {
  return value >= 10 || value === 0 ? Math.round(value).toLocaleString('en') : value.toPrecision(2);
}
