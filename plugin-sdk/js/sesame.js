/**
 * Helper for Sesame plugins in JavaScript.
 *
 * `plugin({...})` takes a name, a version, a summary, perhaps a JSON Schema of the configuration, and one function for
 * each role of `wit/world.wit`; the names it gives back are exported by the plugin's own module:
 *
 *     export const { lifecycle, validator } = plugin({ name: 'sites', ..., validate(message, config) { ... } });
 *
 * Every message gets a fresh instance: a plugin cannot keep state. The clock shows the message's
 * `receivedAt`, random numbers are the same on every attempt, there are no files and no network; what is written with
 * `console` goes to the plugin's log.
 *
 * What is in a message never makes the plugin fail here: a message that cannot be read is invalid (see `ask`), and returned
 * text is made fit for the host, which accepts only well-formed Unicode (see `fit`).
 */

import * as host from 'sesame:plugin/log@{{contract}}';

// What the host keeps of a finding's code, text, field and value, of a log line, and how many findings.
const KEPT = { code: 128, sentence: 1000, field: 200, value: 1000, line: 2000, findings: 200 };
// The longest value of a transport header, in bytes.
const HEADER = 4096;

/** Any value as text. Objects as JSON: content of a message may have a `toString` that is not a function. */
function shown(value) {
  if (typeof value === 'string') return value;
  try {
    return typeof value === 'object' && value !== null && !(value instanceof Error) ? JSON.stringify(value) : String(value);
  } catch {
    return `[${typeof value}]`;
  }
}

/**
 * Text that the host takes: single surrogates, which JSON can write and UTF-8 cannot, become U+FFFD; with `most`, a little
 * more than is kept, so that the host shows that it was cut.
 */
function fit(value, most = Infinity) {
  const text = shown(value) ?? '';
  const cut = text.length > 2 * most + 2 ? text.slice(0, 2 * most + 2) : text;
  return /[\ud800-\udfff]/.test(cut) ? cut.replace(/[\ud800-\udbff][\udc00-\udfff]|[\ud800-\udfff]/g, paired) : cut;
}

const paired = (units) => (units.length === 2 ? units : '\ufffd');
const optional = (value, most) => (value === null || value === undefined ? null : fit(value, most));
/** A number for a field of 32 bits; null for anything else. */
const number = (value, least) => (Number.isInteger(value) && value >= least && value < 2 ** 32 ? value : null);

const write = (level) => (text) => (host.write ?? host.default.write)(level, fit(text, KEPT.line));

/** The plugin's log. */
export const log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };

const line = (level) => (...values) => write(level)(values.map(shown).join(' '));

// The engine has no console.
globalThis.console = {
  debug: line('debug'), log: line('info'), info: line('info'), warn: line('warn'), error: line('error'), trace: line('debug'),
};

/** What the engine took from the machine on which the component was built, and would keep for every message. */
function begin() {
  const clock = performance.now.bind(performance);
  const origin = clock();
  globalThis.performance = { now: () => clock() - origin, timeOrigin: Date.now() };
}

/** Random numbers that follow from the message, so that the next attempt gets the same (splitmix32 over FNV-1a). */
function reseed(key) {
  let state = 0x811c9dc5;
  for (const unit of key) state = Math.imul(state ^ unit.codePointAt(0), 0x01000193);
  const next = () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  };
  Math.random = () => (next() * 0x200000 + (next() >>> 11)) / 0x20000000000000;
}

const made = (severity, code, text, record, field, value) => ({
  severity,
  code: fit(code, KEPT.code),
  text: fit(text, KEPT.sentence),
  recordNumber: number(record, 1),
  field: optional(field, KEPT.field),
  value: optional(value, KEPT.value),
  properties: [],
});

const finding = (severity) => (code, text, { record = null, field = null, value = null } = {}) =>
  made(severity, code, text, record, field, value);

/** A finding as the host accepts it, whether the plugin or the helper made it. */
const fitted = (found) => made(found.severity, found.code, found.text, found.recordNumber, found.field, found.value);

/** As many findings as the host keeps; the last one counts the others. */
function fittedAll(given) {
  if (given.length <= KEPT.findings) return given.map(fitted);
  const others = given.slice(KEPT.findings - 1);
  const severity = ['error', 'warning', 'info'].find((one) => others.some((found) => found.severity === one));
  const more = made(severity, 'message.more-findings', `${others.length} more findings are not listed`);
  return [...given.slice(0, KEPT.findings - 1).map(fitted), more];
}

