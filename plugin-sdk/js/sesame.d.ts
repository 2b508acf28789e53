/**
 * What `sesame.js` exports, in types, for TypeScript and for editors. Those of messages and findings are in
 * `contract.d.ts`, which is generated from `wit/plugin.wit`.
 */

import type { Finding, Message } from './contract.js';

export type { Context, Direction, Finding, Message, Properties, Severity, Signer } from './contract.js';

/** The plugin's log. */
export declare const log: {
  debug(text: string): void;
  info(text: string): void;
  warn(text: string): void;
  error(text: string): void;
};

/** Where something was found: the record, counted from 1, the field, and its content, which is kept only beside the message. */
export interface Place {
  record?: number | null;
  field?: string | null;
  value?: string | null;
}

/** A finding that makes the message invalid; put content of the message into `value`, not into `text`. */
export declare function error(code: string, text: string, place?: Place): Finding;
/** A finding about a message that is accepted. */
export declare function warning(code: string, text: string, place?: Place): Finding;
/** A note. */
export declare function info(code: string, text: string, place?: Place): Finding;

/** Thrown: the message is bad and stays bad; the same as returning these findings. */
export declare class Invalid extends Error {
  constructor(...findings: Finding[]);
  readonly findings: Finding[];
}

/** Thrown: the message cannot be decided on yet; it is tried again after at least `after` milliseconds. */
export declare class Retry extends Error {
  constructor(reason: string, after?: number | null);
  readonly after: number | null;
}

/** New content; text is written as UTF-8. */
export type Content = string | Uint8Array;

/** What new content is given along. */
export interface Facts {
  contentType?: string | null;
  headers?: Record<string, string>;
}

declare const made: unique symbol;

/** What becomes of a message: made by `replaced`, `split` and `dropped`. */
export interface Change {
  readonly [made]: 'change';
}

/** A part of a split: made by `part`. */
export interface Part {
  readonly [made]: 'part';
}

/** Gives the message new content. */
export declare function replaced(payload: Content, facts?: Facts): Change;
/** Several messages in place of one. */
export declare function split(parts: Part[]): Change;
/** A part of a split; with findings in `refused` it goes to the reject queue. */
export declare function part(payload: Content, facts?: Facts & { refused?: Finding[] }): Part;
/** The message ends here on purpose. */
export declare function dropped(found: Finding): Change;

/** Content as text. */
export declare function text(message: Pick<Message, 'payload'>): string;
/** Text as content. */
export declare function bytes(content: Content): Uint8Array;
/** The lines of a message, without their ends. */
export declare function lines(message: Pick<Message, 'payload'>): string[];

/** Nothing, for a message that stays as it is, or a change; with findings, a list of that and them. */
export type Transformed = Change | null | undefined | [Change | null | undefined, Finding[]];

/** A plugin: what it is, and one function for each role of `wit/world.wit`. `Config` is the type of its `[config]`. */
export interface Plugin<Config> {
  name: string;
  version: string;
  summary: string;
  /** The JSON Schema of `[config]`, which the host checks before `init`. */
  configSchema?: object;
  /** Returns a sentence for the operator about what is wrong with the configuration, or nothing. */
  init?(config: Config): string | undefined;
  validate?(message: Message, config: Config): Iterable<Finding> | null | undefined;
  transform?(message: Message, config: Config): Transformed;
  /** Names of the channel's routes; none for the default route. */
  route?(message: Message, config: Config): Iterable<string> | null | undefined;
}

/** An interface that the component exports. */
export interface Exported {
  readonly [made]: 'interface';
}

/** The interfaces that the component exports: `lifecycle`, and one for each role there is a function for. */
export declare function plugin<Config = Record<string, never>>(
  given: Plugin<Config>,
): { lifecycle: Exported; validator: Exported; transformer: Exported; router: Exported };
