//! Acceptance: the program as it is installed, between the programs it must get on with.
//!
//! One file per promise; each test reads as the sentence its name is. `harness` holds folders, children and patience,
//! `peers` the brokers, OpenSSL and the Python libraries, `sesame` the program under test, `checker` what must be true
//! of its queues afterwards. Nothing is skipped: a peer that is not installed fails the tests that need it, by name.
//!
//! | variable | meaning |
//! |---|---|
//! | `SESAME_TEST_PATIENCE` | seconds that a test waits for anything (180) |
//! | `SESAME_TEST_KEEP` | keep the folders of tests that passed |
//! | `SESAME_TEST_FOLDER` | where the folders are made (cargo's folder for tests) |
//! | `SESAME_TEST_TOOLS` | what `tests/setup` installed (the user's cache) |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why"
)]

mod bombs;
mod checker;
mod harness;
mod peers;
mod queues;
mod sesame;

mod acknowledgements;
mod alerts;
mod ams;
mod ams_check;
mod ams_other_senders;
mod ams_peers;
mod ams_receiving;
mod ams_sending;
mod ams_stands_for_ssm;
mod author_life;
mod author_mistakes;
mod bad_input;
mod both_sides;
mod broker_faults;
mod calls;
mod client;
mod commands;
mod compiling;
mod composition;
mod configuration;
mod dashboard;
mod dashboard_control;
mod delivery_limits;
mod destinations;
mod full_disk;
mod gaps;
mod hostile;
mod isolated;
mod languages;
mod live;
mod messages_cross;
mod metrics;
mod native_tests;
mod one_owner;
mod other_senders;
mod own_certificates;
mod peers_stand;
mod plugin_faults;
mod plugins;
mod proofs;
mod refuses;
mod registries;
mod reloads;
mod reports;
mod shadow;
mod shared_index;
mod signed_plugins;
mod signposts;
mod standby;
mod stands_for_ssm;
mod status_and_top;
mod stock_plugins;
mod stops_when_asked;
mod survives_crashes;
mod tables;
mod trust_changes;