/**
 * A finding that makes the message invalid. Records count from 1; what was in the message belongs into `value`, which
 * the host keeps only beside the message.
 */
export const error = finding('error');
/** A finding about a message that is accepted. */
export const warning = finding('warning');
/** A note. */
export const info = finding('info');

/** Thrown: the message is bad and stays bad; the same as returning these findings. */
export class Invalid extends Error {
  constructor(...findings) {
    super(findings.slice(0, 3).map((found) => found.text).join('; '));
    this.findings = findings;
  }
}

/** Thrown: the message cannot be decided on yet; it is tried again after at least `after` milliseconds. */
export class Retry extends Error {
  constructor(reason, after = null) {
    super(reason);
    this.after = after;
  }
}

/**
 * What `transform` returns, beside nothing for a message that stays as it is; a list of that and findings, where there
 * are any.
 */
export const replaced = (payload, { contentType, headers } = {}) => ({ replaced: { payload, contentType, headers } });
/** Several messages in place of one: a list of `part(...)`. */
export const split = (parts) => ({ split: parts });
/** A part of a split; with findings in `refused` it goes to the reject queue. */
export const part = (payload, { contentType, headers, refused } = {}) => ({ payload, contentType, headers, refused });
/** The message ends here on purpose. */
export const dropped = (found) => ({ dropped: found });

/** Content as text, and text as content. */
export const text = (message) => decodeUtf8(message.payload);
export const bytes = (content) => (typeof content === 'string' ? encodeUtf8(content) : content);

/** The lines of a message, without their ends: `\n` or `\r\n`. A regular expression would be tried at each position. */
export function lines(message) {
  const content = text(message);
  const found = content.split('\n');
  return content.includes('\r') ? found.map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line)) : found;
}

// The engine has neither TextDecoder nor TextEncoder. What it has in its place runs an order faster than a loop over bytes
// here. In pieces, so that a large message takes little more than its own size.
const AT_ONCE = 3 << 14;

const piece = (codes) => String.fromCharCode.apply(null, codes);
/** Each byte as the character of its number. */
const characters = (bytes) => (bytes.toBase64 ? atob(bytes.toBase64()) : piece(bytes));

function decodeUtf8(payload) {
  const bytes = payload instanceof Uint8Array ? payload : Uint8Array.from(payload);
  const pieces = [];
  for (let at = 0, end = 0; at < bytes.length; at = end) {
    end = whole(bytes, at + AT_ONCE);
    pieces.push(decodePiece(bytes.slice(at, end)));
  }
  return pieces.join('');
}

/** The position at or before `end` that is not inside a code point. */
function whole(bytes, end) {
  const begin = [end, end - 1, end - 2, end - 3].find((at) => (bytes[at] & 0xc0) !== 0x80);
  // Of four such bytes in a row the last is part of no code point.
  return begin ?? end;
}

/** Whether there is no byte above 0x7f, sixteen at a time; of bytes with a buffer of their own. */
function isAscii(bytes) {
  const words = new Uint32Array(bytes.buffer, 0, (bytes.length >> 4) << 2);
  let seen = 0;
  for (let at = 0; at < words.length; at += 4) seen |= words[at] | words[at + 1] | words[at + 2] | words[at + 3];
  for (let at = words.length * 4; at < bytes.length; at += 1) seen |= bytes[at];
  return (seen & 0x80808080) === 0;
}

function decodePiece(bytes) {
  if (isAscii(bytes)) return characters(bytes);
  try {
    return decodeURIComponent(escape(characters(bytes)));
  } catch {
    return decodeMalformed(bytes);
  }
}

const LEAST = [0, 0, 0x80, 0x800, 0x10000];

/** The code point at `at`; -1 for a byte that is part of none. */
function decodeOne(payload, at) {
  const lead = payload[at];
  if (lead < 0x80) return lead;
  const length = lead >= 0xf0 && lead < 0xf5 ? 4 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xc2 && lead < 0xe0 ? 2 : 0;
  let point = lead & (0x7f >> length);
  for (let next = 1; next < length; next += 1) {
    const byte = payload[at + next];
    if ((byte & 0xc0) !== 0x80) return -1;
    point = (point << 6) | (byte & 0x3f);
  }
  return length && point >= LEAST[length] && point <= 0x10ffff && (point < 0xd800 || point >= 0xe000) ? point : -1;
}

