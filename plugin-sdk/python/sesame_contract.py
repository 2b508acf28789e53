"""The contract's types, generated from `wit/plugin.wit`: what a plugin gets and gives."""

from __future__ import annotations

import dataclasses
import enum
import typing


# Names are lower-case with hyphens; each name occurs once. Names with a meaning are listed where the properties
# are.
Properties = typing.List[typing.Tuple[str, str]]


class Direction(enum.Enum):
    # Before signing and encryption.
    OUTBOUND = 0
    # After decryption, verification and authorisation of the signer.
    INBOUND = 1


# The verified signer of an inbound message. Only the host fills it in.
@dataclasses.dataclass
class Signer:
    # Subject DN, RFC 4514.
    subject: str
    # Issuer DN, RFC 4514.
    issuer: str
    # Serial number, lower-case hexadecimal.
    serial: str
    # End of the certificate's validity, seconds since 1970-01-01T00:00:00Z.
    not_after: int
    # The certificate, DER.
    certificate: bytes
    # - `subject-slash`: the subject DN in OpenSSL's slash form, `/C=UK/O=eScience/CN=host.example.org`; absent when
    #   that form is ambiguous.
    properties: Properties


@dataclasses.dataclass
class Context:
    direction: Direction
    # The message's id, the same on every attempt; in a part of a split, that of the whole message.
    message_id: str
    # The configured channel.
    channel: str
    # Broker destination of the message.
    destination: str
    # Media type of the signed part, as an earlier stage set it or as it came.
    content_type: typing.Optional[str]
    # Absent when outbound.
    signer: typing.Optional[Signer]
    # When the message was first accepted, milliseconds since 1970-01-01T00:00:00Z, the same on every attempt. Use
    # it as the current time, so that a verdict does not depend on the time of the attempt.
    received_at: int
    # Number of the attempt, from 1.
    attempt: int
    # Transport headers in order, repeated ones included. They are not covered by the signature; empty on a later
    # attempt of a deferred message.
    transport_headers: typing.List[typing.Tuple[str, str]]
    # Numbers are decimal, without sign and leading zeros.
    # - `max-payload-bytes`: size limit of a payload after the pipeline, in bytes. Always present.
    # - `element`: the name of the queue element that an outbound message comes from: `5f3a1c00/5f3a1c2e0a1b2c` of a
    #   directory queue, else the file's name.
    # - `part`: in a part of a message that an earlier stage split, its number, from 1.
    #
    # Outbound, to compute the size of a message on the wire:
    # - `peer`: software of the recipient, `ssm` or `sesame`. Content of printable ASCII, tab and LF only is sent
    #   unchanged, other content as quoted-printable to `ssm` and as base64 to `sesame`. Content that mentions an
    #   encrypted media type is also sent as quoted-printable to `ssm` if unencrypted, and each `/` in it takes
    #   three bytes.
    # - `wire-fixed-bytes`: upper bound of the bytes that signing adds to the encoded payload: MIME headers,
    #   boundaries and signature, for the media type `text/plain`; a longer one adds the difference in length.
    # - `wire-envelope-bytes`: present only if the message will be encrypted: upper bound of the bytes that the
    #   envelope adds to the signed message. The sum is encoded as base64, in lines of 64 characters and a line end.
    properties: Properties


@dataclasses.dataclass
class Message:
    context: Context
    payload: bytes


# How serious a finding is. It does not decide whether the message is accepted: findings in `invalid` refuse a
# message, findings of an accepted message are logged.
class Severity(enum.Enum):
    ERROR = 0
    WARNING = 1
    INFO = 2


# One thing a plugin found in a message, written for the operator who must act on it.
@dataclasses.dataclass
class Finding:
    severity: Severity
    # Stable and machine-readable, such as `job.negative-wall-duration`; at most 128 characters.
    code: str
    # Without personal data: content of the message goes into `value`, which the host stores only with the message.
    # At most 1,000 characters.
    text: str
    # Position of the record in the message, from 1.
    record_number: typing.Optional[int]
    # Field name or XPath, at most 200 characters.
    field: typing.Optional[str]
    # Its content, at most 1,000 characters.
    value: typing.Optional[str]
    # None has a meaning yet.
    properties: Properties


@dataclasses.dataclass
class Delay:
    # Minimum delay in milliseconds. The host's own delay, by default from a minute to an hour, applies as well.
    after: typing.Optional[int]
    reason: str


# The message is invalid for good: it goes to the reject queue with these findings, at least one. Of a split
# message only the invalid part goes there.
@dataclasses.dataclass
class Failure_Invalid:
    value: typing.List[Finding]


# The plugin cannot decide yet: the message is deferred, and rejected after the number of attempts that the
# operator allows (10). For a part of a split this applies to the whole message.
@dataclasses.dataclass
class Failure_Retry:
    value: Delay


# The plugin has failed: the operator's `on-error` rule applies, as for a trap.
@dataclasses.dataclass
class Failure_Internal:
    value: str


# Why the message does not continue.
Failure = typing.Union[Failure_Invalid, Failure_Retry, Failure_Internal]


@dataclasses.dataclass
class Output:
    # Not empty, and at most `max-payload-bytes`.
    payload: bytes
    # RFC 2045 clause 5.1, in one line of at most 255 characters. None: unchanged.
    content_type: typing.Optional[str]
    # Transport headers, at most 32, each name at most 128 visible ASCII characters without colon and backslash,
    # each value at most 4,096 bytes without control characters. A header replaces one of the same name that an
    # earlier stage set. The host refuses names defined by STOMP, `empa-id`, `persistent`, `reply-to`,
    # `prefetch-count`, and names that begin with `sesame-`, `x-sesame-`, `activemq.`, `amq-` or `_amq`, in any case
    # of letters.
    set_headers: typing.List[typing.Tuple[str, str]]
    # None has a meaning yet.
    properties: Properties


@dataclasses.dataclass
class Part:
    content: Output
    # With findings, at least one: this part goes to the reject queue with them, in the same commit as the parts
    # that continue.
    refused: typing.Optional[typing.List[Finding]]


# The message continues unchanged.
@dataclasses.dataclass
class Verdict_Unchanged:
    pass


# This replaces the message, under the same id.
@dataclasses.dataclass
class Verdict_Replaced:
    value: Output


# Several messages replace one, in this order, at least one and at most 10,000; all take effect or none does.
# The id of each is that of the message, a full stop, and its number from 1; refused parts are counted.
@dataclasses.dataclass
class Verdict_Split:
    value: typing.List[Part]


# Discarded on purpose; the finding goes to the audit log.
@dataclasses.dataclass
class Verdict_Dropped:
    value: Finding


Verdict = typing.Union[Verdict_Unchanged, Verdict_Replaced, Verdict_Split, Verdict_Dropped]


@dataclasses.dataclass
class Transformed:
    verdict: Verdict
    # Warnings and notes, logged like those of a validator.
    findings: typing.List[Finding]
