/**
 * The contract's types, generated from `wit/plugin.wit`: what a plugin gets and gives.
 */

/**
 * Names are lower-case with hyphens; each name occurs once. Names with a meaning are listed where the properties
 * are.
 */
export type Properties = [string, string][];

export type Direction =
  /** Before signing and encryption. */
  | 'outbound'
  /** After decryption, verification and authorisation of the signer. */
  | 'inbound';

/** The verified signer of an inbound message. Only the host fills it in. */
export interface Signer {
  /** Subject DN, RFC 4514. */
  subject: string;
  /** Issuer DN, RFC 4514. */
  issuer: string;
  /** Serial number, lower-case hexadecimal. */
  serial: string;
  /** End of the certificate's validity, seconds since 1970-01-01T00:00:00Z. */
  notAfter: number;
  /** The certificate, DER. */
  certificate: Uint8Array;
  /**
   * - `subject-slash`: the subject DN in OpenSSL's slash form, `/C=UK/O=eScience/CN=host.example.org`; absent when
   *   that form is ambiguous.
   */
  properties: Properties;
}

export interface Context {
  direction: Direction;
  /** The message's id, the same on every attempt; in a part of a split, that of the whole message. */
  messageId: string;
  /** The configured channel. */
  channel: string;
  /** Broker destination of the message. */
  destination: string;
  /** Media type of the signed part, as an earlier stage set it or as it came. */
  contentType: string | null;
  /** Absent when outbound. */
  signer: Signer | null;
  /**
   * When the message was first accepted, milliseconds since 1970-01-01T00:00:00Z, the same on every attempt. Use
   * it as the current time, so that a verdict does not depend on the time of the attempt.
   */
  receivedAt: number;
  /** Number of the attempt, from 1. */
  attempt: number;
  /**
   * Transport headers in order, repeated ones included. They are not covered by the signature; empty on a later
   * attempt of a deferred message.
   */
  transportHeaders: [string, string][];
  /**
   * Numbers are decimal, without sign and leading zeros.
   * - `max-payload-bytes`: size limit of a payload after the pipeline, in bytes. Always present.
   * - `element`: the name of the queue element that an outbound message comes from: `5f3a1c00/5f3a1c2e0a1b2c` of a
   *   directory queue, else the file's name.
   * - `part`: in a part of a message that an earlier stage split, its number, from 1.
   *
   * Outbound, to compute the size of a message on the wire:
   * - `peer`: software of the recipient, `ssm` or `sesame`. Content of printable ASCII, tab and LF only is sent
   *   unchanged, other content as quoted-printable to `ssm` and as base64 to `sesame`. Content that mentions an
   *   encrypted media type is also sent as quoted-printable to `ssm` if unencrypted, and each `/` in it takes
   *   three bytes.
   * - `wire-fixed-bytes`: upper bound of the bytes that signing adds to the encoded payload: MIME headers,
   *   boundaries and signature, for the media type `text/plain`; a longer one adds the difference in length.
   * - `wire-envelope-bytes`: present only if the message will be encrypted: upper bound of the bytes that the
   *   envelope adds to the signed message. The sum is encoded as base64, in lines of 64 characters and a line end.
   */
  properties: Properties;
}

export interface Message {
  context: Context;
  payload: Uint8Array;
}

/**
 * How serious a finding is. It does not decide whether the message is accepted: findings in `invalid` refuse a
 * message, findings of an accepted message are logged.
 */
export type Severity =
  | 'error'
  | 'warning'
  | 'info';

/** One thing a plugin found in a message, written for the operator who must act on it. */
export interface Finding {
  severity: Severity;
  /** Stable and machine-readable, such as `job.negative-wall-duration`; at most 128 characters. */
  code: string;
  /**
   * Without personal data: content of the message goes into `value`, which the host stores only with the message.
   * At most 1,000 characters.
   */
  text: string;
  /** Position of the record in the message, from 1. */
  recordNumber: number | null;
  /** Field name or XPath, at most 200 characters. */
  field: string | null;
  /** Its content, at most 1,000 characters. */
  value: string | null;
  /** None has a meaning yet. */
  properties: Properties;
}

export interface Delay {
  /** Minimum delay in milliseconds. The host's own delay, by default from a minute to an hour, applies as well. */
  after: number | null;
  reason: string;
}

/** Why the message does not continue. */
export type Failure =
  /**
   * The message is invalid for good: it goes to the reject queue with these findings, at least one. Of a split
   * message only the invalid part goes there.
   */
  | { tag: 'invalid'; val: Finding[] }
  /**
   * The plugin cannot decide yet: the message is deferred, and rejected after the number of attempts that the
   * operator allows (10). For a part of a split this applies to the whole message.
   */
  | { tag: 'retry'; val: Delay }
  /** The plugin has failed: the operator's `on-error` rule applies, as for a trap. */
  | { tag: 'internal'; val: string };