const width = (point) => (point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4);

/** What is not well-formed: each byte that is part of no code point becomes U+FFFD. */
function decodeMalformed(bytes) {
  const codes = [];
  for (let at = 0; at < bytes.length; ) {
    const point = decodeOne(bytes, at);
    if (point < 0) codes.push(0xfffd);
    else if (point < 0x10000) codes.push(point);
    else codes.push(0xd800 + ((point - 0x10000) >> 10), 0xdc00 + ((point - 0x10000) & 0x3ff));
    at += point < 0 ? 1 : width(point);
  }
  return piece(codes);
}

/** The code point at `at`; U+FFFD for half of a pair of surrogates. */
function pointAt(content, at) {
  const unit = content.charCodeAt(at);
  if (unit < 0xd800 || unit >= 0xe000) return unit;
  const next = unit < 0xdc00 ? content.charCodeAt(at + 1) : 0;
  return next >= 0xdc00 && next < 0xe000 ? 0x10000 + ((unit - 0xd800) << 10) + (next - 0xdc00) : 0xfffd;
}

const units = (point) => (point < 0x10000 ? 1 : 2);

function sizeInUtf8(content) {
  let size = 0;
  for (let at = 0, point = 0; at < content.length; at += units(point)) {
    point = pointAt(content, at);
    size += width(point);
  }
  return size;
}

function encodeUtf8(content) {
  const encoded = new Uint8Array(sizeInUtf8(content));
  let to = 0;
  for (let at = 0; at < content.length; ) {
    let point = pointAt(content, at);
    at += units(point);
    const bytes = width(point);
    if (bytes === 1) {
      encoded[to] = point;
    } else {
      for (let last = bytes - 1; last > 0; last -= 1) {
        encoded[to + last] = 0x80 | (point & 0x3f);
        point >>= 6;
      }
      encoded[to] = ((0xf00 >> bytes) & 0xff) | point;
    }
    to += bytes;
  }
  return encoded;
}

// How deep JSON may nest. The engine's own reader would go on until the host's stack ends, which no plugin can
// catch; no record nests deeper than ten.
const DEEPEST = 200;

/** Thrown where a message cannot be read: it is invalid, unless the plugin catches it. */
class Unreadable extends SyntaxError {
  constructor(code, text) {
    super(text);
    this.findings = [error(code, text)];
  }
}

/** Where the string ends that begins at `at`. */
function endOfString(json, at) {
  for (let end = json.indexOf('"', at + 1); end >= 0; end = json.indexOf('"', end + 1)) {
    let slashes = end;
    while (json.charCodeAt(slashes - 1) === 0x5c) slashes -= 1;
    if ((end - slashes) % 2 === 0) return end;
  }
  return json.length;
}

/** Whether brackets nest too deeply in what would be read as JSON. */
function isDeep(json) {
  let depth = 0;
  for (let at = 0; at < json.length; at += 1) {
    const one = json.charCodeAt(at);
    if (one === 0x22) {
      at = endOfString(json, at);
    } else if (one === 0x5b || one === 0x7b) {
      depth += 1;
      if (depth > DEEPEST) return true;
    } else if (one === 0x5d || one === 0x7d) {
      depth -= 1;
    }
  }
  return false;
}

const parse = JSON.parse;
JSON.parse = (source, reviver) => {
  const json = shown(source);
  if (isDeep(json)) throw new Unreadable('message.too-deep', `nests deeper than ${DEEPEST} levels`);
  try {
    return parse(json, reviver);
  } catch (failed) {
    throw failed instanceof SyntaxError ? new Unreadable('message.malformed', `is not JSON: ${failed.message}`) : failed;
  }
};

/** A header; a line end or another control character in its value becomes U+FFFD. */
function header([name, value]) {
  const text = fit(value, HEADER).replace(/[\x00-\x1f\x7f-\x9f]/g, '\ufffd');
  if (sizeInUtf8(text) > HEADER) {
    const long = `gives a header that is longer than the ${HEADER} bytes of one`;
    throw new Invalid(error('message.header-too-long', long, { field: name }));
  }
  return [fit(name), text];
}

