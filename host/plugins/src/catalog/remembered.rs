//! The stages of a channel that takes them from the folder: what lies there now, and what is remembered of what lay there.
//!
//! # Policy
//! What once was a stage of the channel stays one until it was ended: by a tombstone that was not there when the stage began,
//! or by `enabled = false` in its side-car. One of which no file is left is a stage that cannot answer for the messages that it
//! saw last. So a folder that was emptied, by mistake or by somebody who wants messages to pass unchecked, holds them back.

use std::path::Path;

use serde_json::Value;

use crate::catalog::filter::Filter;
use crate::catalog::sidecar::SideCar;
use crate::catalog::{Condition, Standing, back_or_ended, side_car_gone};

/// Says in the text of a filter that the stage had a side-car; whoever does not know it passes over it.
const SIDE_CAR: &str = "side-car";

/// What is remembered of a stage, through restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The name of its file.
    pub name: String,
    /// The messages it saw; nothing where its side-car was never understood, and then it is all of them.
    pub filter: Option<Filter>,
    /// Whether it had a side-car, which it is not to do without.
    pub side_car: bool,
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
                side_car: known.settings(),
                condition: missing(),
                has_side_car: known.side_car,
                trouble: None,
                tombstone: None,
                loading: None,
                judged: true,
            }),
            Some(standing) => {
                let stale = standing.tombstone.is_some() && standing.tombstone == known.tombstone;
                if matches!(standing.condition, Condition::Removed) && stale {
                    standing.condition = missing();
                }
                if standing.side_car.is_none() {
                    standing.side_car = known.settings();
                }
                let another = standing.tombstone.is_some() && !stale;
                if known.side_car && !standing.has_side_car && !another && standing.ended().is_none() {
                    miss_side_car(standing, known);
                }
            }
        }
    }
    stages.sort_by(|a, b| stem(&a.name).cmp(stem(&b.name)));
    let is_known = |standing: &Standing| remembered.iter().any(|known| known.name == standing.name);
    let stays = |standing: &&Standing| standing.ended().is_none() && (standing.judged || is_known(standing));
    let kept = stages.iter().filter(stays).map(remember).collect();
    (stages, kept)
}

/// Its component may have begun again while its settings are gone: it is not to run without them.
fn miss_side_car(standing: &mut Standing, known: &Remembered) {
    (standing.has_side_car, standing.side_car) = (true, known.settings());
    if matches!(standing.condition, Condition::Ready(_) | Condition::Compiling) {
        standing.condition = Condition::Missing(side_car_gone(&standing.name));
    }
}

fn remember(standing: &Standing) -> Remembered {
    Remembered {
        name: standing.name.clone(),
        filter: standing.side_car.as_ref().map(|side_car| side_car.filter.clone()),
        side_car: standing.has_side_car,
        tombstone: standing.tombstone.clone(),
    }
}

impl Remembered {
    /// Its filter and whether it had a side-car, as a journal keeps them; nothing where neither is known.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        if !self.side_car {
            return self.filter.as_ref().map(Filter::to_text);
        }
        let text = self.filter.clone().unwrap_or_default().to_text();
        let mut kept: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap_or_default();
        kept.insert(SIDE_CAR.to_owned(), Value::Bool(true));
        Some(Value::Object(kept).to_string())
    }

    /// What a journal keeps under `name`.
    #[must_use]
    pub fn from_text(name: String, text: Option<&str>, tombstone: Option<String>) -> Self {
        let kept = text.and_then(|text| serde_json::from_str::<Value>(text).ok());
        let side_car = kept.is_some_and(|kept| kept.get(SIDE_CAR) == Some(&Value::Bool(true)));
        Self { name, filter: text.map(Filter::from_text), side_car, tombstone }
    }

    fn settings(&self) -> Option<SideCar> {
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
        let (name, tombstone) = (name.to_owned(), tombstone.map(str::to_owned));
        let (has_side_car, trouble, loading, judged) = (false, None, None, true);
        Standing { name, side_car, condition, has_side_car, trouble, tombstone, loading, judged }
    }

    fn known(name: &str, tombstone: Option<&str>) -> Remembered {
        let filter = Filter { channels: Some(vec!["central".to_owned()]), ..Filter::default() };
        let (name, tombstone) = (name.to_owned(), tombstone.map(str::to_owned));
        Remembered { name, filter: Some(filter), side_car: false, tombstone }
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

    #[test]
    fn one_that_had_a_side_car_does_not_begin_without_it() {
        let had = Remembered { side_car: true, ..known("a.wasm", Some("1")) };
        let stand = |tombstone| [standing("a.wasm", Condition::Compiling, tombstone)];
        let (stages, kept) = roster(Path::new("/p"), &stand(Some("1")), std::slice::from_ref(&had));
        assert!(stages[0].unanswering().unwrap().contains("put a.toml back"));
        assert_eq!(stages[0].side_car.as_ref().map(|side_car| &side_car.filter), had.filter.as_ref());
        assert_eq!(kept, [Remembered { tombstone: Some("1".to_owned()), ..had.clone() }]);
        let (stages, _) = roster(Path::new("/p"), &stand(Some("2")), std::slice::from_ref(&had));
        assert!(stages[0].is_compiling(), "it was ended, and this is another");
        let back = Standing { has_side_car: true, ..standing("a.wasm", Condition::Compiling, None) };
        assert!(roster(Path::new("/p"), &[back], &[had]).0[0].is_compiling());
    }

    #[test]
    fn what_is_remembered_is_read_as_it_was_written() {
        for side_car in [false, true] {
            let known = Remembered { side_car, ..known("a.wasm", Some("1")) };
            let text = known.text();
            assert_eq!(Remembered::from_text(known.name.clone(), text.as_deref(), known.tombstone.clone()), known);
        }
        let plain = Remembered::from_text("a.wasm".to_owned(), Some("{\"channels\":[\"central\"]}"), None);
        assert_eq!(plain, known("a.wasm", None));
        let unknown = Remembered { filter: None, side_car: true, ..known("a.wasm", None) };
        assert!(Remembered::from_text("a.wasm".to_owned(), unknown.text().as_deref(), None).side_car);
    }
}
