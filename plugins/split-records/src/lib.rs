//! The stock plugin `builtin:split-records`: cuts a message at its records into pieces within a size on the wire, a number of
//! records, or both, each with the message's header.
//!
//! The size is that of the SEND frame's body, after signing, encryption and encoding, and never counted too low. In a channel
//! that receives nothing is sealed, and the content's own bytes count. A broker's own limit is kept where the host says it
//! (AMS), unless `max-wire-bytes` is less. A single record over the limit is refused and
//! the rest goes on. Put it last in a pipeline: what a later stage adds is not counted.

use sesame_plugin::records::shape::Shape;
use sesame_plugin::records::wire::{self, Meter, Wire};
use sesame_plugin::table::{Table, whole};
use sesame_plugin::{
    Configuration, Failure, Finding, Message, Output, Part, Plugin, Transformed, Transformer, Verdict,
};

/// The host refuses a split into more.
const MAX_PARTS: usize = 10_000;
/// Findings about single records, before the rest is only counted.
const MAX_FINDINGS: usize = 100;

/// The most bytes on the wire where neither the configuration nor the host says it.
const USUAL_WIRE: usize = 1_000_000;

struct SplitRecords {
    /// `None` where the configuration does not say it.
    max_wire_bytes: Option<usize>,
    max_records: usize,
}

/// The limits for one message.
struct Limits {
    max_wire_bytes: usize,
    max_records: usize,
}

impl Configuration for SplitRecords {
    fn from_json(json: &str) -> Result<Self, String> {
        Table::read(json, |table| {
            let max_wire_bytes = table.value("max-wire-bytes", |value| whole(value, 1))?;
            let max_records = table.value("max-records", |value| whole(value, 1))?.unwrap_or(usize::MAX);
            Ok(Self { max_wire_bytes, max_records })
        })
    }
}

impl Plugin for SplitRecords {
    type Config = Self;
    const NAME: &'static str = "split-records";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Cuts messages at their records, to a size on the wire or a number of records.";

    fn config_schema() -> Option<String> {
        let schema = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "max-wire-bytes": {
      "description": "The most bytes a message may have on the wire, signed, encrypted and encoded; default: what the broker takes, if that is known, else 1000000.",
      "type": "integer",
      "minimum": 1
    },
    "max-records": {
      "description": "The most records a message may have; default: any number.",
      "type": "integer",
      "minimum": 1
    }
  }
}"#;
        Some(schema.to_owned())
    }

    fn new(config: Self) -> Result<Self, String> {
        Ok(config)
    }
}

impl Transformer for SplitRecords {
    fn transform(&self, message: &Message) -> Result<Transformed, Failure> {
        let channel = wire::limit(&message.context);
        let limit = [self.max_wire_bytes, channel].into_iter().flatten().min();
        Limits { max_wire_bytes: limit.unwrap_or(USUAL_WIRE), max_records: self.max_records }.transform(message)
    }
}

impl Limits {
    fn transform(&self, message: &Message) -> Result<Transformed, Failure> {
        let wire = Wire::of(&message.context);
        let size = wire.size(&message.payload);
        let fits = size <= self.max_wire_bytes;
        if fits && self.max_records == usize::MAX {
            return Ok(Verdict::Unchanged.into());
        }
        let shape = match Shape::cut(&message.payload) {
            Ok(shape) if fits && shape.len() <= self.max_records => return Ok(Verdict::Unchanged.into()),
            Ok(shape) => shape,
            // What cannot be cut has no records to count.
            Err(_) if fits => return Ok(Verdict::Unchanged.into()),
            Err(why) => return Err(self.uncut(size, why)),
        };
        if wire.size(b"x") > self.max_wire_bytes {
            let limit = self.max_wire_bytes;
            return Err(Failure::Internal(format!("max-wire-bytes, {limit}, is less than a signature alone takes")));
        }
        let (pieces, too_large) = self.pieces(&shape, wire.meter(&message.payload));
        self.verdict(&shape, &pieces, too_large)
    }