const output = ({ payload, contentType = null, headers = {} }) => ({
  payload: bytes(payload),
  contentType: optional(contentType, 255),
  setHeaders: Object.entries(headers ?? {}).map(header),
  properties: [],
});

const refusedPart = (given) => (given && given.length ? fittedAll([...given]) : null);

function verdict(answer) {
  if (answer === undefined || answer === null) return { tag: 'unchanged' };
  if (answer.replaced) return { tag: 'replaced', val: output(answer.replaced) };
  if (answer.dropped) return { tag: 'dropped', val: fitted(answer.dropped) };
  if (answer.split) {
    return { tag: 'split', val: answer.split.map((one) => ({ content: output(one), refused: refusedPart(one.refused) })) };
  }
  throw new TypeError('transform returned something else than nothing, replaced, split or dropped');
}

const invalid = (findings) => ({ contract: { tag: 'invalid', val: fittedAll([...findings]) } });

function checked(findings) {
  const given = [...(findings ?? [])];
  if (given.some((found) => found.severity === 'error')) throw invalid(given);
  return fittedAll(given);
}

function transformed(answer) {
  const [change, findings] = Array.isArray(answer) ? answer : [answer, []];
  return { findings: checked(findings), verdict: verdict(change) };
}

/** Where a line of the script comes from: `sesame plugin build` adds a table to the script that it makes of TypeScript. */
const source = (file, line, column) => globalThis.sesamePlaces?.[line - 1] ?? `${file}:${line}${column ?? ''}`;

/** The error in one line with the place where it was thrown. */
function place(failed) {
  if (!(failed instanceof Error)) return `thrown: ${fit(failed, KEPT.sentence)}`;
  const where = /([^():\s/]+):(\d+)(:\d+)?\)?/.exec(fit(failed.stack, KEPT.line));
  const begin = where ? `${source(where[1], Number(where[2]), where[3])}: ` : '';
  return `${begin}${failed.name}: ${fit(failed.message, KEPT.sentence)}`;
}

/**
 * Calls the plugin; whatever it throws becomes a failure of the contract. That a message cannot be read is the message's
 * fault and not the plugin's.
 */
function ask(message, name, call) {
  const { messageId, properties, receivedAt } = message.context;
  // All messages without an id would get the same numbers.
  const id = messageId === 'noid' ? `noid ${receivedAt}` : messageId;
  reseed([name, id, ...properties.filter(([key]) => key === 'part').map(([, part]) => part)].join(' '));
  try {
    return call();
  } catch (failed) {
    if (failed?.contract) throw failed.contract;
    if (failed instanceof Invalid || failed instanceof Unreadable) throw invalid(failed.findings).contract;
    if (failed instanceof Retry) {
      throw { tag: 'retry', val: { after: number(failed.after, 0), reason: fit(failed.message, KEPT.sentence) } };
    }
    throw { tag: 'internal', val: place(failed) };
  }
}

const KEYS = 'name, version, summary, configSchema, init, validate, transform, route';

/** The interfaces that the component exports: `lifecycle`, and one for each role there is a function for. */
export function plugin({ name, version, summary, configSchema, init, validate, transform, route, ...unknown }) {
  const [misspelt] = Object.keys(unknown);
  if (misspelt) throw new TypeError(`plugin(): unknown key ${misspelt}; known: ${KEYS}`);
  const functions = Object.entries({ validate, transform, route }).filter(([, given]) => given).map(([key]) => key);
  let config = {};
  return {
    lifecycle: {
      describe: () => ({
        name, version, summary, properties: [['functions', functions.join(' ')]],
        configSchema: configSchema === undefined ? null : JSON.stringify(configSchema),
      }),
      init(json) {
        begin();
        config = JSON.parse(json);
        let wrong;
        try {
          wrong = init?.(config);
        } catch (failed) {
          throw place(failed);
        }
        if (typeof wrong === 'string') throw wrong;
      },
    },
    validator: { validate: (message) => ask(message, name, () => checked(validate(message, config))) },
    transformer: { transform: (message) => ask(message, name, () => transformed(transform(message, config))) },
    router: { route: (message) => ask(message, name, () => [...(route(message, config) ?? [])].map((route) => fit(route))) },
  };
}
