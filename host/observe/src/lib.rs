//! A local HTTP listener that shows metrics, health and a dashboard, and the instruments that count.
//!
//! Start at [`Listener::bind`] and [`serve`]; [`occupant`] says who is at an address, and [`connect`] connects to a socket. What is shown comes from a [`Source`]:
//! a [`Page`] of metrics, each value of a [`Family`], an [`overview::Overview`], and whether the program is in service.
//! [`Counter`], [`Level`] and [`Histogram`] count while messages pass, and [`Events`] says what became of each.
//!
//! Not here: what is counted. This crate knows nothing of channels, brokers or plugins.
//!
//! # Paths
//! | path | answer |
//! |---|---|
//! | `/metrics` | all metrics, in OpenMetrics 1.0 or the text format 0.0.4, as the client asks |
//! | `/health` | 200 while the program runs |
//! | `/ready` | 200 where all is in service, otherwise 503 with the reasons, one a line |
//! | `/api/overview` | an [`overview::Overview`] as JSON |
//! | `/api/events` | each [`overview::Event`] as it happens, a line of JSON; empty lines are no events |
//! | `/api/recent` | the last events that are no success, the newest first |
//! | `/api/trace?id=ID` | what a message went through, as `sesame trace --json` |
//! | `/` | the dashboard, a page for browsers |
//! | `/api/control` | what an operator may do; `POST` does an [`Action`] |
//! | `/api/rejected?channel=NAME&element=ELEMENT` | a [`Rejected`] message |
//!
//! # Limits
//! Whatever clients do, the program goes on: [`Limits`] bounds connections, sizes and times. A page is made on one thread at
//! a time and shown again for a moment, so that many requests cost as much as a few.
//!
//! # Who may ask
//! Anyone who can connect; there is no password. Who acts needs a [`Token`]. A page of another site, opened in a browser on
//! this machine, can read nothing: requests must name a host of this machine ([`Address::is_local`]) and must not come from
//! another site. There is no CORS.

mod address;
mod answer;
mod api;
mod connections;
mod control;
mod dashboard;
mod events;
mod guard;
mod instruments;
mod listening;
pub mod overview;
mod page;
mod pages;
mod patience;
mod probe;
mod routes;
mod shared;
mod socket;
mod source;
#[cfg(test)]
mod tests;
mod token;

pub use address::{Address, NoAddress};
pub use connections::{Limits, serve};
pub use events::{Events, Listening};
pub use instruments::{Counter, Distribution, Entered, Histogram, Level};
pub use listening::ListeningProcess;
pub use page::{Family, Format, Kind, Page, Unit, Value};
pub use pages::Pages;
pub use probe::{Occupant, occupant};
pub use socket::{BindError, Listener, SocketFile, connect};
pub use source::{Action, Control, Rejected, Source};
pub use token::{Token, TokenError};
