//! What deleted rows had, by month: the table `total`.

use std::collections::{HashMap, hash_map};

use message::Month;
use rusqlite::{Connection, params};

use super::{Amount, Amounts, Cell, Outcome, Side};
use crate::journal::{at_most, integer};

/// The most totals that a peer has in a month with its own sites.
pub(super) const MOST_TOTALS: usize = 10_000;
/// The most further totals that it has with its own streams.
pub(super) const MOST_OTHERS: usize = 1_000;
/// The totals from which one more has no site and no stream.
pub(super) const ALL_TOTALS: usize = MOST_TOTALS + MOST_OTHERS;
/// The site of what has no total of its own, as the SDK says of the sites of one message.
pub(super) const OTHER_SITES: &str = "(other sites)";

/// Which totals: those of a side of a channel in a month.
type Of = (Side, i64, Month);

/// Adds the totals of a month to amounts.
pub(super) fn totals(
    db: &Connection,
    side: Side,
    channel: i64,
    wanted: Month,
    amounts: &mut Amounts,
) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached(
        "SELECT peer, stream, site, format, outcome, messages, records FROM total
         WHERE side = ?1 AND channel = ?2 AND month = ?3",
    )?;
    let mut rows = statement.query(params![side as i64, channel, wanted.number()])?;
    while let Some(row) = rows.next()? {
        let cell = Cell {
            peer: row.get(0)?,
            stream: row.get(1)?,
            site: row.get(2)?,
            format: row.get(3)?,
            outcome: Outcome::of(row.get(4)?),
        };
        let (messages, records): (i64, i64) = (row.get(5)?, row.get(6)?);
        let amount = amounts.entry(cell).or_default();
        amount.messages = amount.messages.saturating_add(messages.unsigned_abs());
        amount.records = amount.records.saturating_add(records.unsigned_abs());
    }
    Ok(())
}

/// Adds amounts to the totals of a month. What would make more than [`MOST_TOTALS`] rows of a peer counts under
/// [`OTHER_SITES`], and after [`MOST_OTHERS`] more without a stream: a peer may name new sites and streams for ever.
pub(super) fn fold(db: &Connection, side: Side, channel: i64, month: Month, amounts: &Amounts) -> rusqlite::Result<()> {
    let of = (side, channel, month);
    let mut kept: HashMap<&str, usize> = HashMap::new();
    for (cell, amount) in amounts {
        if raise(db, of, cell, *amount)? {
            continue;
        }
        // Only a new row needs the number of rows, once for each peer.
        let kept = match kept.entry(&cell.peer) {
            hash_map::Entry::Occupied(known) => known.into_mut(),
            hash_map::Entry::Vacant(place) => place.insert(rows_of(db, of, &cell.peer)?),
        };
        let cell = match *kept {
            ..MOST_TOTALS => cell.clone(),
            MOST_TOTALS..ALL_TOTALS => Cell { site: OTHER_SITES.to_owned(), ..cell.clone() },
            _ => Cell { site: OTHER_SITES.to_owned(), stream: String::new(), ..cell.clone() },
        };
        if !raise(db, of, &cell, *amount)? {
            insert(db, of, &cell, *amount)?;
            *kept += 1;
        }
    }
    Ok(())
}

/// How many rows a peer has, counted up to [`ALL_TOTALS`].
fn rows_of(db: &Connection, (side, channel, month): Of, peer: &str) -> rusqlite::Result<usize> {
    let rows: i64 = db
        .prepare_cached(
            "SELECT count(*) FROM
             (SELECT 1 FROM total WHERE side = ?1 AND channel = ?2 AND month = ?3 AND peer = ?4 LIMIT ?5)",
        )?
        .query_row(params![side as i64, channel, month.number(), peer, at_most(ALL_TOTALS)], |row| row.get(0))?;
    Ok(usize::try_from(rows).unwrap_or(usize::MAX))
}

/// Adds to the total of a cell; whether there is one.
fn raise(db: &Connection, of: Of, cell: &Cell, amount: Amount) -> rusqlite::Result<bool> {
    const RAISE: &str = "UPDATE total SET messages = messages + ?9, records = records + ?10
        WHERE side = ?1 AND channel = ?2 AND month = ?3 AND peer = ?4 AND stream = ?5 AND site = ?6
        AND format = ?7 AND outcome = ?8";
    change(db, RAISE, of, cell, amount).map(|raised| raised > 0)
}

fn insert(db: &Connection, of: Of, cell: &Cell, amount: Amount) -> rusqlite::Result<()> {
    const INSERT: &str =
        "INSERT INTO total (side, channel, month, peer, stream, site, format, outcome, messages, records)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    change(db, INSERT, of, cell, amount).map(drop)
}

/// Runs a statement with the columns of `total`, in their order.
fn change(
    db: &Connection,
    sql: &str,
    (side, channel, month): Of,
    cell: &Cell,
    amount: Amount,
) -> rusqlite::Result<usize> {
    db.prepare_cached(sql)?.execute(params![
        side as i64,
        channel,
        month.number(),
        cell.peer,
        cell.stream,
        cell.site,
        cell.format,
        cell.outcome as i64,
        integer(amount.messages),
        integer(amount.records),
    ])
}