    fn uncut(&self, size: usize, why: Vec<Finding>) -> Failure {
        let limit = self.max_wire_bytes;
        let text = format!("the message takes {size} bytes on the wire, more than max-wire-bytes, {limit}");
        Failure::Invalid([vec![Finding::error("split.message-too-large", text)], why].concat())
    }

    /// The records of each piece, and those that are too large alone, each with its size.
    fn pieces(&self, shape: &Shape<'_>, mut empty: Meter) -> (Vec<Vec<usize>>, Vec<(usize, usize)>) {
        empty.push(shape.head());
        let (mut pieces, mut too_large) = (Vec::new(), Vec::new());
        let (mut piece, mut meter): (Vec<usize>, _) = (Vec::new(), empty.clone());
        for index in 0..shape.len() {
            if let Some(&before) = piece.last() {
                let mut grown = meter.clone();
                grown.push(shape.separator(before));
                grown.push(shape.record(index));
                if piece.len() < self.max_records && closed(&grown, shape) <= self.max_wire_bytes {
                    piece.push(index);
                    meter = grown;
                    continue;
                }
            }
            let mut alone = empty.clone();
            alone.push(shape.record(index));
            let size = closed(&alone, shape);
            if size > self.max_wire_bytes {
                too_large.push((index, size));
            } else {
                pieces.extend(Some(std::mem::replace(&mut piece, vec![index])).filter(|piece| !piece.is_empty()));
                meter = alone;
            }
        }
        pieces.extend(Some(piece).filter(|piece| !piece.is_empty()));
        (pieces, too_large)
    }

    fn verdict(
        &self,
        shape: &Shape<'_>,
        pieces: &[Vec<usize>],
        too_large: Vec<(usize, usize)>,
    ) -> Result<Transformed, Failure> {
        let mut findings: Vec<Finding> = too_large.iter().take(MAX_FINDINGS).map(|&one| self.too_large(one)).collect();
        if let Some(more) = too_large.len().checked_sub(MAX_FINDINGS).filter(|&more| more > 0) {
            findings.push(Finding::error("split.more", format!("{more} further records are too large")));
        }
        if pieces.is_empty() {
            // Without records the header alone is too large.
            let empty =
                || vec![Finding::error("split.message-too-large", "the message is too large and has no records")];
            return Err(Failure::Invalid(if findings.is_empty() { empty() } else { findings }));
        }
        let count = pieces.len() + usize::from(!findings.is_empty());
        if count > MAX_PARTS {
            let text = format!("the message would make {count} pieces, more than {MAX_PARTS}: allow more to a piece");
            return Err(Finding::error("split.too-many-parts", text).into());
        }
        let content = |records: &[usize]| Output::new(shape.build(records));
        let mut parts: Vec<Part> =
            pieces.iter().map(|records| Part { content: content(records), refused: None }).collect();
        if !findings.is_empty() {
            let records: Vec<usize> = too_large.into_iter().map(|(index, _)| index).collect();
            parts.push(Part { content: content(&records), refused: Some(findings) });
        }
        Ok(Verdict::Split(parts).into())
    }

    fn too_large(&self, (index, size): (usize, usize)) -> Finding {
        let limit = self.max_wire_bytes;
        let text = format!("the record alone takes {size} bytes on the wire, more than max-wire-bytes, {limit}");
        Finding::error("split.record-too-large", text).in_record(u32::try_from(index + 1).unwrap_or(u32::MAX))
    }
}

/// The size of a message that ends here.
fn closed(meter: &Meter, shape: &Shape<'_>) -> usize {
    let mut whole = meter.clone();
    whole.push(shape.tail());
    whole.size()
}

sesame_plugin::export!(SplitRecords: transformer);

#[cfg(test)]
mod tests;
