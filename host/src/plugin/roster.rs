//! The stages of a channel that takes them from the folder: what lies there now, and what is remembered of what lay there.
//!
//! # Policy
//! What once was a stage of the channel stays one until it was ended: by a tombstone that was not there when the stage began,
//! or by `enabled = false` in its side-car. One of which no file is left is a stage that cannot answer for the messages that it
//! saw last. So a folder that was emptied, by mistake or by somebody who wants messages to pass unchecked, holds them back.

use std::path::Path;

use super::filter::Filter;
use super::shelf::{Condition, Standing, back_or_ended};
use super::sidecar::SideCar;

/// What is remembered of a stage, through restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The name of its file.
    pub name: String,
    /// The messages it saw; nothing where its side-car was never understood, and then it is all of them.
    pub filter: Option<Filter>,
    /// The tombstone that lay there already, and says nothing about this stage.
    pub tombstone: Option<String>,
}

/// The stages of a channel, in order, and what is to be remembered from now on.
#[must_use]
pub fn roster(folder: &Path, stand: &[Standing], remembered: &[Remembered]) -> (Vec<Standing>, Vec<Remembered>) {
    let mut stages: Vec<Standing> = stand.to_vec();
    for known in remembered {
        let missing = || Condition::Missing(format!("is missing: {}", back_or_ended(&folder.join(stem(&known.name)))));
        match stages.iter_mut().find(|standing| standing.name == known.name) {
            None => stages.push(Standing {
                name: known.name.clone(),
                side_car: known.side_car(),
                condition: missing(),
                trouble: None,
                tombstone: None,
            }),
            Some(standing) => {
                let stale = standing.tombstone.is_some() && standing.tombstone == known.tombstone;
                if matches!(standing.condition, Condition::Removed) && stale {
                    standing.condition = missing();
                }
                if standing.side_car.is_none() {
                    standing.side_car = known.side_car();
                }
            }
        }
    }
    stages.sort_by(|a, b| stem(&a.name).cmp(stem(&b.name)));
    let kept = stages.iter().filter(|standing| standing.ended().is_none()).map(remember).collect();
    (stages, kept)
}

fn remember(standing: &Standing) -> Remembered {
    Remembered {
        name: standing.name.clone(),
        filter: standing.side_car.as_ref().map(|side_car| side_car.filter.clone()),
        tombstone: standing.tombstone.clone(),
    }
}

impl Remembered {
    fn side_car(&self) -> Option<SideCar> {
        let filter = self.filter.clone()?;
        Some(SideCar { filter, ..SideCar::default() })
    }
}

/// The name without its ending.
fn stem(name: &str) -> &str {
    name.strip_suffix(".wasm").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(name: &str, condition: Condition, tombstone: Option<&str>) -> Standing {
        let side_car = Some(SideCar::default());
        Standing { name: name.to_owned(), side_car, condition, trouble: None, tombstone: tombstone.map(str::to_owned) }
    }

    fn known(name: &str, tombstone: Option<&str>) -> Remembered {
        let filter = Filter { channels: Some(vec!["central".to_owned()]), ..Filter::default() };
        Remembered { name: name.to_owned(), filter: Some(filter), tombstone: tombstone.map(str::to_owned) }
    }

    fn look(stand: &[Standing], remembered: &[Remembered]) -> (Vec<(String, &'static str)>, Vec<String>) {
        let (stages, kept) = roster(Path::new("/p"), stand, remembered);
        let stages = stages.iter().map(|standing| (standing.name.clone(), standing.condition.word())).collect();
        (stages, kept.into_iter().map(|known| known.name).collect())
    }

    #[test]
    fn what_has_vanished_is_missing_in_its_place_with_its_last_filter() {
        let stand = [standing("a.wasm", Condition::Compiling, None), standing("c.wasm", Condition::Compiling, None)];
        let (stages, kept) = roster(Path::new("/p"), &stand, &[known("b.wasm", None)]);
        let names: Vec<&str> = stages.iter().map(Standing::name).collect();
        assert_eq!(names, ["a.wasm", "b.wasm", "c.wasm"]);
        let reason = stages[1].unanswering().unwrap();
        assert!(reason.contains("put /p/b.wasm back") && reason.contains("sesame plugin remove b`"), "{reason}");
        assert_eq!(kept[1], known("b.wasm", None));
    }

    #[test]
    fn a_stage_ends_by_a_tombstone_that_is_new_to_it() {
        let removed = [standing("a.wasm", Condition::Removed, Some("2"))];
        let over = (vec![("a.wasm".to_owned(), "removed")], vec![]);
        assert_eq!(look(&removed, &[known("a.wasm", None)]), over);
        assert_eq!(look(&removed, &[known("a.wasm", Some("1"))]), over);
        assert_eq!(look(&removed, &[]), over);
        let missing = (vec![("a.wasm".to_owned(), "missing")], vec!["a.wasm".to_owned()]);
        assert_eq!(look(&removed, &[known("a.wasm", Some("2"))]), missing);
    }

    #[test]
    fn a_stage_ends_by_its_side_car_and_by_nothing_else() {
        let (_, kept) = look(&[standing("a.wasm", Condition::Disabled, None)], &[known("a.wasm", None)]);
        assert_eq!(kept, [] as [String; 0]);
        for condition in [Condition::Broken("x".to_owned()), Condition::Missing("x".to_owned()), Condition::Compiling] {
            let (_, kept) = look(&[standing("a.wasm", condition, None)], &[]);
            assert_eq!(kept, ["a.wasm"]);
        }
    }

    #[test]
    fn one_that_cannot_be_understood_sees_what_it_saw_last() {
        let broken = Standing { side_car: None, ..standing("a.wasm", Condition::Broken("x".to_owned()), None) };
        let (stages, kept) = roster(Path::new("/p"), &[broken], &[known("a.wasm", None)]);
        assert_eq!(stages[0].side_car.as_ref().unwrap().filter, known("a.wasm", None).filter.unwrap());
        assert_eq!(kept, [known("a.wasm", None)]);
    }
}
