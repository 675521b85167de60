/** How numbers and names read. */
const SUPER = "⁰¹²³⁴⁵⁶⁷⁸⁹",
  SUB = "₀₁₂₃₄₅₆₇₈₉";

const digits = (n: number, signs: string) => [...String(Math.abs(n))].map(c => signs[Number(c)]).join("");
export const subscript = (n: number) => digits(n, SUB);
export const power = (n: number) => `10${n < 0 ? "⁻" : ""}${digits(n, SUPER)}`;
export const signed = (text: string) => text.replace(/^-(?=[0.]*$)/, "").replace("-", "−");

/** Three digits, as people write them: 0.0123, 4.5×10⁻¹². */
export function number(x: number | null | undefined): string {
  if (x === null || x === undefined || Number.isNaN(x)) return "—";
  if (x === 0) return "0";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  const size = Math.abs(x);
  if (size >= 0.001 && size < 9999.5) return signed(String(Number(x.toPrecision(3))));
  return scientific(x < 0 ? -1 : 1, Math.log10(size));
}

/** The same of a number that is known by its logarithm, and may be too small for this machine. */
export function fromLog(log: number): string {
  if (Number.isNaN(log)) return "—";
  if (log === -Infinity) return "0";
  return log > -3 && log < 4 ? number(10 ** log) : scientific(1, log);
}

function scientific(sign: number, log: number): string {
  let exponent = Math.floor(log),
    mantissa = (10 ** (log - exponent)).toFixed(2);
  if (mantissa === "10.00") [mantissa, exponent] = ["1.00", exponent + 1];
  const trimmed = String(Number(mantissa));
  return `${sign < 0 ? "−" : ""}${trimmed === "1" ? "" : `${trimmed}×`}${power(exponent)}`;
}

export function percent(share: number): string {
  if (Number.isNaN(share)) return "—";
  const size = Math.abs(share);
  return signed(`${(100 * share).toFixed(size === 0 || size >= 0.0995 ? 0 : size >= 0.00995 ? 1 : 2)} %`);
}

/** A share that is known by its logarithm. */
export const shareOf = (log: number) => (log > -3 && log < 1 ? percent(10 ** log) : fromLog(log));

/** What is left of a gradient after one operation or step, in words that can be said aloud. */
export function left(ratio: number): string {
  if (ratio === 0) return "nothing of it is left";
  if (ratio > 1.05)
    return ratio >= 2 ? `it grows ${number(Number(ratio.toPrecision(2)))} times` : `it grows by ${percent(ratio - 1)}`;
  if (ratio > 0.95) return "nearly all of it passes";
  const words: [number, string][] = [
    [0.85, "nine tenths of it pass"],
    [0.71, "three quarters of it pass"],
    [0.6, "two thirds of it pass"],
    [0.55, "six tenths of it pass"],
    [0.45, "half of it is lost"],
    [0.37, "six tenths of it are lost"],
    [0.29, "two thirds of it are lost"],
    [0.22, "three quarters of it are lost"],
    [0.12, "most of it is lost"],
    [0.07, "nine tenths of it are lost"],
  ];
  return words.find(([least]) => ratio >= least)?.[1] ?? "nearly all of it is lost";
}

export const counted = (n: number, noun: string) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
/** Long names keep both ends. */
export const shortened = (name: string, most: number) =>
  [...name].length <= most
    ? name
    : `${[...name].slice(0, Math.ceil(most / 2)).join("")}…${[...name].slice(1 - Math.floor(most / 2)).join("")}`;
/** `layer0/f` belongs to `layer0`; the values of a single cell to "". */
export const layerOf = (name: string) => (name.includes("/") ? name.slice(0, name.lastIndexOf("/")) : "");
export const within = (name: string) => name.slice(name.lastIndexOf("/") + 1);
