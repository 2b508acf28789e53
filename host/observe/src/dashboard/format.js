// Figures, times and foreign texts in words.

// Characters that are not seen, or that change how others are shown. A line end in one line is one of them.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff0-\ufffb]/g;
const MOST = 2000;

const escaped = (sign) => `\\u{${sign.codePointAt(0).toString(16)}}`;

/** A text of a message or a peer, of bounded length, with what is not seen written out. */
export function plain(text, most = MOST) {
  const whole = text === null || text === undefined ? "" : String(text);
  const cut = whole.length > most ? `${whole.slice(0, most)}…` : whole;
  return cut.replace(UNSEEN, escaped);
}

/** The same of several lines. */
export function plainLines(text) {
  return String(text).replace(UNSEEN, (sign) => (sign === "\n" || sign === "\t" ? sign : escaped(sign)));
}

/** A text for a place that is narrow. */
export const short = (text, most) => plain(text, most);

const whole = new Intl.NumberFormat("en-GB");

/** A count. */
export const count = (number) => whole.format(number ?? 0);

/** A rate for each second. */
export function rate(number) {
  if (number === null || number === undefined) {
    return "–";
  }
  const digits = number === 0 || number >= 100 ? 0 : number >= 10 ? 1 : 2;
  return `${number.toFixed(digits)}/s`;
}

/** A size in bytes. */
export function size(bytes) {
  let rest = bytes ?? 0;
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (rest < 1024) {
      return `${unit === "B" || rest >= 100 ? Math.round(rest) : rest.toFixed(1)} ${unit}`;
    }
    rest /= 1024;
  }
  return `${rest.toFixed(1)} TiB`;
}

/** A time that a step took, of milliseconds. */
export function took(milliseconds) {
  if (milliseconds === null || milliseconds === undefined || !Number.isFinite(milliseconds)) {
    return "–";
  }
  if (milliseconds < 1) {
    return `${Math.round(milliseconds * 1000)} µs`;
  }
  return milliseconds < 1000 ? `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms` : span(milliseconds);
}

/** A span of time in its two largest units. */
export function span(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const [days, hours] = [Math.floor(seconds / 86400), Math.floor((seconds % 86400) / 3600)];
  const [minutes, rest] = [Math.floor((seconds % 3600) / 60), seconds % 60];
  const parts = [[days, "d"], [hours, "h"], [minutes, "min"], [rest, "s"]];
  const first = parts.findIndex(([value]) => value > 0);
  if (first < 0) {
    return "0 s";
  }
  const shown = parts.slice(first, first + 2).filter(([value]) => value > 0);
  return shown.map(([value, unit]) => `${value} ${unit}`).join(" ");
}

/** A moment, as the clock of the reader shows it. */
export function moment(milliseconds) {
  const date = new Date(milliseconds);
  if (Number.isNaN(date.getTime())) {
    return plain(milliseconds);
  }
  const two = (number) => String(number).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** One word or the other, with its number. */
export const counted = (number, one, several) => `${count(number)} ${number === 1 ? one : several}`;
